"""Metrics of the class, or the group of rows, that fares worst."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_prune.arguments import real_number, whole_number
from hf_prune.errors import ArgumentError
from hf_prune.metrics.base import Accuracies, ClassIdsMetric, accuracies
from hf_prune.recalls import CONFIDENCE, worst_class_interval


class WorstClassAccuracy(ClassIdsMetric):
    """The lowest recall of any class, in [0, 1], and the class that has it, the first of equals.

    It is biased low where classes have few references, being the minimum of noisy recalls. The interval holds the
    lowest true recall with 95% probability or more: for each class one of Clopper and Pearson, as Bonferroni has it.

    `compute(..., k=3)` adds the mean of the 3 lowest recalls, `compute(..., confidence=0.9)` has another interval.

    >>> metric = WorstClassAccuracy()
    >>> metric.compute(predictions=[0, 1, 1, 0], references=[0, 0, 1, 1])["worst_class_accuracy"]
    0.5
    >>> result = metric.compute(predictions=[0] * 90 + [1] * 110, references=[0] * 100 + [1] * 100, k=2)
    >>> result["worst_class"], result["mean_of_2_worst"], [round(end, 3) for end in result["interval"]]
    (0, 0.95, [0.812, 0.956])
    """

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        labels: Sequence[int] | None = None,
        k: int | None = None,
        confidence: float = CONFIDENCE,
    ) -> dict[str, Any]:
        return _report("class", accuracies(predictions, references, references, labels), k, confidence)


class WorstGroupAccuracy(ClassIdsMetric):
    """The lowest accuracy on any group of rows, in [0, 1], and the group that has it, the first of equals.

    Groups are whole numbers, one for each row, passed to `compute`: a background, or a label with a background. A
    group without rows is never counted as accuracy 0: by default it is left out, named in labels= it is an error. The
    interval and k mean what they mean in WorstClassAccuracy.

    >>> metric = WorstGroupAccuracy()
    >>> metric.compute(predictions=[0, 1, 1, 0], references=[0, 0, 1, 0], groups=[7, 7, 7, 8])["worst_group"]
    7
    """

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        groups: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        k: int | None = None,
        confidence: float = CONFIDENCE,
    ) -> dict[str, Any]:
        groups = () if groups is None else groups
        return _report("group", accuracies(predictions, references, groups, labels, "group"), k, confidence)


def _report(kind: str, looked_at: Accuracies, k: int | None, confidence: float) -> dict[str, Any]:
    """The lowest accuracy, who has it, an interval, and the mean of the k lowest.

    Args:
        kind: "class" or "group".

    Raises:
        ArgumentError: k below 1 or above the number of classes, confidence outside (0, 1).
    """
    ids, values, support = looked_at
    if not 0 < real_number("confidence", confidence) < 1:
        raise ArgumentError(f"`confidence`: wanted a number between 0 and 1, as in confidence=0.95, got {confidence}")
    if k is not None and whole_number("k", k, at_least=1) > len(ids):
        raise ArgumentError(f"`k`: wanted at most the {len(ids)} that are looked at, got {k}")
    lowest = np.argsort(values, kind="stable")
    worst = {
        f"worst_{kind}_accuracy": float(values[lowest[0]]),
        f"worst_{kind}": int(ids[lowest[0]]),
        "interval": list(worst_class_interval(values * support, support, confidence)),
    }
    return worst if k is None else worst | {f"mean_of_{k}_worst": float(values[lowest[:k]].mean())}
