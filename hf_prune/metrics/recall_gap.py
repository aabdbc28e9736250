"""The distance between the best and the worst class."""

from collections.abc import Sequence

from hf_prune.metrics.base import RecallMetric


class RecallGap(RecallMetric):
    """The highest recall of any class minus the lowest, in [0, 1]; 0 where all classes fare alike.

    >>> RecallGap().compute(predictions=[0, 0, 1, 0], references=[0, 0, 1, 1])
    {'recall_gap': 0.5}
    """

    description = "Difference between the highest and the lowest accuracy of any class."

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], labels: Sequence[int] | None = None
    ) -> dict[str, float]:
        recalls = self._recalls(predictions, references, labels).values
        return {"recall_gap": float(recalls.max() - recalls.min())}
