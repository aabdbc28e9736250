"""Accuracy in which every class counts the same."""

from collections.abc import Sequence

from hf_prune.metrics.base import RecallMetric


class BalancedAccuracy(RecallMetric):
    """The mean of the classes' recalls, in [0, 1], however many references each of them has.

    >>> BalancedAccuracy().compute(predictions=[0, 0, 0, 0], references=[0, 0, 0, 1])
    {'balanced_accuracy': 0.5}
    """

    description = "Mean over classes of the accuracy on each."

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], labels: Sequence[int] | None = None
    ) -> dict[str, float]:
        return {"balanced_accuracy": float(self._recalls(predictions, references, labels).values.mean())}
