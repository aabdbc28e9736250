"""The accuracy on the group that fares worst."""

from collections.abc import Sequence
from typing import Any

from hf_prune.metrics.base import RecallMetric, accuracies, report
from hf_prune.recalls import CONFIDENCE


class WorstGroupAccuracy(RecallMetric):
    """The lowest accuracy on any group of rows, in [0, 1], and the group that has it, the first of equals.

    Groups are whole numbers, one for each row, passed to `compute`: a background, or a label with a background. A
    group without rows is never counted as accuracy 0: by default it is left out, named in labels= it is an error. The
    interval and k mean what they mean in WorstClassAccuracy.

    >>> metric = WorstGroupAccuracy()
    >>> metric.compute(predictions=[0, 1, 1, 0], references=[0, 0, 1, 0], groups=[7, 7, 7, 8])["worst_group"]
    7
    """

    description = "Accuracy on the group of rows with the lowest accuracy."

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        groups: Sequence[int] | None = None,
        labels: Sequence[int] | None = None,
        k: int | None = None,
        confidence: float = CONFIDENCE,
    ) -> dict[str, Any]:
        recalls = accuracies(predictions, references, () if groups is None else groups, labels)
        return report(recalls, "group", k, confidence)
