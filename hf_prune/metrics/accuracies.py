"""Accuracies on classes, or on groups of rows, from class ids, and the metrics that are made of them."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import no_mask, real_number, whole_number
from hf_prune.errors import ArgumentError
from hf_prune.recalls import CONFIDENCE, worst_class_interval

_Accuracies: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
"""The ids of the groups that are looked at, the accuracy in [0, 1] on each, and the references of each, at least 1."""

_INPUTS = """
Args:
    predictions: (m,) predicted class ids.
    references: (m,) true class ids.
    labels: the class ids to look at; by default those that occur in the references. A class without references is
        never counted as recall 0: by default it is left out, named in labels= it is an error.
"""


class _ClassIdsMetric(evaluate.Metric):  # type: ignore[misc]
    """Base of the metrics that compare class ids; a subclass implements `_compute`."""

    def _info(self) -> evaluate.MetricInfo:
        ids = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=inspect.getdoc(self),
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": ids, "references": ids}),
        )


class _RecallsMetric(_ClassIdsMetric):
    """Base of the metrics that are one number, which `_statistic` makes of the classes' recalls."""

    _statistic: Callable[[NDArray[np.float64]], np.floating[Any]]

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], labels: Sequence[int] | None = None
    ) -> dict[str, float]:
        _, recalls, _ = _accuracies(predictions, references, references, labels)
        return {self.name: float(self._statistic(recalls))}


class BalancedAccuracy(_RecallsMetric):
    """The mean of the classes' recalls, in [0, 1], however many references each of them has.

    >>> BalancedAccuracy().compute(predictions=[0, 0, 0, 0], references=[0, 0, 0, 1])
    {'balanced_accuracy': 0.5}
    """

    _statistic = staticmethod(np.mean)


class RecallGap(_RecallsMetric):
    """The highest recall of any class minus the lowest, in [0, 1]; 0 where all classes fare alike.

    >>> RecallGap().compute(predictions=[0, 0, 1, 0], references=[0, 0, 1, 1])
    {'recall_gap': 0.5}
    """

    _statistic = staticmethod(np.ptp)


class RecallStd(_RecallsMetric):
    """The standard deviation of the classes' recalls, in [0, 0.5]; 0 where all classes fare alike.

    It describes these classes and no larger population, so the sum of squares is divided by their number.

    >>> RecallStd().compute(predictions=[0, 0, 1, 0], references=[0, 0, 1, 1])
    {'recall_std': 0.25}
    """

    _statistic = staticmethod(np.std)


class WorstClassAccuracy(_ClassIdsMetric):
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
        return _report("class", _accuracies(predictions, references, references, labels), k, confidence)


class WorstGroupAccuracy(_ClassIdsMetric):
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
        return _report("group", _accuracies(predictions, references, groups, labels, "group"), k, confidence)


def _accuracies(
    predictions: Sequence[int],
    references: Sequence[int],
    groups: Sequence[int],
    wanted: Sequence[int] | None,
    kind: str = "class",
) -> _Accuracies:
    """The accuracy on each group of rows; where these are the references, the recall of each class.

    Args:
        groups: (m,) ids of the groups that the rows are in.
        wanted: ids of those to look at; None for all that have rows.
        kind: "class" or "group", for messages.
    """
    if not len(references):
        raise ArgumentError("`references`: wanted at least one, got none")
    no_mask("groups", groups)  # evaluate reads the other two, and refuses masks
    if len(groups) != len(references):
        raise ArgumentError(f"`groups`: wanted one id for each of {len(references)} references, got {len(groups)}")
    ids, codes, support = np.unique(np.asarray(groups, dtype=np.int64), return_inverse=True, return_counts=True)
    values = np.bincount(codes, weights=np.equal(predictions, references)) / support
    if wanted is None:
        return ids, values, support
    if not len(wanted):
        raise ArgumentError(f"`labels`: wanted at least one {kind} id, got none")
    for wanted_id in wanted:
        if wanted_id not in ids:
            raise ArgumentError(f"`labels`: {kind} {wanted_id} has no references; leave it out of labels=")
    looked_at = np.searchsorted(ids, wanted)
    return ids[looked_at], values[looked_at], support[looked_at]


def _report(kind: str, looked_at: _Accuracies, k: int | None, confidence: float) -> dict[str, Any]:
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
