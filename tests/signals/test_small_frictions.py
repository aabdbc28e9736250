"""What users write at first, and what they are told."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

import hf_prune
from hf_prune.labels import likely_label_column

N = 40


@pytest.fixture
def ds():
    return Dataset.from_dict({"text": [f"text {i}" for i in range(N)], "category": ["a", "b"] * (N // 2)})


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [(("random", 0.3), {}, "0.3"), (("random", 30), {"seed": 1}, "30"), (("random",), {}, "0.3")],
)
def test_keep_is_named(ds, given, options, said):
    line = rf"`keep`: name it, as in prune\('random', keep={said}\)"
    for call in (ds.prune, lambda *args, **rest: hf_prune.prune(ds, *args, **rest)):
        with pytest.raises(hf_prune.ArgumentTypeError, match=line):
            call(*given, **options)


@pytest.mark.parametrize("name", ["Random", "RANDOM", " random"])
def test_methods_are_found_by_other_spellings(ds, name):
    assert ds.prune(name, keep=5).selection.indices.tolist() == ds.prune("random", keep=5).selection.indices.tolist()


@pytest.mark.parametrize(("name", "options"), [("Given-Scores", {}), ("givenscores", {"quotas": "equal"})])
def test_scores_and_quotas_too(ds, name, options):
    kept = ds.rename_column("category", "label").prune(name, keep=4, scores=range(N), **options).selection.indices
    assert kept.tolist() == [N - 4, N - 3, N - 2, N - 1]


def test_tensors_are_read_whatever_they_are(ds):
    torch = pytest.importorskip("torch")
    values = torch.arange(float(N))
    for tensor in (values.bfloat16(), values.clone().requires_grad_(), values.half()):
        assert ds.prune("given_scores", keep=2, scores=tensor).selection.indices.tolist() == [N - 2, N - 1]
    points = torch.arange(2.0 * N).view(N, 2).requires_grad_()
    assert len(ds.prune("prototypicality", keep=5, embeddings=points)) == 5
    logits = torch.zeros(1, 3, 2, dtype=torch.bfloat16, requires_grad=True)
    assert hf_prune.TrainingDynamics.from_logits(logits, torch.tensor([0, 1, 0]))["margin"].tolist() == [[0, 0, 0]]


def test_what_is_missing_comes_first_with_the_columns_and_a_proposal(ds):
    with pytest.raises(hf_prune.MissingSignalError) as error:
        ds.prune("random", keep=5, quotas="equal")
    said = str(error.value)
    assert said.startswith("no groups, which PerClass(")
    assert said.endswith("; perhaps label_column='category'. Available: none; columns: ['text', 'category']")
    with pytest.raises(hf_prune.MissingSignalError, match=r"^no dynamics and no embeddings, which "):
        ds.prune("d2", keep=5)


@pytest.mark.parametrize(
    ("columns", "proposed"),
    [
        ({"x": ["a", "b"] * 20, "animal_class": range(40)}, "animal_class"),
        ({"x": [f"{i}" for i in range(40)], "kind": [0, 1] * 20}, "kind"),
        ({"x": np.arange(40.0), "y": [[0]] * 40}, None),
    ],
)
def test_a_label_column_of_another_name_is_proposed(columns, proposed):
    assert likely_label_column(Dataset.from_dict(columns)) == proposed


def test_of_several_classes_the_first_is_proposed():
    two = Dataset.from_dict({"a": [0, 1], "b": [0, 1]})
    two = two.cast_column("a", ClassLabel(2)).cast_column("b", ClassLabel(2))
    with pytest.raises(hf_prune.MissingSignalError, match="perhaps label_column='a'"):
        two.prune("random", keep=1, quotas="equal")


def test_dir_is_the_public_list():
    listed = dir(hf_prune)
    assert {"prune", "D2", "Selection", "PruningTrainerCallback", "find_label_errors", "compare"} <= set(listed)
    assert not {"Any", "TYPE_CHECKING", "importlib", "dataset", "arguments"} & set(listed)
    assert [name for name in listed if name.startswith("_")] == []
    assert [name for name in listed if not hasattr(hf_prune, name)] == []


def test_merging_says_that_it_keeps_no_features(caplog):
    run = hf_prune.TrainingDynamics.from_logits(np.zeros((1, N, 2)), [0, 1] * (N // 2))
    hf_prune.TrainingDynamics.merge([run, run])
    assert not caplog.records
    run.features["last"] = np.zeros((N, 2), dtype=np.float32)
    hf_prune.TrainingDynamics.merge([run, run])
    (record,) = caplog.records
    assert "features of several runs can't be compared and are not kept; for methods that read" in record.getMessage()
