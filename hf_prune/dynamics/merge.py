"""The mean of several runs over the same rows."""

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hf_prune.dynamics.rows import UNSEEN, check_digests
from hf_prune.dynamics.storage import Contents
from hf_prune.errors import AlignmentError, ArgumentError

logger = logging.getLogger(__name__)


def merged(runs: Iterable[Contents]) -> Contents:
    """The mean that TrainingDynamics.merge describes, without features."""
    labels: NDArray[np.int64] | None = None
    for number, run in enumerate(runs):
        if run.features and not number:
            logger.warning(
                "merge: features of several runs can't be compared and are not kept; for methods that read them pass "
                "also those of one run, as in prune(..., dynamics=merged, embeddings=run_of_seed_0)"
            )
        shape = next(iter(run.signals.values())).shape
        if labels is None:
            labels, task, wanted = run.labels.copy(), run.task, shape
            digests = dict(run.digests)
            totals = {name: np.zeros(shape) for name in run.signals}
            seen = {name: np.zeros(shape, dtype=np.uint32) for name in run.signals}
        if run.task != task:
            raise ArgumentError(f"`runs`: run 0 is of the task {task!r}, run {number} of {run.task!r}")
        if shape[1] != wanted[1]:
            raise AlignmentError(
                f"`runs`: run 0 has {wanted[1]} rows, run {number} has {shape[1]}; merge runs that were trained on "
                "the same rows"
            )
        if shape != wanted:
            raise ArgumentError(
                f"`runs`: run 0 has {wanted[0]} epochs, run {number} has {shape[0]}; merge runs of one length, or "
                "average the scores of their first epochs: "
                f"np.mean([run.scores('el2n', epochs={min(shape[0], wanted[0])}) for run in runs], axis=0)"
            )
        check_digests("runs", digests, run.digests, f"run {number}")
        digests |= run.digests
        _add_labels(run.labels, number, labels)
        totals = {name: total for name, total in totals.items() if name in run.signals}
        for name, total in totals.items():
            known = ~np.isnan(run.signals[name])
            with np.errstate(invalid="ignore"):  # diverged runs may hold infinities of both signs
                np.add(total, run.signals[name], out=total, where=known)
            seen[name] += known
    if labels is None:
        raise ArgumentError("`runs`: wanted at least one run, got none")
    means = {}
    for name, total in totals.items():
        total[np.isnan(total)] = np.inf  # NaN is kept for what was not seen
        means[name] = np.full(wanted, np.nan, dtype=np.float32)
        np.divide(total, seen[name], out=means[name], where=seen[name] > 0, casting="same_kind")
    return Contents(means, labels, {}, task, digests)


def _add_labels(recorded: NDArray[np.int64], number: int, labels: NDArray[np.int64]) -> None:
    """Fill in the labels of rows that no run before has seen; those that one has must be the same."""
    differ = (recorded != labels) & (recorded != UNSEEN) & (labels != UNSEEN)
    if differ.any():
        row = int(np.argmax(differ))
        raise AlignmentError(
            f"`runs`: {differ.sum()} of {len(labels)} labels of run {number} differ from those before it, first at "
            f"row {row} ({labels[row]} before, here {recorded[row]}); merge runs that were trained on the same rows"
        )
    np.copyto(labels, recorded, where=labels == UNSEEN)
