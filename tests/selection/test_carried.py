"""How long a pruned dataset carries its selection: through whatever leaves the rows as they are, and no further."""

import copy
import pickle

import numpy as np
import pytest
from datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    Features,
    Image,
    List,
    Value,
    concatenate_datasets,
    load_from_disk,
)
from datasets.fingerprint import Hasher

import hf_prune
from hf_prune.selection.carried import Description
from tests.hub_server import WRITER

N = 200


@pytest.fixture
def ds():
    draw = np.random.default_rng(0)
    return Dataset.from_dict(
        {
            "x": draw.permutation(N),
            "text": [f"row {row}" for row in range(N)],
            "kind": [("a", "b")[kind] for kind in draw.integers(0, 2, N)],
            "language": ["en"] * N,
            "label": draw.integers(0, 3, N),
        }
    )


@pytest.fixture
def coreset(ds):
    return ds.prune("random", keep=150, quotas="equal")


def in_place(change):
    def changed(coreset):
        change(coreset)
        return coreset

    return changed


SAME_ROWS = {
    "itself": lambda c: c,
    "add_column": lambda c: c.add_column("more", range(len(c))),
    "cast": lambda c: c.cast(Features(c.features | {"x": Value("float32"), "label": Value("int8")})),
    "cast_column": lambda c: c.cast_column("label", ClassLabel(3)),
    "class_encode_column": lambda c: c.class_encode_column("kind"),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "filter that keeps all": lambda c: c.filter(lambda row: True),
    "flatten": lambda c: c.flatten(),
    "flatten_indices": lambda c: c.flatten_indices(),
    "map": lambda c: c.map(lambda row: row),
    "map in batches": lambda c: c.map(lambda rows: {"y": rows["x"]}, batched=True, batch_size=7),
    "map in processes": lambda c: c.map(lambda row: {"y": row["x"]}, num_proc=2),
    "map to tokens": lambda c: c.map(lambda row: {"ids": [1, len(row["text"])]}, remove_columns=["text", "x"]),
    "pickle": lambda c: pickle.loads(pickle.dumps(c)),
    "remove_columns": lambda c: c.remove_columns(["x", "text", "label", "kind"]),
    "rename_column": lambda c: c.rename_column("x", "y"),
    "rename_columns": lambda c: c.flatten_indices().rename_columns({name: f"{name}_" for name in c.column_names}),
    "select of all": lambda c: c.select(range(len(c))),
    "select_columns": lambda c: c.select_columns(["kind"]),
    "set_format": in_place(lambda c: c.set_format("numpy")),
    "set_transform": in_place(lambda c: c.set_transform(lambda rows: rows)),
    "sort of sorted": lambda c: c.add_column("row", range(len(c))).sort("row"),
    "shuffled and back": lambda c: c.add_column("row", range(len(c))).shuffle(seed=0).sort("row"),
    "with_format": lambda c: c.with_format("torch", columns=["x"]),
}


def mapped(coreset):
    return coreset.map(lambda row: {"z": 1})


THEN_MAPPED = [name for name in SAME_ROWS if name != "remove_columns"]  # whose one value in all rows tells nothing


@pytest.mark.parametrize(
    ("name", "then"),
    [(name, lambda c: c) for name in SAME_ROWS]
    + [(name, lambda c: c.map(lambda row: {"z": 1})) for name in THEN_MAPPED],
    ids=[*SAME_ROWS, *(f"{name} then map" for name in THEN_MAPPED)],
)
def test_it_goes_along_with_the_rows(ds, coreset, name, then):
    selection = then(SAME_ROWS[name](coreset)).selection
    assert selection.indices.tolist() == coreset.selection.indices.tolist()
    assert selection.apply(ds)["x"][:] == ds.select(selection.indices)["x"][:]


OTHER_ROWS = {
    "concatenate": lambda c: concatenate_datasets([c, c]),
    "filter": lambda c: c.filter(lambda row: row["label"] > 0),
    "map that reorders": lambda c: c.map(lambda rows: {k: v[::-1] for k, v in rows.items()}, batched=True),
    "map with fewer rows": lambda c: c.map(lambda rows: {k: v[1:] for k, v in rows.items()}, batched=True),
    "map with other rows": lambda c: c.map(lambda row: {"text": "?", "x": 0, "kind": "?", "label": 0}),
    "select": lambda c: c.select(range(5)),
    "select of as many": lambda c: c.select([1, 0, *range(2, len(c))]),
    "shard": lambda c: c.shard(2, 0),
    "shuffle": lambda c: c.shuffle(seed=1),
    "shuffle with a constant left": lambda c: c.shuffle(seed=1).select_columns("language"),
    "shuffle with a constant mapped": lambda c: c.shuffle(seed=1).map(lambda row: {"y": 1}).select_columns("language"),
    "sort": lambda c: c.sort("x"),
    "sort within a class": lambda c: c.sort(["label", "x"]).select_columns("label"),
    "split": lambda c: c.train_test_split(10, seed=0)["train"],
    "take": lambda c: c.take(10),
}


@pytest.mark.parametrize("change", OTHER_ROWS.values(), ids=list(OTHER_ROWS))
def test_it_does_not_go_along_with_other_rows(coreset, change):
    other = change(coreset)
    assert not hasattr(other, "selection")
    with pytest.raises(AttributeError, match=r"keep (it|the selection) before you transform, as in `sel"):
        _ = other.selection
    assert not hasattr(other.map(lambda row: {"more": 1}), "selection")


def test_what_sorting_leaves_as_it_is_tells_nothing():
    """Sorted by class, then by a second column within it: the classes are as they were, the rows are not."""
    ds = Dataset.from_dict({"label": sorted([0, 1, 2] * 60), "x": np.random.default_rng(0).permutation(180)})
    other = ds.prune("random", keep=120).sort(["label", "x"]).select_columns("label")
    assert not hasattr(other, "selection")


def test_a_dataset_that_was_not_pruned_has_none(ds, tmp_path):
    with pytest.raises(AttributeError, match=r"carries no selection: it was not pruned, .*keep it before"):
        _ = ds.selection
    with pytest.raises(AttributeError, match=r"none of the splits \['train'\] carries a selection"):
        _ = DatasetDict(train=ds).selection
    ds.to_parquet(tmp_path / "ds.parquet")
    loaded = Dataset.from_parquet(str(tmp_path / "ds.parquet"), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(AttributeError, match=r"from_hub\('me/coreset'\).*load\('.../hf_prune/default/train'"):
        _ = loaded.selection


def test_chains_go_on_after_a_map(ds, coreset):
    second = coreset.map(lambda row: {"y": row["x"]}).prune("random", keep=10, seed=1)
    assert second.selection.n == N
    assert [step.budget for step in second.selection.steps] == [150, 10]
    assert second["x"][:] == ds.select(second.selection.indices)["x"][:]


def test_datasets_sees_a_description_like_any_other(ds, coreset):
    """Its fingerprints and caches don't depend on the record, nor on whether it was looked for."""
    function = lambda row: {"y": 1}  # noqa: E731
    plain = ds.select(coreset.selection.indices).map(function)
    mapped = coreset.map(function)
    assert mapped._fingerprint == plain._fingerprint
    described = plain.info.copy()
    described.description = str(mapped.info.description)
    assert mapped.info == described
    before = Hasher.hash(mapped)
    assert mapped.selection.n == N
    assert Hasher.hash(mapped) == before
    assert isinstance(copy.deepcopy(mapped.info).description, Description)


def test_what_is_pickled_does_not_grow(coreset):
    mapped = coreset.map(lambda row: {"y": 1}, keep_in_memory=True)
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(mapped))))
    assert again.selection.indices.tolist() == coreset.selection.indices.tolist()
    assert len(pickle.dumps(again)) < len(pickle.dumps(mapped)) + 1_000
    assert not hasattr(again.shuffle(seed=0), "selection")


@pytest.mark.parametrize("options", [{}, {"num_proc": 2}, {"num_shards": 3}])
def test_saved_and_loaded(ds, coreset, options, tmp_path):
    selection = coreset.selection
    coreset.save_to_disk(tmp_path / "coreset", **options)
    loaded = load_from_disk(tmp_path / "coreset")
    mapped = loaded.map(lambda row: {"y": 1})
    for again in (loaded, mapped, load_from_disk(str(tmp_path / "coreset")), mapped.class_encode_column("kind")):
        assert again.selection.indices.tolist() == selection.indices.tolist()
        assert again.selection.steps == selection.steps
        assert again.selection.apply(ds)["x"][:] == coreset["x"][:]
    for other in (loaded.shuffle(seed=0), loaded.select(range(9)), loaded.filter(lambda row: row["label"] == 1)):
        assert not hasattr(other, "selection")
        assert not hasattr(other.map(lambda row: {"y": 1}), "selection")
    assert loaded.prune("random", keep=5).selection.n == N
    mapped.save_to_disk(tmp_path / "again")
    assert load_from_disk(tmp_path / "again").selection.steps == selection.steps


def test_splits(ds, coreset, tmp_path):
    splits = DatasetDict(train=coreset, test=ds.select(range(5)))
    splits.save_to_disk(tmp_path / "splits")
    for again in (splits, load_from_disk(tmp_path / "splits"), splits.map(lambda row: {"y": 1})):
        assert list(again.selection) == ["train"]
        assert again.selection["train"].indices.tolist() == coreset.selection.indices.tolist()
    both = ds.train_test_split(50, seed=0).prune("random", keep=10, split=["train", "test"])
    assert {name: selection.n for name, selection in both.selection.items()} == {"train": 150, "test": 50}


def test_saved_elsewhere(coreset):
    coreset.save_to_disk("memory://coreset")
    assert load_from_disk("memory://coreset").selection.steps == coreset.selection.steps


def test_other_rows_in_the_same_folder(ds, coreset, tmp_path):
    coreset.save_to_disk(tmp_path / "place")
    ds.select(range(150)).save_to_disk(tmp_path / "place")
    assert not hasattr(load_from_disk(tmp_path / "place"), "selection")
    (tmp_path / "mine" / "hf_prune").mkdir(parents=True)
    (tmp_path / "mine" / "hf_prune" / "thesis.txt").write_text("years of work")
    coreset.save_to_disk(tmp_path / "mine")
    assert not hasattr(load_from_disk(tmp_path / "mine"), "selection")
    assert (tmp_path / "mine" / "hf_prune" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "place" / "hf_prune" / "selection.parquet").write_bytes(b"half")
    coreset.save_to_disk(tmp_path / "other")
    (tmp_path / "other" / "hf_prune" / "selection.parquet").write_bytes(b"half")
    assert not hasattr(load_from_disk(tmp_path / "other"), "selection")


def test_what_is_not_pruned_is_saved_as_always(ds, tmp_path):
    ds.save_to_disk(tmp_path / "ds")
    names = sorted(entry.name for entry in (tmp_path / "ds").iterdir())
    assert names == ["data-00000-of-00001.arrow", "dataset_info.json", "state.json"]


def test_images_that_are_read_from_files(tmp_path):
    files = []
    for row in range(8):
        files.append(str(tmp_path / f"{row}.png"))
        (tmp_path / f"{row}.png").write_bytes(bytes([row]))
    ds = Dataset.from_dict({"image": files, "label": [0, 1] * 4}).cast_column("image", Image(decode=False))
    coreset = ds.prune("random", keep=5)
    coreset.save_to_disk(tmp_path / "coreset")  # with the files inside
    assert load_from_disk(tmp_path / "coreset").selection.indices.tolist() == coreset.selection.indices.tolist()


def test_nested_columns(tmp_path):
    ds = Dataset.from_dict({"ids": [[row, 1] for row in range(20)], "pair": [{"a": row, "b": 0} for row in range(20)]})
    coreset = ds.prune("random", keep=9)
    assert coreset.flatten().map(lambda row: {"y": 1}).selection.n == 20
    assert coreset.cast_column("ids", List(Value("int8"))).flatten_indices().selection.n == 20


def test_a_repository_is_found_where_its_record_was_read(hub, ds, coreset):
    from datasets import load_dataset

    coreset.push_to_hub("me/coreset", token=WRITER)
    loaded = load_dataset("me/coreset", split="train")
    with pytest.raises(AttributeError, match=r"hf_prune.Selection.from_hub\('me/coreset'\)"):
        _ = loaded.selection
    selection = hf_prune.Selection.from_hub("me/coreset")
    assert loaded.selection.steps == selection.steps
    assert loaded.map(lambda row: {"y": 1}).selection.steps == selection.steps
    assert not hasattr(loaded.shuffle(seed=0), "selection")
    coreset.map(lambda row: {"y": row["x"]}).push_to_hub("me/mapped", token=WRITER)
    assert hf_prune.Selection.from_hub("me/mapped").apply(ds)["x"][:] == coreset["x"][:]
