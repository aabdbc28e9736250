import json
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, load_from_disk

import hf_prune
from hf_prune.groups import encode
from hf_prune.selection.selection import Selection
from tests.selection.made import seal, selection_of_rows


@pytest.fixture
def ds():
    return Dataset.from_dict({"x": range(100), "text": [f"row {i}" for i in range(100)], "label": [0, 1, 2, 2] * 25})


@pytest.fixture
def coreset(ds):
    return ds.prune("random", keep=30, quotas="equal")


def same(a, b):
    np.testing.assert_array_equal(a.indices, b.indices)
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.rank, b.rank)
    assert (a.n, a.steps, a.at_least, a.details) == (b.n, b.steps, b.at_least, b.details)
    assert (a.source.origin, a.source.digests) == (b.source.origin, b.source.digests)
    assert a.group_table() == b.group_table()


def test_rank_is_the_picking_order():
    selection = selection_of_rows([7, 2, 5], np.arange(10.0))
    assert selection.indices.tolist() == [2, 5, 7]
    assert selection.rank.tolist() == [1, 2, 0]
    assert selection.order.tolist() == [7, 2, 5]
    assert selection.at(keep=2).indices.tolist() == [2, 7]
    assert selection.at(keep=0.1).indices.tolist() == [7]


def test_at(ds):
    selection = ds.prune("random", keep=50, quotas="equal").selection
    for keep in (50, 0.3, 3, 1):
        smaller, anew = selection.at(keep=keep), ds.prune("random", keep=keep, quotas="equal").selection
        same(smaller, anew)
        assert smaller.apply(ds)["x"][:] == anew.indices.tolist()
    with pytest.raises(ValueError, match=r"`keep`: 0\.6 means 60 rows; this selection can be cut to 1 to 50 rows"):
        selection.at(keep=0.6)
    unordered = replace(selection_of_rows([1], np.zeros(2)), rank=None)
    with pytest.raises(ValueError, match="keeps no picking order"):
        unordered.at(keep=1)


def test_a_method_without_an_order_has_none_within_classes_either(ds):
    class Unordered(hf_prune.Method):
        def select(self, signals, budget, seed):
            return hf_prune.Choice(np.arange(budget), np.zeros(len(signals)), nested=False)

    Unordered.name = "unordered"  # not in the class body, which would register it
    merged = ds.prune(hf_prune.PerClass(dataclass(frozen=True)(Unordered)(), "equal"), keep=6).selection
    assert merged.rank is None
    assert merged.indices.tolist() == [0, 1, 2, 3, 4, 5]
    assert [row["kept"] for row in merged.group_table()] == [2, 2, 2]


def test_chains_index_the_first_source(ds):
    first = ds.prune("random", keep=0.5)
    second = first.prune("random", keep=20, quotas="equal", seed=5)
    selection = second.selection
    assert second["x"][:] == selection.indices.tolist()
    assert selection.n == 100
    assert [(step.n, step.budget) for step in selection.steps] == [(100, 50), (50, 20)]
    assert np.isnan(selection.scores).sum() == 50
    assert sum(row["kept"] for row in selection.group_table()) == 20
    assert sum(row["size"] for row in selection.group_table()) == 50
    # A fraction is one of the rows that the last step saw.
    assert len(selection.at(keep=0.2)) == 10
    assert selection.at(keep=0.2).apply(ds)["x"][:] == first.prune("random", keep=10, quotas="equal", seed=5)["x"][:]
    assert selection.apply(ds)["x"][:] == second["x"][:]


def test_a_chain_that_was_broken_says_so(ds):
    shuffled = ds.prune("random", keep=0.5).shuffle(seed=0)
    selection = shuffled.prune("random", keep=10).selection
    assert (selection.n, len(selection.steps)) == (50, 1)
    assert selection.source.origin["derived"] == "random kept 50 of 100 rows, seed 0"
    assert "  random kept 50 of 100 rows, seed 0\n  random kept 10 of 50 rows, seed 0" in selection.summary()
    assert shuffled.prune("random", keep=10).info.description.count("Derived with hf_prune:") == 1


def test_the_description_says_where_the_rows_come_from(ds):
    ds.info.description = "Numbers."
    chain = ds.prune("random", keep=0.5).prune("random", keep=5, seed=2)
    assert chain.info.description == (
        "Numbers.\n\nDerived with hf_prune: random kept 50 of 100 rows, seed 0; random kept 5 of 50 rows, seed 2"
    )
    assert ds.info.description == "Numbers."


def test_a_pickled_coreset_leaves_its_source_behind(tmp_path):
    ds = Dataset.from_dict({"x": np.arange(200_000), "label": np.zeros(200_000, dtype=int)})
    coreset = ds.prune("random", keep=10)
    plain = len(pickle.dumps(ds.select(coreset.selection.indices)))
    own = coreset.selection.scores.nbytes + coreset.selection.classes.codes.nbytes
    assert len(pickle.dumps(coreset)) < plain + own + 10_000
    again = pickle.loads(pickle.dumps(coreset)).selection
    assert again.apply(ds)["x"][:] == coreset["x"][:]
    # From files it stays with its source, and the pickle doesn't change when digests become known.
    ds.save_to_disk(tmp_path / "ds")
    coreset = load_from_disk(tmp_path / "ds").prune("random", keep=10)
    before = pickle.dumps(coreset.selection.source)
    coreset.selection.save(tmp_path / "selection")
    assert pickle.dumps(coreset.selection.source) == before


def test_summary(ds, coreset):
    assert coreset.selection.summary().splitlines() == [
        "30 of 100 rows kept (30.0%)",
        "  per_class(random, quotas=equal) kept 30 of 100 rows, seed 0",
        "  group       rows       kept  density",
        "  0             25         10    0.400",
        "  1             25         10    0.400",
        "  2             50         10    0.200",
    ]
    unlabelled = ds.remove_columns("label")
    assert unlabelled.prune("given_scores", keep=0.25, scores=range(100)).selection.summary().splitlines() == [
        "25 of 100 rows kept (25.0%)",
        "  by_score(given_scores, prefer='hard') kept 25 of 100 rows, seed 0",
    ]


@pytest.mark.parametrize(
    ("keep", "n", "said"),
    [
        (1, 100, "keep=1 is a count, of one row; keep=1.0 keeps all"),
        (30, 200, "keep=30 is a count of rows; keep=0.3 keeps 30%"),
        (30, 100, None),
        (0.3, 200, None),
        (101, 200, None),
    ],
)
def test_a_count_that_may_have_been_meant_as_a_percentage_is_said_aloud(keep, n, said):
    lines = Dataset.from_dict({"x": range(n)}).prune("random", keep=keep).selection.summary().splitlines()
    assert lines[2:] == ([f"  {said}"] if said else [])


def dynamics():
    return hf_prune.TrainingDynamics.from_logits(np.zeros((1, 100, 3)), np.array([0, 1, 2, 2] * 25))


def test_save_load_apply(ds, coreset, tmp_path):
    path = tmp_path / "deep" / "selection"
    coreset.selection.save(path)
    loaded = Selection.load(path)
    same(loaded, coreset.selection)
    assert loaded.indices.dtype == np.int64
    applied = loaded.apply(ds)
    assert applied["x"][:] == coreset["x"][:]
    same(applied.selection, coreset.selection)
    assert loaded.at(keep=9).apply(ds)["x"][:] == ds.prune("random", keep=9, quotas="equal")["x"][:]
    # Again to the same place, from what was loaded.
    loaded.save(str(path))
    same(Selection.load(str(path)), coreset.selection)
    assert sorted(entry.name for entry in path.iterdir()) == ["selection.json", "selection.parquet"]
    assert [entry.name for entry in path.parent.iterdir()] == ["selection"]


def test_chains_and_unranked_selections_are_saved_too(ds, tmp_path):
    chain = ds.prune("random", keep=50, quotas="equal").prune("random", keep=10).selection
    chain.save(tmp_path / "chain")
    same(Selection.load(tmp_path / "chain"), chain)
    unranked = replace(selection_of_rows([1, 3], np.full(4, np.nan)), rank=None)
    unranked.save(tmp_path / "unranked")
    loaded = Selection.load(tmp_path / "unranked")
    assert (loaded.rank, loaded.indices.tolist()) == (None, [1, 3])
    with pytest.raises(ValueError, match="made for 4 rows, the dataset has 100"):
        loaded.apply(ds)


def test_save_leaves_other_things_alone(coreset, tmp_path):
    (tmp_path / "empty").mkdir()
    coreset.selection.save(tmp_path / "empty")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("text")
    (tmp_path / "empty" / "notes.txt").write_text("beside ours")
    for name in ("mine", "file", "empty"):
        with pytest.raises(ValueError, match=f"{name}' exists and is no saved selection; name a new folder"):
            coreset.selection.save(tmp_path / name)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_apply_refuses_other_data(ds, coreset):
    selection = coreset.selection
    with pytest.raises(hf_prune.AlignmentError, match="made for 100 rows, the dataset has 99"):
        selection.apply(ds.select(range(99)))
    swapped = ds.select([1, 0, *range(2, 100)])
    with pytest.raises(
        hf_prune.AlignmentError, match=r"of the columns \['x', 'text', 'label'\] that both have, \['x', 't"
    ):
        selection.apply(swapped)
    with pytest.raises(TypeError, match=r"`dataset`: wanted a datasets.Dataset, got DatasetDict"):
        selection.apply(DatasetDict(train=ds))
    with pytest.raises(hf_prune.AlignmentError, match="has none of the recorded columns"):
        selection.apply(Dataset.from_dict({"other": range(100, 200)}))


def test_apply_accepts_the_same_rows_in_other_clothes(ds, coreset, tmp_path):
    expected = coreset["x"][:]
    ds.to_parquet(tmp_path / "ds.parquet")
    from_parquet = Dataset.from_parquet(str(tmp_path / "ds.parquet"), cache_dir=str(tmp_path / "cache"))
    for same_rows in (
        from_parquet,
        ds.add_column("more", range(100)),
        ds.remove_columns(["text", "label"]),
        ds.with_format("numpy"),
        ds.shuffle(seed=1).sort("x"),
    ):
        assert np.array_equal(coreset.selection.apply(same_rows)["x"], expected)
    renamed = ds.select_columns("x").rename_column("x", "y")
    assert coreset.selection.apply(renamed)["y"][:] == expected


def damage(folder, change_json=None, change_table=None):
    if change_json is not None:
        header = json.loads((folder / "selection.json").read_text())
        changed = change_json(header)
        (folder / "selection.json").write_text(json.dumps(changed))
    if change_table is not None:
        pq.write_table(change_table(pq.read_table(folder / "selection.parquet")), folder / "selection.parquet")
    if change_json is None or {"format", "files"} <= set(changed):
        seal(folder)


@pytest.mark.parametrize(
    ("change_json", "change_table", "message"),
    [
        (lambda h: h | {"rows": 99}, None, "100 rows in selection.parquet, 99 in selection.json"),
        (lambda h: h | {"kept": 3}, None, "30 kept rows in the table, 3 in the header"),
        (lambda h: {k: v for k, v in h.items() if k != "steps"}, None, "'steps'"),
        (lambda h: h | {"group_values": [0], "group_names": ["0"]}, None, "unknown groups"),
        (None, lambda t: t.slice(0, 50), "50 rows in selection.parquet, 100 in selection.json"),
        (None, lambda t: t.drop_columns("score"), '"score" does not exist'),
        (None, lambda t: t.set_column(t.column_names.index("rank"), "rank", [[5] * 100]), "ranks are no order"),
    ],
)
def test_damaged_records_are_refused(coreset, tmp_path, change_json, change_table, message):
    coreset.selection.save(tmp_path / "s")
    damage(tmp_path / "s", change_json, change_table)
    with pytest.raises(ValueError, match=f"the selection in .* is damaged: .*{message}"):
        Selection.load(tmp_path / "s")


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h | {"at_least": float("inf")},
        lambda h: h | {"group_names": [1, 2]},
        lambda h: h | {"digests": None},
        lambda h: h | {"steps": []},
        lambda h: h | {"steps": [h["steps"][0] | {"method": 5}]},
        lambda h: h | {"steps": [h["steps"][0] | {"n": 0}]},
        lambda h: h | {"steps": [h["steps"][0] | {"details": {"by_group": {"recall": ["high", "low"]}}}]},
        lambda h: h | {"steps": [h["steps"][0] | {"details": {"by_group": {"recall": [0.5]}}}]},
        lambda h: h | {"steps": [h["steps"][0] | {"details": {"by_group": {"recall_interval": [1, 2]}}}]},
        lambda h: h | {"steps": [h["steps"][0] | {"details": {"warnings": 5}}]},
    ],
)
def test_records_that_would_fail_later_are_refused(ds, tmp_path, change):
    ds.prune("random", keep=10, by=[0, 1] * 50).selection.save(tmp_path / "s")
    damage(tmp_path / "s", change)
    with pytest.raises(hf_prune.ArgumentError, match="damaged"):
        Selection.load(tmp_path / "s")


def test_a_record_nested_too_deeply_is_refused(coreset, tmp_path):
    coreset.selection.save(tmp_path / "s")
    (tmp_path / "s" / "selection.json").write_text("[" * 200_000)
    with pytest.raises(hf_prune.ArgumentError, match="damaged"):
        Selection.load(tmp_path / "s")


@pytest.mark.parametrize("keep", [np.int64(5), np.float32(0.25)])
def test_numpy_sizes_are_recorded_as_numbers(coreset, tmp_path, keep):
    smaller = coreset.selection.at(keep=keep)
    smaller.save(tmp_path / "s")
    assert Selection.load(tmp_path / "s").steps == smaller.steps


def test_at_keeps_what_a_class_must_keep():
    labels = Dataset.from_dict({"label": ["a", "b", "c"] * 40, "site": [0] * 60 + [1] * 60})
    inner = hf_prune.PerClass(hf_prune.Random(), quotas=hf_prune.DRoPQuotas(min_per_class=3))
    options = {"recalls": {"a": 0.1, "b": 0.9, "c": 0.99}}
    method = hf_prune.PerClass(inner, by="site")
    large = labels.prune(method, keep=60, **options).selection
    assert large.at_least == 18
    np.testing.assert_array_equal(
        large.at(keep=18).indices, labels.prune(method, keep=18, **options).selection.indices
    )
    with pytest.raises(ValueError, match="can be cut to 18 to 60"):
        large.at(keep=17)


@pytest.mark.parametrize("header", [[1], {}, {"format": "other/1"}])
def test_other_formats_are_refused(coreset, tmp_path, header):
    coreset.selection.save(tmp_path / "s")
    damage(tmp_path / "s", lambda _: header)
    with pytest.raises(ValueError, match=r"selection.json' is not of the format 'hf_prune.selection/3'"):
        Selection.load(tmp_path / "s")


def test_truncated_and_missing_files(coreset, tmp_path):
    with pytest.raises(ValueError, match=r"no selection.json in .*; wanted a folder that Selection.save wrote"):
        Selection.load(tmp_path)
    for name in ("selection.json", "selection.parquet"):
        coreset.selection.save(tmp_path / "s")
        content = (tmp_path / "s" / name).read_bytes()
        (tmp_path / "s" / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="damaged"):
            Selection.load(tmp_path / "s")
        (tmp_path / "s" / name).write_bytes(content)


def test_the_table_of_groups_is_not_overwritten_by_what_a_rule_reports():
    details = {"by_group": {"kept": [7, 7], "root": [1.5, 0.5]}}
    selection = selection_of_rows([2, 0], np.zeros(3), groups=encode("by", [0, 0, 1]), details=details)
    assert [(row["kept"], row["root"]) for row in selection.group_table()] == [(1, 1.5), (1, 0.5)]
