"""The mean of several runs over the same rows."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.dynamics.dynamics import SIGNALS, UNSEEN, TrainingDynamics, checked_dynamics
from hf_prune.errors import AlignmentError, ArgumentError, ArgumentTypeError


def merged(runs: Any) -> tuple[NDArray[np.float32], NDArray[np.int64], str]:
    """The signals, the labels and the task of TrainingDynamics.merge."""
    if isinstance(runs, TrainingDynamics | str | os.PathLike) or not isinstance(runs, Iterable):
        raise ArgumentTypeError(
            f"`runs`: wanted several, as in TrainingDynamics.merge([run_of_seed_0, run_of_seed_1]), got one "
            f"{type(runs).__name__}"
        )
    labels: NDArray[np.int64] | None = None
    for number, given in enumerate(runs):
        run = checked_dynamics(given)
        if labels is None:
            labels, task = run.labels.copy(), run.task
            total = np.zeros((len(SIGNALS), run.epochs, len(run)))
            seen = np.zeros(total.shape, dtype=np.uint32)
        if run.task != task:
            raise ArgumentError(f"`runs`: run 0 is of the task {task!r}, run {number} of {run.task!r}")
        _check_shape(run, number, total.shape[1:])
        _add_labels(run.labels, number, labels)
        for signal, name in enumerate(SIGNALS):
            known = ~np.isnan(run[name])
            with np.errstate(invalid="ignore"):  # a diverged run may hold infinities of both signs
                np.add(total[signal], run[name], out=total[signal], where=known)
            seen[signal] += known
    if labels is None:
        raise ArgumentError("`runs`: wanted at least one run, got none")
    mean = np.full(total.shape, np.nan, dtype=np.float32)
    np.divide(total, seen, out=mean, where=seen > 0, casting="same_kind")
    return mean, labels, task


def _check_shape(run: TrainingDynamics, number: int, wanted: tuple[int, int]) -> None:
    epochs, n = wanted
    if len(run) != n:
        raise AlignmentError(
            f"`runs`: run 0 has {n} rows, run {number} has {len(run)}; merge runs that were trained on the same rows"
        )
    if run.epochs != epochs:
        common = min(run.epochs, epochs)
        raise ArgumentError(
            f"`runs`: run 0 has {epochs} epochs, run {number} has {run.epochs}; merge runs of one length, or average "
            f"the scores of their first epochs: np.mean([run.scores('el2n', epochs={common}) for run in runs], axis=0)"
        )


def _add_labels(found: NDArray[np.int64], number: int, labels: NDArray[np.int64]) -> None:
    """Fill in the labels of rows that no run before has seen; those that one has must be the same."""
    differ = (found != labels) & (found != UNSEEN) & (labels != UNSEEN)
    if differ.any():
        row = int(np.argmax(differ))
        raise AlignmentError(
            f"`runs`: {differ.sum()} of {len(labels)} labels of run {number} differ from those before it, first at "
            f"row {row} ({labels[row]} before, here {found[row]}); merge runs that were trained on the same rows"
        )
    np.copyto(labels, found, where=labels == UNSEEN)
