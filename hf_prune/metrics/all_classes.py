"""Metrics in which every class counts the same, however many references it has."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.metrics.base import ClassIdsMetric, accuracies


class _RecallsMetric(ClassIdsMetric):
    """Base of the metrics that are one number, which `_statistic` makes of the classes' recalls."""

    _statistic: Callable[[NDArray[np.float64]], np.floating[Any]]

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], labels: Sequence[int] | None = None
    ) -> dict[str, float]:
        _, recalls, _ = accuracies(predictions, references, references, labels)
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
