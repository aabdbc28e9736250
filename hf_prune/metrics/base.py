"""What the metrics share: per-class recalls from class ids."""

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError
from hf_prune.recalls import count_recalls

_INPUTS = """
Args:
    predictions: (m,) predicted class ids.
    references: (m,) true class ids.
    labels: the class ids to look at; by default those that occur in the references. A class without references is
        never counted as recall 0: by default it is left out, named in labels= it is an error.
"""


class RecallMetric(evaluate.Metric):  # type: ignore[misc]
    """Base of the metrics over per-class recalls; a subclass describes itself and implements `_compute`."""

    description: str

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _recalls(
        self, predictions: Sequence[int], references: Sequence[int], labels: Sequence[int] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The classes looked at, (classes,) ids, and their recalls, (classes,) in [0, 1]."""
        if not len(references):
            raise ArgumentError("`references`: wanted at least one, got none")
        found, codes = np.unique(np.concatenate([references, predictions]).astype(np.int64), return_inverse=True)
        true, predicted = np.split(codes, [len(references)])
        recalls = count_recalls(predicted, true, len(found)).values
        if labels is None:
            known = ~np.isnan(recalls)
            return found[known], recalls[known]
        if not len(labels):
            raise ArgumentError("`labels`: wanted at least one class id, got none")
        recall_of = dict(zip(found.tolist(), recalls.tolist(), strict=True))
        for label in labels:
            if np.isnan(recall_of.get(int(label), np.nan)):
                raise ArgumentError(f"`labels`: class {label} has no references; leave it out of labels=")
        return np.array(labels, dtype=np.int64), np.array([recall_of[int(label)] for label in labels])
