"""How far the classes fare apart."""

from collections.abc import Sequence

from hf_prune.metrics.base import RecallMetric


class RecallStd(RecallMetric):
    """The standard deviation of the classes' recalls, in [0, 0.5]; 0 where all classes fare alike.

    It describes these classes and no larger population, so the sum of squares is divided by their number.

    >>> RecallStd().compute(predictions=[0, 0, 1, 0], references=[0, 0, 1, 1])
    {'recall_std': 0.25}
    """

    description = "Standard deviation over classes of the accuracy on each."

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], labels: Sequence[int] | None = None
    ) -> dict[str, float]:
        return {"recall_std": float(self._recalls(predictions, references, labels).values.std())}
