"""`prune` as users call it: the literal calls of the contract, and what is refused."""

import json

import numpy as np
import pytest
import torch
from datasets import Array2D, ClassLabel, Dataset, DatasetDict, Features, IterableDatasetDict, Sequence, Split, Value

import hf_prune
from hf_prune.digest import array_digest
from hf_prune.dynamics.dynamics import TrainingDynamics

N = 60
draw = np.random.default_rng(5)
LABELS = draw.integers(0, 3, N)
LOGITS = draw.normal(size=(4, N, 3))
POINTS = draw.normal(size=(N, 6)).astype(np.float32)


@pytest.fixture
def ds():
    features = Features(
        {
            "image_id": Value("int32"),
            "label": ClassLabel(names=["cat", "dog", "emu"]),
            "site": Value("string"),
            "vector": Sequence(Value("float32")),
            "difficulty": Value("float64"),
        }
    )
    rows = {
        "image_id": range(N),
        "label": LABELS,
        "site": ["a", "b", "b"] * 20,
        "vector": POINTS,
        "difficulty": np.linspace(0, 1, N),
    }
    return Dataset.from_dict(rows, features=features)


@pytest.fixture
def dynamics():
    recorded = TrainingDynamics.from_logits(LOGITS, LABELS)
    recorded.features["last"] = POINTS
    return recorded


class Recorder:
    """What `prune` knows of the callback: that it has `dynamics`."""

    def __init__(self, dynamics):
        self.dynamics = dynamics


def kept(coreset):
    return coreset.selection.indices.tolist()


def test_the_calls_of_the_contract(ds, dynamics, tmp_path):
    recorder = Recorder(dynamics)
    dynamics.save(tmp_path / "run")
    recalls = {"cat": 0.6, "dog": 0.8, "emu": 0.9}
    assert len(ds.prune("random", keep=0.3, seed=0)) == 18
    assert len(ds.prune("random", keep=30, quotas="equal")) == 30
    for given in (dynamics, recorder, tmp_path / "run", str(tmp_path / "run")):
        assert kept(ds.prune("el2n", keep=0.3, dynamics=given)) == kept(ds.prune("el2n", keep=0.3, dynamics=recorder))
    by_name = ds.prune("d2", keep=0.3, k=10, gamma=1.0, dynamics=recorder, embeddings="vector")
    assert kept(by_name) == kept(ds.prune("d2", keep=0.3, k=10, gamma=1.0, dynamics=recorder, embeddings=POINTS))
    assert kept(by_name) == kept(ds.prune("d2", keep=0.3, dynamics=recorder))
    assert kept(by_name) == kept(ds.prune("d2", keep=0.3, dynamics=recorder, embeddings=recorder))
    as_object = ds.prune(
        hf_prune.D2(k=10, gamma=1.0, score=hf_prune.AUM()), keep=0.3, dynamics=recorder, embeddings=POINTS
    )
    assert kept(by_name) == kept(as_object)
    assert len(ds.prune("d2", keep=0.3, scores=np.arange(N), embeddings=POINTS)) == 18
    for given in (recalls, [0.6, 0.8, 0.9], (LOGITS[0], LABELS)):
        assert len(ds.prune("drop", keep=0.3, recalls=given)) == 18
    composite = hf_prune.PerClass(hf_prune.D2(score=hf_prune.AUM()), quotas=hf_prune.DRoPQuotas())
    assert len(ds.prune(composite, keep=15, seed=1, dynamics=recorder, recalls=recalls)) == 15
    coreset = ds.prune("el2n", keep=0.5, dynamics=recorder).prune("random", keep=0.5)
    assert len(coreset) == 15
    assert [step.method["method"] for step in coreset.selection.steps] == ["by_score", "random"]
    assert coreset["image_id"][:] == kept(coreset)
    assert hf_prune.prune(ds, "random", keep=0.3)["image_id"][:] == ds.prune("random", keep=0.3)["image_id"][:]


def test_rows_stay_in_order_and_the_source_is_untouched(ds):
    before, fingerprint = ds[:], ds._fingerprint
    coreset = ds.prune("random", keep=0.5)
    assert coreset["image_id"][:] == sorted(coreset["image_id"])
    assert ds[:] == before
    assert ds._fingerprint == fingerprint
    assert ds.info.description == ""
    assert coreset.features == ds.features
    assert coreset._fingerprint == ds.prune("random", keep=0.5)._fingerprint
    assert coreset._fingerprint != ds.prune("random", keep=0.5, seed=1)._fingerprint


def test_everything_may_be_kept(ds):
    coreset = ds.prune("random", keep=1.0)
    assert len(coreset.selection.indices) == N
    assert not hasattr(ds, "selection")


def test_signals_that_are_not_needed_are_ignored(ds, dynamics):
    everything = {"dynamics": "no/such/file", "embeddings": "no such column", "scores": [1], "recalls": "?"}
    assert kept(ds.prune("random", keep=5, **everything)) == kept(ds.prune("random", keep=5))
    assert len(ds.prune("el2n", keep=5, **(everything | {"dynamics": dynamics}))) == 5


def test_works_on_a_shuffled_formatted_dataset(ds, dynamics):
    order = np.random.default_rng(1).permutation(N)
    shuffled = ds.select(order).with_format("numpy")
    recorded = TrainingDynamics.from_logits(LOGITS[:, order], LABELS[order])
    coreset = shuffled.prune("d2", keep=10, quotas="equal", dynamics=recorded, embeddings="vector")
    assert coreset.format["type"] == "numpy"
    np.testing.assert_array_equal(coreset["image_id"], order[coreset.selection.indices])


def test_columns_of_numbers(ds):
    # A column is the same as the array in it, float64 kept.
    np.testing.assert_array_equal(
        ds.prune("given_scores", keep=9, scores="difficulty").selection.scores, np.linspace(0, 1, N)
    )
    fixed = ds.cast_column("vector", Sequence(Value("float32"), length=6))
    array = kept(ds.prune("d2", keep=9, scores="difficulty", embeddings=POINTS))
    assert kept(fixed.prune("d2", keep=9, scores="difficulty", embeddings="vector")) == array
    assert kept(ds.prune("d2", keep=9, scores="difficulty", embeddings="vector")) == array


def test_quotas_and_by(ds):
    table = ds.prune("random", keep=0.5, by="site").selection.group_table()
    assert [(row["group"], row["size"], row["kept"]) for row in table] == [("a", 20, 10), ("b", 40, 20)]
    table = ds.prune("random", keep=20, quotas="equal", by=np.arange(N) % 2 == 0).selection.group_table()
    assert [(row["group"], row["kept"]) for row in table] == [("False", 10), ("True", 10)]
    by_column = ds.prune(hf_prune.PerClass(hf_prune.Random(), quotas="equal", by="site"), keep=20)
    assert kept(by_column) == kept(ds.prune("random", keep=20, quotas="equal", by="site"))
    assert kept(ds.prune(hf_prune.PerClass(hf_prune.Random()), keep=20, by="site")) == kept(
        ds.prune("random", keep=20, by="site")
    )


def test_per_class_by_name(ds):
    array = np.arange(N) % 2
    for by in ("site", ("label", "site"), array):
        by_name = ds.prune("per_class", within=hf_prune.Random(), keep=20, quotas="equal", by=by)
        assert kept(by_name) == kept(ds.prune("random", keep=20, quotas="equal", by=by))
    assert kept(
        ds.prune("per_class", within=hf_prune.EL2N(), keep=20, dynamics=TrainingDynamics.from_logits(LOGITS, LABELS))
    )


def test_label_column_by_default():
    def column(features, **columns):
        dataset = Dataset.from_dict(columns, features=features)
        return dataset.prune("random", keep=2, quotas="equal").selection.steps[0].signals["labels"]["column"]

    assert column(Features({"y": ClassLabel(2), "label": Value("int64")}), y=[0, 1], label=[5, 5]) == "y"
    assert (
        column(
            Features({"y": ClassLabel(2), "z": ClassLabel(2), "label": ClassLabel(2)}),
            y=[0, 1],
            z=[0, 1],
            label=[0, 1],
        )
        == "label"
    )
    assert column(None, labels=["x", "y"], other=[1, 2]) == "labels"


def test_dataset_dict(ds):
    splits = DatasetDict(train=ds, validation=ds.select(range(20)), test=ds.select(range(10)))
    pruned = splits.prune("random", keep=0.5)
    assert {name: len(split) for name, split in pruned.items()} == {"train": 30, "validation": 20, "test": 10}
    assert list(pruned) == list(splits)
    pruned = splits.prune("random", keep=0.5, split=["train", "test"], quotas="equal", seed=3)
    assert {name: len(split) for name, split in pruned.items()} == {"train": 30, "validation": 20, "test": 5}
    assert kept(pruned["test"]) == kept(splits["test"].prune("random", keep=0.5, quotas="equal", seed=3))
    with pytest.raises(ValueError, match=r"`split`: no split 'train'. This DatasetDict has \['a'\]; pass split="):
        DatasetDict(a=ds).prune("random", keep=0.5)
    with pytest.raises(ValueError, match=r"no split 'tset'. Did you mean 'test'\?"):
        splits.prune("random", keep=0.5, split="tset")
    assert len(splits.prune("random", keep=0.5, split=Split.TEST)["test"]) == 5
    for split in ([], 5):
        with pytest.raises(TypeError, match="`split`: wanted the name of a split or a list of names") as caught:
            splits.prune("random", keep=0.5, split=split)
        assert isinstance(caught.value, hf_prune.HFPruneError)


def test_string_labels_match_the_numbers_they_were_trained_as(dynamics):
    names = np.array(["cat", "dog", "emu"])[LABELS]
    raw = Dataset.from_dict({"label": names})
    assert len(raw.prune("el2n", keep=5, dynamics=dynamics)) == 5
    names[3] = "cat" if names[3] != "cat" else "dog"
    with pytest.raises(hf_prune.AlignmentError, match="first at row"):
        Dataset.from_dict({"label": names}).prune("el2n", keep=5, dynamics=dynamics)


BAD_CALLS = {
    "keep 0": (("random",), {"keep": 0}, "`keep`"),
    "keep 1.5": (("random",), {"keep": 1.5}, "`keep`"),
    "keep True": (("random",), {"keep": True}, "`keep`"),
    "keep > n": (("random",), {"keep": N + 1}, f"`keep`.*at most the dataset's {N} rows; got the count {N + 1}"),
    "unknown method": (("el2m",), {}, r"unknown method 'el2m'. Did you mean 'el2n'\? Available: \["),
    "no method": ((5,), {}, '`method`: wanted a name such as "d2"'),
    "class": ((hf_prune.D2,), {}, '`method`: wanted a name such as "d2"'),
    "unknown option": (("d2",), {"gama": 1}, r"method 'd2' takes no option 'gama'. Did you mean 'gamma'\?"),
    "misspelt keyword": (("random",), {"labels_column": "x"}, r"Did you mean 'label_column'\?"),
    "split on a Dataset": (("random",), {"split": "train"}, "`split`: wanted none for a Dataset, got 'train'"),
    "options with an object": ((hf_prune.D2(),), {"k": 3}, r"unknown keywords \['k'\].*give its options there"),
    "seed": (("random",), {"seed": -1}, "`seed`: wanted a whole number of at least 0"),
    "seed too large": (("random",), {"seed": 2**64}, r"`seed`: wanted a whole number below 2\*\*64"),
    "seed float": (("random",), {"seed": 0.5}, "`seed`: wanted a whole number"),
    "no dynamics": (
        ("el2n",),
        {},
        r"^no dynamics, which .*EL2N\(.*\) needs. To give dynamics: train with "
        r".*Available: groups, labels; columns: \['image_id'",
    ),
    "no embeddings": (
        ("d2",),
        {"scores": np.ones(N)},
        "no embeddings, .* needs. To give embeddings: pass embeddings=",
    ),
    "no recalls": (
        ("drop",),
        {},
        r"no recalls, .* needs. To give recalls: pass recalls=trainer.predict\(validation\)",
    ),
    "scores length": (
        ("given_scores",),
        {"scores": [1.0]},
        f"`scores`: wanted one entry for each of the {N} rows, got 1",
    ),
    "scores shape": (("given_scores",), {"scores": np.ones((N, 1))}, r"`scores`: wanted shape \(n,\)"),
    "scores NaN": (("given_scores",), {"scores": [np.nan] * N}, "`scores`: row 0 holds NaN"),
    "scores text": (("given_scores",), {"scores": ["x"] * N}, r"`scores`: wanted floats of shape \(n,\)"),
    "scores column": (
        ("given_scores",),
        {"scores": "dificulty"},
        r"`scores`: no column 'dificulty'. Did you mean 'diff",
    ),
    "scores of a text column": (("given_scores",), {"scores": "site"}, "column 'site' holds string"),
    "embeddings shape": (
        ("d2",),
        {"scores": np.ones(N), "embeddings": np.ones(N)},
        r"`embeddings`: wanted shape \(n, d\)",
    ),
    "embeddings ragged": (("d2",), {"scores": np.ones(N), "embeddings": [[1], [1, 2]]}, "rows of unequal length"),
    "embeddings of no columns": (
        ("d2",),
        {"scores": np.ones(N), "embeddings": np.ones((N, 0))},
        r"`embeddings`: wanted shape \(n, d\)",
    ),
    "a list of tensors in bfloat16": (
        ("d2",),
        {"scores": np.ones(N), "embeddings": list(torch.ones((N, 2), dtype=torch.bfloat16))},
        "`embeddings`: wanted what numpy can read",
    ),
    "gamma too large": (("d2",), {"gamma": 10**400}, "`gamma`: wanted a number"),
    "per_class of nothing": (("per_class",), {}, "method 'per_class' needs the option 'within'"),
    "embeddings column": (
        ("d2",),
        {"scores": np.ones(N), "embeddings": "site"},
        "holds string.*, wanted a list of numbers",
    ),
    "dynamics type": (("el2n",), {"dynamics": 5}, "`dynamics`: wanted TrainingDynamics, the PruningTrainerCallback"),
    "dynamics path": (("el2n",), {"dynamics": "no/such"}, "`dynamics`: no file at 'no/such'"),
    "label column": (
        ("random",),
        {"label_column": "lable"},
        r"`label_column`: no column 'lable'. Did you mean 'label'\?",
    ),
    "float labels": (
        ("random",),
        {"quotas": "equal", "label_column": "difficulty"},
        "`difficulty`: wanted one int, string",
    ),
    "by column": (("random",), {"by": "sites"}, r"`by`: no column 'sites'. Did you mean 'site'\?"),
    "by length": (("random",), {"by": [1, 2]}, f"`by`: wanted one entry for each of the {N} rows, got 2"),
    "quotas": (("random",), {"quotas": "equals"}, r"`quotas`: unknown 'equals'. Did you mean 'equal'\?"),
    "quotas type": (("random",), {"quotas": 5}, '`quotas`: wanted "proportional", "equal", "drop" or a Quotas object'),
    "quotas twice": (("drop",), {"quotas": "equal"}, "`quotas`, `by`: 'drop' already shares the budget out"),
    "by twice": ((hf_prune.PerClass(hf_prune.Random(), by="site"),), {"by": "label"}, "'per_class' already shares"),
    "PerClass column": ((hf_prune.PerClass(hf_prune.Random(), by="nope"),), {}, "the dataset needs a column 'nope'"),
}


@pytest.mark.parametrize(("args", "options", "message"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_calls(ds, args, options, message):
    before = ds[:]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        ds.prune(*args, **({"keep": 5} | options))
    assert isinstance(caught.value, hf_prune.HFPruneError)
    assert ds[:] == before


def test_keep_must_be_given(ds):
    with pytest.raises(TypeError, match="keep"):
        ds.prune("random")


def test_dynamics_of_another_dataset(ds, dynamics):
    with pytest.raises(hf_prune.AlignmentError, match=f"recorded for {N} rows, this dataset has 50"):
        ds.select(range(50)).prune("el2n", keep=5, dynamics=dynamics)
    with pytest.raises(hf_prune.AlignmentError, match="labels differ from column 'label', first at row"):
        ds.shuffle(seed=0).prune("el2n", keep=5, dynamics=dynamics)
    with pytest.raises(hf_prune.AlignmentError, match="can't check that they describe these rows without the labels"):
        ds.remove_columns("label").prune("el2n", keep=5, dynamics=dynamics)
    bare = TrainingDynamics.from_logits(LOGITS, LABELS)
    with pytest.raises(hf_prune.MissingSignalError, match="no embeddings, which "):
        ds.prune("d2", keep=5, dynamics=bare)
    with pytest.raises(hf_prune.MissingSignalError, match="`embeddings`: these dynamics hold no features"):
        ds.prune("d2", keep=5, scores=np.ones(N), embeddings=Recorder(bare))


def test_dynamics_of_the_source_serve_a_chain(ds, dynamics):
    chain = ds.prune("el2n", keep=0.5, dynamics=dynamics).prune("d2", keep=10, dynamics=dynamics)
    half = ds.prune("el2n", keep=0.5, dynamics=dynamics)
    own = TrainingDynamics.from_logits(LOGITS[:, kept(half)], LABELS[kept(half)])
    alone = half.select(range(30)).prune("d2", keep=10, dynamics=own, embeddings=POINTS[kept(half)])
    assert chain["image_id"][:] == alone["image_id"][:]
    with pytest.raises(hf_prune.AlignmentError, match=f"recorded for {N} rows, this dataset has 30"):
        half.shuffle(seed=0).prune("el2n", keep=5, dynamics=dynamics)


def test_embeddings_that_are_passed_leave_the_dynamics_alone(ds):
    coreset = ds.prune("d2", keep=5, scores="difficulty", embeddings="vector", dynamics="no/such/file")
    assert len(coreset) == 5


def test_no_label_column():
    plain = Dataset.from_dict({"text": ["a", "b"]})
    with pytest.raises(
        hf_prune.MissingSignalError, match=r"no groups, .* needs. To give groups: pass by= or label_column="
    ):
        plain.prune("random", keep=1, quotas="equal")


def test_streaming_and_other_types(ds):
    streaming = ds.to_iterable_dataset()
    for dataset in (streaming, IterableDatasetDict(train=streaming)):
        with pytest.raises(
            hf_prune.ArgumentTypeError, match=r"a streaming dataset has no row count.*without streaming="
        ):
            dataset.prune("random", keep=5)
    with pytest.raises(
        hf_prune.ArgumentTypeError, match=r"wanted a datasets.Dataset, DatasetDict or pandas frame, got"
    ):
        hf_prune.prune([1, 2], "random", keep=1)


def test_an_index_beside_the_rows(ds):
    ds.add_faiss_index("vector")
    with pytest.raises(ValueError, match="can't be selected beside the index 'vector'; drop_index it first"):
        ds.prune("random", keep=5)


def test_columns_with_nulls_or_two_axes_are_refused(ds):
    nulls = ds.remove_columns("difficulty").add_column("difficulty", [None] + [1.0] * (N - 1))
    with pytest.raises(ValueError, match="column 'difficulty' holds 1 nulls"):
        nulls.prune("given_scores", keep=5, scores="difficulty")
    ragged = Dataset.from_dict({"v": [[1.0], [1.0, 2.0]]})
    with pytest.raises(ValueError, match="column 'v' has rows of 1 to 2 numbers"):
        ragged.prune("d2", keep=1, scores=[1, 2], embeddings="v")
    images = Dataset.from_dict({"v": np.zeros((2, 3, 3))}, features=Features({"v": Array2D((3, 3), "float32")}))
    with pytest.raises(TypeError, match=r"column 'v' holds list.*wanted numbers"):
        images.prune("d2", keep=1, scores=[1, 2], embeddings="v")


def test_memory_maps_are_read_in_place(ds, tmp_path):
    np.save(tmp_path / "points.npy", POINTS)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    assert kept(ds.prune("d2", keep=9, scores="difficulty", embeddings=mapped)) == kept(
        ds.prune("d2", keep=9, scores="difficulty", embeddings=POINTS)
    )


def test_the_record_of_a_step(ds, dynamics):
    coreset = ds.prune("d2", keep=0.3, k=5, dynamics=dynamics, embeddings="vector", quotas="equal", seed=7)
    step = coreset.selection.steps[0]
    assert (step.method["method"], step.method["cutoff"]) == ("without_suspects", "auto")
    assert step.method["within"]["method"] == "per_class"
    assert step.method["within"]["quotas"] == {"rule": "equal"}
    assert step.method["within"]["within"]["k"] == 5
    assert (step.keep, step.seed, step.n, step.budget) == (0.3, 7, N, 18)
    assert step.signals["dynamics"] == {"epochs": 4, "coverage": 1.0, "digest": array_digest(dynamics["loss"])}
    vectors = {"from": "column vector", "shape": [N, 6], "dtype": "float32", "digest": array_digest(POINTS)}
    assert step.signals["embeddings"] == vectors
    assert step.signals["labels"] == {"column": "label"}
    assert step.details["within"]["cat"]["k"] == 5
    assert {"hf_prune", "numpy", "datasets", "faiss-cpu", "numba", "torch"} == set(step.versions)
    json.dumps(step.__dict__, allow_nan=False)
