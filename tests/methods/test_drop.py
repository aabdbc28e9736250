import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

import hf_prune
from hf_prune import DRoPQuotas
from hf_prune.budget import seat_order
from hf_prune.groups import encode
from hf_prune.signals.signals import Signals

THEORY = json.loads((Path(__file__).parents[1] / "data/drop/theory.json").read_text())["cases"]
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


def test_the_name_of_the_quotas_means_the_measured_temperature(dataset):
    assert (hf_prune.DRoP().quotas.temperature, DRoPQuotas().temperature) == (1.0, 0.5)
    coreset = dataset.prune("random", quotas="drop", keep=100, recalls=RECALLS)
    assert kept(coreset) == kept(dataset.prune("drop", keep=100, recalls=RECALLS, temperature=0.5))
    assert coreset.selection.steps[0].method["quotas"]["temperature"] == 0.5
    with pytest.raises(hf_prune.MissingSignalError, match=r"no recalls, .* needs\. To give recalls: pass recalls="):
        dataset.prune("random", quotas="drop", keep=100)


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
    measured = coreset.selection.steps[0].details["by_group"]
    assert measured["recall"] == [0.5, 1, 1]
    assert measured["recall_used"] == [0.5, 0.75, 0.75]
    assert measured["recall_support"] == [2, 2, 2]
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


def test_by_combined_columns(dataset):
    dataset = dataset.add_column("site", ["a", "b"] * 175)
    recalls = {(label, site): 0.9 if site == "a" else 0.8 for label in RECALLS for site in "ab"}
    coreset = dataset.prune("drop", keep=105, by=("label", "site"), recalls=recalls)
    table = coreset.selection.group_table()
    assert [row["kept"] for row in table] == [5, 10, 10, 20, 20, 40]
    assert table[1]["group"] == "label=cat, site=b"
    quotas = hf_prune.DRoPQuotas(temperature=1.0)
    same = hf_prune.PerClass(hf_prune.Random(), quotas=quotas, by=["label", "site"])
    assert same.by == ("label", "site")
    assert dataset.prune(same, keep=105, recalls=recalls)["site"] == coreset["site"]
    with pytest.raises(ValueError, match=r"`by`: no column 'sight'\. Did you mean 'site'"):
        dataset.prune("drop", keep=105, by=("label", "sight"), recalls=recalls)
    with pytest.raises(TypeError, match="`by`: PerClass takes the name of a column, or a tuple of names"):
        hf_prune.PerClass(hf_prune.Random(), by=("label", 3))


def test_a_combination_that_no_row_has_needs_no_recall():
    dataset = Dataset.from_dict({"label": [0] * 30 + [1] * 30, "site": ["a"] * 30 + ["b"] * 30})
    validation = (np.array([0, 1, 0, 0]), np.array([0, 1, 1, 0]), [(0, "a"), (1, "b"), (1, "b"), (0, "a")])
    coreset = dataset.prune("drop", keep=20, by=("label", "site"), recalls=validation, prior=(0, 0))
    assert kept(coreset) == [0, 0, 0, 20]  # label=1, site=b


def test_what_was_measured_is_in_the_record(dataset, tmp_path):
    dataset = dataset.class_encode_column("label")
    draw = np.random.default_rng(0)
    references = np.repeat([0, 1, 2], 40)
    predictions = np.where(draw.random(120) < 0.7, references, 0)
    selection = dataset.prune("drop", keep=70, recalls=(predictions, references)).selection
    selection.save(tmp_path / "selection")
    loaded = hf_prune.Selection.load(tmp_path / "selection")
    for found in (selection, loaded):
        for row, low_high in zip(found.group_table(), found.details["by_group"]["recall_interval"], strict=True):
            assert low_high[0] <= row["recall"] <= low_high[1]
            assert row["recall_interval"] == low_high
        assert found.details["by_group"]["recall_support"] == [40, 40, 40]
        assert "recall before" in found.summary()
        assert f"{found.details['by_group']['recall'][1]:.3f} (" in found.summary()


def test_combined_groups_come_back_from_a_file(dataset, tmp_path):
    dataset = dataset.add_column("site", ["a", "b"] * 175)
    coreset = dataset.prune("random", keep=35, by=("label", "site"))
    coreset.selection.save(tmp_path / "selection")
    assert hf_prune.Selection.load(tmp_path / "selection").groups.values == coreset.selection.groups.values


def test_a_group_of_few_rows_is_named(dataset, caplog):
    selection = dataset.prune("drop", keep=65, recalls=RECALLS | {"cat": 0.9}).selection
    few = [row["group"] for row in selection.group_table() if row["kept"] < 10]
    assert few == ["cat"]
    assert "fewer than 10 rows or a tenth of their share are kept of cat (" in caplog.text
    assert "warning: fewer than 10 rows or a tenth of their share are kept of cat (" in selection.summary()
    caplog.clear()
    dataset.prune("random", keep=0.5, quotas="equal")
    assert not caplog.text


def test_a_class_that_was_not_held_out(dataset, caplog):
    dataset = dataset.class_encode_column("label")
    seen = ([0, 0, 1, 0], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="none for class 'emu'"):
        dataset.prune("drop", keep=30, recalls=seen)
    selection = dataset.prune("drop", keep=30, recalls=seen, missing="pooled", prior=(0, 0)).selection
    assert selection.details["by_group"]["recall"] == [1, 0.5, 0.75]
    assert "drop: no recall for emu: that of all classes together is used" in caplog.text
    assert "warning: no recall for emu" in selection.summary()


def test_recalls_of_training_rows_only_on_request(caplog):
    labels = np.repeat([0, 1], 40)
    logits = np.zeros((2, 80, 2))
    logits[:, np.arange(80), labels] = 1
    logits[1, :10] = [0, 1]  # a quarter of class 0 is wrong in the last epoch
    dynamics = hf_prune.TrainingDynamics.from_logits(logits, labels)
    dataset = Dataset.from_dict({"label": labels})
    with pytest.raises(hf_prune.MissingSignalError, match="no recalls, which "):
        dataset.prune("drop", keep=20, dynamics=dynamics)
    selection = dataset.prune("drop", keep=20, dynamics=dynamics, recalls_from="train", prior=(0, 0)).selection
    assert selection.details["by_group"]["recall"] == [0.75, 1]
    assert selection.group_table()[0]["kept"] == 20
    assert "the recalls are those of training rows" in caplog.text
    with pytest.raises(ValueError, match="`schedule`: rounds measure recalls again"):
        hf_prune.DRoP(schedule=2, recalls_from="train")


def test_recalls_of_training_rows_need_a_run_that_tells_right_from_wrong(dataset):
    losses = {"loss": np.ones((2, 350), np.float32)}
    dynamics = hf_prune.TrainingDynamics(losses, np.full(350, -1), task="regression")
    with pytest.raises(hf_prune.ArgumentError, match="regression run holds no 'correct', it holds loss"):
        dataset.prune("drop", keep=20, dynamics=dynamics, recalls_from="train")


def test_a_high_temperature_gives_all_to_the_worst_class(dataset):
    assert kept(dataset.prune("drop", keep=60, recalls=RECALLS, temperature=400)) == [50, 10, 0]


def test_rounds_need_recalls_that_can_be_measured_again(dataset):
    with pytest.raises(ValueError, match="`recalls`: schedule=2 measures them 2 times; wanted a function"):
        dataset.prune("drop", keep=60, recalls=RECALLS, schedule=2)
    with pytest.raises(ValueError, match="`recalls`: none for class 'emu'"):
        dataset.prune("drop", keep=60, recalls=lambda rows: {"cat": 0.5, "dog": 0.5}, schedule=2)


def test_rounds_prune_what_is_left(dataset):
    seen = []

    def measure(rows):
        seen.append(rows)
        return RECALLS

    selection = dataset.prune("drop", keep=35, recalls=measure, schedule=2).selection
    assert [len(rows) for rows in seen] == [350, 111]
    # Densities are the errors' squares, 25 : 4 : 1, of what there was at first.
    weights = np.array([50, 100, 200]) * np.square([0.5, 0.2, 0.1])
    expected = weights / weights.sum() * 35
    np.testing.assert_allclose([row["kept"] for row in selection.group_table()], expected, atol=1)
    assert selection.groups.sizes.tolist() == [50, 100, 200]
    with pytest.raises(ValueError, match="keeps no picking order"):
        selection.at(keep=10)


@st.composite
def problems(draw):
    recalls = draw(st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99, 1.0]), min_size=1, max_size=7))
    sizes = draw(st.lists(st.integers(1, 30), min_size=len(recalls), max_size=len(recalls)))
    allocate, temperature = draw(st.sampled_from(["density", "count"])), draw(st.sampled_from([0, 0.5, 1, 3]))
    return recalls, sizes, draw(st.integers(1, sum(sizes))), DRoPQuotas(allocate=allocate, temperature=temperature)


def shared_out(recalls, sizes, budget, rule):
    groups = encode("label", np.repeat(np.arange(len(sizes)), sizes))
    weights, _ = rule.weigh(groups, Signals(sum(sizes), {"recalls": list(recalls)}))
    return np.bincount(seat_order(weights, groups.sizes, budget), minlength=len(sizes))


@settings(max_examples=2000, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_quotas_of_random_problems(problem, random):
    recalls, sizes, budget, rule = problem
    got = shared_out(recalls, sizes, budget, rule)
    assert got.sum() == budget
    assert (got <= sizes).all()
    assert (shared_out(recalls, sizes, budget - 1, rule) <= got).all()  # house-monotone
    for i, j in combinations(range(len(sizes)), 2):
        if (recalls[i], sizes[i]) == (recalls[j], sizes[j]):
            assert abs(got[i] - got[j]) <= 1
    order = random.sample(range(len(sizes)), len(sizes))
    moved = shared_out([recalls[i] for i in order], [sizes[i] for i in order], budget, rule)
    assert (abs(moved - got[order]) <= 1).all()  # places of equal claim go to the lower class
    if rule.temperature:
        perfect = np.array(recalls) == 1
        if got[perfect].any():  # only once the others are full, and by size
            assert (got[~perfect] == np.array(sizes)[~perfect]).all()
    elif rule.allocate == "density":
        proportional = np.bincount(seat_order(sizes, sizes, budget), minlength=len(sizes))
        np.testing.assert_array_equal(got, proportional)


@pytest.mark.parametrize("case", THEORY, ids=[case["name"] for case in THEORY])
def test_theory(case):
    """Two Gaussians: DRoP's class counts from the query model's recalls are those of the closed form."""
    sizes = np.array([case["N0"], case["N1"]])
    groups = encode("label", np.repeat([0, 1], sizes))
    budget = round(case["density"] * sizes.sum())
    recalls = [1 - case["query_R0"], 1 - case["query_R1"]]
    for allocate in ("density", "count"):
        method = hf_prune.DRoP(allocate=allocate)
        choice = method.select(Signals(sizes.sum(), {"groups": groups, "recalls": recalls}), budget, 0)
        expected = case[f"drop_{allocate}"]["counts"]
        np.testing.assert_allclose(groups.take(choice.rows).sizes, expected, atol=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, r"`temperature`: wanted a finite number in \[0, inf\), got -1"),
        ({"allocate": "counts"}, r"`allocate`: .*Did you mean 'count'\?"),
        ({"prior": 1}, "`prior`: wanted two numbers >= 0"),
        ({"prior": (1, -1)}, r"`prior`: wanted a finite number in \[0, inf\)"),
        ({"min_per_class": -1}, "`min_per_class`: wanted a whole number of at least 0"),
        ({"missing": "pool"}, r"`missing`: .*Did you mean 'pooled'\?"),
        ({"recalls_from": "test"}, "`recalls_from`: wanted one of"),
        ({"schedule": 0}, "`schedule`: wanted a whole number of at least 1"),
        ({"within": "random"}, r"`within`: wanted a Method such as `hf_prune.Random\(\)`"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        hf_prune.DRoP(**options)
    assert isinstance(caught.value, hf_prune.HFPruneError)
