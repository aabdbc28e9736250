import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.groups import encode
from hf_prune.signals import Signals

THEORY = json.loads((Path(__file__).parent / "data/drop/theory.json").read_text())["cases"]
CLASSES = np.repeat(["cat", "dog", "emu"], [50, 100, 200])
RECALLS = {"cat": 0.5, "dog": 0.8, "emu": 0.9}


@pytest.fixture
def dataset():
    return Dataset.from_dict({"label": CLASSES})


def kept(coreset):
    return [row["kept"] for row in coreset.selection.group_table()]


def test_density_and_count(dataset):
    # Densities 5 : 2 : 1 of 50, 100, 200 rows are weights 25 : 20 : 20.
    assert kept(dataset.prune("drop", keep=65, recalls=RECALLS)) == [25, 20, 20]
    assert kept(dataset.prune("drop", keep=80, recalls=RECALLS, allocate="count")) == [50, 20, 10]


def test_temperature(dataset):
    assert kept(dataset.prune("drop", keep=35, recalls=RECALLS, temperature=0)) == [5, 10, 20]  # uniform density
    weights = np.array([50, 100, 200]) * np.sqrt([0.5, 0.2, 0.1])
    expected = np.round(weights / weights.sum() * 100).astype(int).tolist()
    assert kept(dataset.prune("drop", keep=100, recalls=RECALLS, temperature=0.5)) == expected


def test_prior_applies_where_counts_are_known(dataset):
    dataset = dataset.class_encode_column("label")
    references = [0] * 2 + [1] * 2 + [2] * 2
    perfect = (references, references)
    # (2 + 1) / (2 + 2) for each class, so equal densities.
    assert kept(dataset.prune("drop", keep=35, recalls=perfect)) == [5, 10, 20]
    one_wrong = ([1, 0, 1, 1, 2, 2], references)
    smoothed = 1 - np.array([0.5, 0.75, 0.75])
    weights = smoothed * [50, 100, 200]
    coreset = dataset.prune("drop", keep=100, recalls=one_wrong)
    assert kept(coreset) == np.round(weights / weights.sum() * 100).astype(int).tolist()
    details = coreset.selection.steps[0].details
    assert details["recalls"] == [0.5, 1, 1]
    assert details["recalls_used"] == [0.5, 0.75, 0.75]
    assert details["recall_support"] == [2, 2, 2]
    assert kept(dataset.prune("drop", keep=40, recalls=one_wrong, prior=(0, 0))) == [40, 0, 0]


def test_recall_one_comes_last_and_min_per_class_first(dataset):
    recalls = RECALLS | {"emu": 1.0}
    assert kept(dataset.prune("drop", keep=150, recalls=recalls)) == [50, 100, 0]
    assert kept(dataset.prune("drop", keep=160, recalls=recalls)) == [50, 100, 10]
    assert kept(dataset.prune("drop", keep=40, recalls=recalls, min_per_class=5)) == pytest.approx([19, 16, 5], abs=1)
    with pytest.raises(ValueError, match="`keep`: 10 rows are fewer than the 15 that min_per_class=5 asks for"):
        dataset.prune("drop", keep=10, recalls=recalls, min_per_class=5)
    with pytest.raises(ValueError, match="can be cut to 15 to 40 rows"):
        dataset.prune("drop", keep=40, recalls=recalls, min_per_class=5).selection.at(keep=14)


def test_is_per_class_with_drop_quotas(dataset):
    drop = dataset.prune("drop", keep=70, recalls=RECALLS, temperature=0.7, seed=3).selection
    same = dataset.prune(
        "random", keep=70, recalls=RECALLS, quotas=hf_prune.DRoPQuotas(temperature=0.7), seed=3
    ).selection
    np.testing.assert_array_equal(drop.indices, same.indices)
    np.testing.assert_array_equal(drop.rank, same.rank)


def test_within_a_class_the_rows_are_random(dataset):
    first, second = (dataset.prune("drop", keep=70, recalls=RECALLS, seed=seed).selection.indices for seed in (0, 1))
    assert first.tolist() != second.tolist()


def test_smaller_budgets_have_their_own_quotas(dataset):
    large = dataset.prune("drop", keep=200, recalls=RECALLS).selection
    for budget in (20, 100, 199):
        small = dataset.prune("drop", keep=budget, recalls=RECALLS).selection
        np.testing.assert_array_equal(large.at(keep=budget).indices, small.indices)


def test_by_another_column(dataset):
    dataset = dataset.add_column("site", ["a", "b"] * 175)
    coreset = dataset.prune("drop", keep=30, by="site", recalls={"a": 0.9, "b": 0.8})
    assert kept(coreset) == [10, 20]
    again = dataset.prune("drop", keep=30, by=["a", "b"] * 175, recalls={"a": 0.9, "b": 0.8})
    assert kept(again) == [10, 20]
    assert again.selection.indices.tolist() == coreset.selection.indices.tolist()


def test_class_numbers_serve_only_the_classes_that_they_number(dataset):
    predicted = ([0, 1, 2, 0], [0, 1, 2, 2])
    # Text may have been numbered in any order before training.
    with pytest.raises(ValueError, match="`recalls`: these predictions are class numbers"):
        dataset.prune("drop", keep=30, recalls=predicted)
    numbered = Dataset.from_dict({"label": np.unique(CLASSES, return_inverse=True)[1]})
    numbered = numbered.add_column("site", np.arange(350) % 3)
    assert kept(numbered.prune("drop", keep=30, recalls=predicted)) == kept(
        numbered.prune("drop", keep=30, by="label", recalls=predicted)
    )
    per_site = hf_prune.PerClass(hf_prune.Random(), quotas=hf_prune.DRoPQuotas(), by="site")
    for method, by in (("drop", "site"), ("drop", np.arange(350) % 3), (per_site, None)):
        with pytest.raises(ValueError, match="`recalls`: these predictions are class numbers"):
            numbered.prune(method, keep=30, by=by, recalls=predicted)


@pytest.mark.parametrize("case", THEORY, ids=[case["name"] for case in THEORY])
def test_theory(case):
    """Two Gaussians: DRoP's class counts from the query model's recalls are those of the closed form."""
    sizes = np.array([case["N0"], case["N1"]])
    groups = encode("label", np.repeat([0, 1], sizes))
    budget = round(case["density"] * sizes.sum())
    recalls = [1 - case["query_R0"], 1 - case["query_R1"]]
    for allocate in ("density", "count"):
        method = hf_prune.DRoP(allocate=allocate)
        selection = method.select(Signals(sizes.sum(), {"groups": groups, "recalls": recalls}), budget, 0)
        expected = case[f"drop_{allocate}"]["counts"]
        np.testing.assert_allclose([row["kept"] for row in selection.group_table()], expected, atol=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, r"`temperature`: wanted a finite number in \[0, inf\), got -1"),
        ({"allocate": "counts"}, r"`allocate`: .*Did you mean 'count'\?"),
        ({"prior": 1}, "`prior`: wanted two numbers >= 0"),
        ({"prior": (1, -1)}, r"`prior`: wanted a finite number in \[0, inf\)"),
        ({"min_per_class": -1}, "`min_per_class`: wanted a whole number of at least 0"),
        ({"within": "random"}, r"`within`: wanted a Method such as `hf_prune.Random\(\)`"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        hf_prune.DRoP(**options)
    assert isinstance(caught.value, hf_prune.HFPruneError)
