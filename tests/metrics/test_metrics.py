import evaluate
import numpy as np
import pytest
from scipy.stats import binom

import hf_prune
from hf_prune.metrics import BalancedAccuracy, RecallGap, RecallStd, WorstClassAccuracy, WorstGroupAccuracy
from hf_prune.recalls import clopper_pearson, worst_class_interval

# Recalls: class 0 has 3/4, class 1 has 1/2, class 4 has 1.
REFERENCES = [0, 0, 0, 0, 1, 1, 4]
PREDICTIONS = [0, 0, 0, 1, 1, 7, 4]


def test_worst_class_accuracy():
    result = WorstClassAccuracy().compute(predictions=PREDICTIONS, references=REFERENCES)
    assert (result["worst_class_accuracy"], result["worst_class"]) == (0.5, 1)
    low, high = result["interval"]
    assert 0 <= low < 0.5 < high <= 1


def test_recall_gap():
    assert RecallGap().compute(predictions=PREDICTIONS, references=REFERENCES) == {"recall_gap": 0.5}


def test_labels():
    metric = WorstClassAccuracy()
    result = metric.compute(predictions=PREDICTIONS, references=REFERENCES, labels=[4, 0])
    assert (result["worst_class_accuracy"], result["worst_class"]) == (0.75, 0)
    with pytest.raises(ValueError, match="`labels`: class 7 has no references; leave it out of labels="):
        metric.compute(predictions=PREDICTIONS, references=REFERENCES, labels=[7])
    with pytest.raises(hf_prune.ArgumentError, match=r"`labels`: class 4\.5 has no references"):
        metric.compute(predictions=PREDICTIONS, references=REFERENCES, labels=[0, 4.5])
    with pytest.raises(hf_prune.ArgumentError, match="`labels`: wanted at least one class id"):
        metric.compute(predictions=PREDICTIONS, references=REFERENCES, labels=[])


def test_a_group_that_a_mask_hides():
    groups = np.ma.array([0] * 7, mask=[1] + [0] * 6)
    with pytest.raises(hf_prune.ArgumentError, match="`groups`: wanted an array without a mask, got one that hides 1"):
        WorstGroupAccuracy().compute(predictions=PREDICTIONS, references=REFERENCES, groups=groups)


def test_in_batches_and_combined():
    both = evaluate.combine([WorstClassAccuracy(), RecallGap()])
    for start in range(0, 7, 3):
        both.add_batch(predictions=PREDICTIONS[start : start + 3], references=REFERENCES[start : start + 3])
    result = both.compute()
    assert (result["worst_class_accuracy"], result["worst_class"], result["recall_gap"]) == (0.5, 1, 0.5)


def test_nothing_to_measure():
    with pytest.raises(hf_prune.ArgumentError, match="`references`: wanted at least one, got none"):
        RecallGap().compute(predictions=[], references=[])


@pytest.mark.parametrize(
    ("metric", "name", "value"),
    [
        (BalancedAccuracy, "balanced_accuracy", np.mean([0.75, 0.5, 1])),
        (RecallStd, "recall_std", np.std([0.75, 0.5, 1])),
        (RecallGap, "recall_gap", 0.5),
    ],
)
def test_over_all_classes(metric, name, value):
    """Class 7 is predicted and never true: it is left out and no recall 0."""
    assert metric().compute(predictions=PREDICTIONS, references=REFERENCES) == {name: pytest.approx(value)}
    with pytest.raises(hf_prune.ArgumentError, match="`labels`: class 7 has no references"):
        metric().compute(predictions=PREDICTIONS, references=REFERENCES, labels=[0, 7])


def test_mean_of_the_k_worst():
    metric = WorstClassAccuracy()
    result = metric.compute(predictions=PREDICTIONS, references=REFERENCES, k=2)
    assert result["mean_of_2_worst"] == pytest.approx((0.5 + 0.75) / 2)
    for k, message in ((4, "`k`: wanted at most the 3"), (0, "`k`: wanted a whole number of at least 1")):
        with pytest.raises(hf_prune.ArgumentError, match=message):
            metric.compute(predictions=PREDICTIONS, references=REFERENCES, k=k)


def test_worst_group():
    metric = WorstGroupAccuracy()
    groups = [0, 0, 5, 5, 5, 9, 9]  # right: 2 of 2, 2 of 3, 1 of 2
    result = metric.compute(predictions=PREDICTIONS, references=REFERENCES, groups=groups, k=2)
    assert (result["worst_group_accuracy"], result["worst_group"]) == (0.5, 9)
    assert result["mean_of_2_worst"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    result = metric.compute(predictions=PREDICTIONS, references=REFERENCES, groups=groups, labels=[0, 5])
    assert (result["worst_group_accuracy"], result["worst_group"]) == (pytest.approx(2 / 3), 5)
    for given, message in (
        ({}, "`groups`: wanted one id for each of 7 references, got 0"),
        ({"groups": groups[:3]}, "`groups`: wanted one id for each of 7 references, got 3"),
        ({"groups": groups, "labels": [1]}, "`labels`: group 1 has no references"),
    ):
        with pytest.raises(hf_prune.ArgumentError, match=message):
            metric.compute(predictions=PREDICTIONS, references=REFERENCES, **given)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, float("nan")])
def test_confidence_must_be_one(confidence):
    with pytest.raises(hf_prune.ArgumentError, match="`confidence`: wanted"):
        WorstClassAccuracy().compute(predictions=PREDICTIONS, references=REFERENCES, confidence=confidence)


def test_clopper_pearson_holds_the_rates_that_leave_tails_of_its_size():
    low, high = clopper_pearson(7, 20, 0.9)
    assert binom.sf(6, 20, low) == pytest.approx(0.05)  # 7 or more
    assert binom.cdf(7, 20, high) == pytest.approx(0.05)
    assert clopper_pearson([0, 3, 0], [3, 3, 0])[:, 0].tolist()[::2] == [0, 0]
    assert clopper_pearson([0, 3, 0], [3, 3, 0])[:, 1].tolist()[1:] == [1, 1]


def test_the_interval_holds_the_lowest_recall_where_the_minimum_is_biased():
    draw = np.random.default_rng(0)
    recalls, support, tries = np.array([0.8, 0.8, 0.8, 0.85, 0.9]), np.full(5, 50), 2000
    right = draw.binomial(50, recalls, size=(tries, 5))
    assert (right / support).min(axis=1).mean() < 0.8 - 0.02
    held = [low <= 0.8 <= high for low, high in (worst_class_interval(one, support) for one in right)]
    assert np.mean(held) >= 0.95
