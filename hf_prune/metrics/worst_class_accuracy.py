"""The recall of the class that fares worst."""

from collections.abc import Sequence
from typing import Any

from hf_prune.metrics.base import RecallMetric, report
from hf_prune.recalls import CONFIDENCE


class WorstClassAccuracy(RecallMetric):
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

    description = "Accuracy on the class with the lowest accuracy."

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        labels: Sequence[int] | None = None,
        k: int | None = None,
        confidence: float = CONFIDENCE,
    ) -> dict[str, Any]:
        return report(self._recalls(predictions, references, labels), "class", k, confidence)
