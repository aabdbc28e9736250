"""What the metrics share: recalls of classes, or accuracies of groups, from class ids."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import real_number, whole_number
from hf_prune.errors import ArgumentError
from hf_prune.recalls import count_recalls, worst_class_interval

_INPUTS = """
Args:
    predictions: (m,) predicted class ids.
    references: (m,) true class ids.
    labels: the class ids to look at; by default those that occur in the references. A class without references is
        never counted as recall 0: by default it is left out, named in labels= it is an error.
"""


class RecallsById(NamedTuple):
    """The recall of each class, or the accuracy on each group, that is looked at.

    Attributes:
        ids: (classes,) int64.
        values: (classes,) float64 recalls or accuracies in [0, 1].
        support: (classes,) float64 references of each, at least 1.
    """

    ids: NDArray[np.int64]
    values: NDArray[np.float64]
    support: NDArray[np.float64]


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
    ) -> RecallsById:
        """The recalls of the classes that are looked at."""
        if not len(references):
            raise ArgumentError("`references`: wanted at least one, got none")
        ids, codes = np.unique(np.concatenate([references, predictions]).astype(np.int64), return_inverse=True)
        true, predicted = np.split(codes, [len(references)])
        counted = count_recalls(predicted, true, len(ids))
        assert counted.support is not None, "counted recalls know their counts"
        if labels is None:
            looked_at = np.flatnonzero(counted.support > 0)
        else:
            looked_at = _places(labels, ids, counted.support, "class")
        return RecallsById(ids[looked_at], counted.values[looked_at], counted.support[looked_at])


def accuracies(
    predictions: Sequence[int], references: Sequence[int], groups: Sequence[int], wanted: Sequence[int] | None
) -> RecallsById:
    """The accuracies on groups of rows, by (m,) group ids; `wanted` are those to look at, None for all."""
    if len(groups) != len(references) or not len(references):
        raise ArgumentError(f"`groups`: wanted one id for each of {len(references)} references, got {len(groups)}")
    ids, codes = np.unique(np.asarray(groups, dtype=np.int64), return_inverse=True)
    support = np.bincount(codes).astype(np.float64)
    right = np.bincount(codes, weights=np.equal(predictions, references))
    looked_at = np.arange(len(ids)) if wanted is None else _places(wanted, ids, support, "group")
    return RecallsById(ids[looked_at], (right / support)[looked_at], support[looked_at])


def report(recalls: RecallsById, kind: str, k: int | None, confidence: float) -> dict[str, Any]:
    """What the metrics of the worst say: the lowest recall, who has it, an interval, and the mean of the k lowest.

    Args:
        kind: "class" or "group".

    Raises:
        ArgumentError: k below 1 or above the number of classes, confidence outside (0, 1).
    """
    if not 0 < real_number("confidence", confidence) < 1:
        raise ArgumentError(f"`confidence`: wanted a number between 0 and 1, as in confidence=0.95, got {confidence}")
    lowest = recalls.values.argmin()
    result: dict[str, Any] = {
        f"worst_{kind}_accuracy": float(recalls.values[lowest]),
        f"worst_{kind}": int(recalls.ids[lowest]),
        "interval": list(worst_class_interval(recalls.values * recalls.support, recalls.support, confidence)),
    }
    if k is None:
        return result
    if whole_number("k", k, at_least=1) > len(recalls.values):
        raise ArgumentError(f"`k`: wanted at most the {len(recalls.values)} that are looked at, got {k}")
    return result | {f"mean_of_{k}_worst": float(np.sort(recalls.values)[:k].mean())}


def _places(
    wanted: Sequence[int], ids: NDArray[np.int64], support: NDArray[np.float64], kind: str
) -> NDArray[np.int64]:
    """The position in `ids` of each of `wanted`, which must have references."""
    if not len(wanted):
        raise ArgumentError(f"`labels`: wanted at least one {kind} id, got none")
    place = {int(ids[i]): i for i in np.flatnonzero(support > 0)}
    for one in wanted:
        if int(one) not in place:
            raise ArgumentError(f"`labels`: {kind} {one} has no references; leave it out of labels=")
    return np.array([place[int(one)] for one in wanted])
