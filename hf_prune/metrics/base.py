"""What the metrics share: accuracies on classes, or on groups of rows, from class ids."""

import inspect
from collections.abc import Sequence
from typing import TypeAlias

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError

Accuracies: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
"""The ids of the groups that are looked at, the accuracy in [0, 1] on each, and the references of each, at least 1."""

_INPUTS = """
Args:
    predictions: (m,) predicted class ids.
    references: (m,) true class ids.
    labels: the class ids to look at; by default those that occur in the references. A class without references is
        never counted as recall 0: by default it is left out, named in labels= it is an error.
"""


class ClassIdsMetric(evaluate.Metric):  # type: ignore[misc]
    """Base of the metrics that compare class ids; a subclass implements `_compute`."""

    def _info(self) -> evaluate.MetricInfo:
        ids = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=inspect.getdoc(self),
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": ids, "references": ids}),
        )


def accuracies(
    predictions: Sequence[int],
    references: Sequence[int],
    groups: Sequence[int],
    wanted: Sequence[int] | None,
    kind: str = "class",
) -> Accuracies:
    """The accuracy on each group of rows; where these are the references, the recall of each class.

    Args:
        groups: (m,) ids of the groups that the rows are in.
        wanted: ids of those to look at; None for all that have rows.
        kind: "class" or "group", for messages.
    """
    if not len(references):
        raise ArgumentError("`references`: wanted at least one, got none")
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
