"""The recall of the class that fares worst."""

from collections.abc import Sequence

from hf_prune.metrics.base import RecallMetric


class WorstClassAccuracy(RecallMetric):
    """The lowest recall of any class, in [0, 1], and the class that has it, the first of equals.

    As the minimum of noisy recalls it is biased low where classes have few references.

    >>> metric = WorstClassAccuracy()
    >>> metric.compute(predictions=[0, 1, 1, 0], references=[0, 0, 1, 1])
    {'worst_class_accuracy': 0.5, 'worst_class': 0}
    """

    description = "Accuracy on the class with the lowest accuracy."

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], labels: Sequence[int] | None = None
    ) -> dict[str, float]:
        classes, recalls = self._recalls(predictions, references, labels)
        worst = recalls.argmin()
        return {"worst_class_accuracy": float(recalls[worst]), "worst_class": int(classes[worst])}
