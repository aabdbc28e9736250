"""Scores of a training run, by the name of a method that reads nothing else."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import one_of
from hf_prune.config import named, registered
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.errors import ArgumentError, MissingSignalError
from hf_prune.methods.base import ScoreMethod
from hf_prune.signals.signals import Signals

READABLE = frozenset({"dynamics"})


def scores_of_run(dynamics: TrainingDynamics, method: Any, options: Mapping[str, Any]) -> NDArray[np.float64]:
    """As TrainingDynamics.scores."""
    classes = registered("method")
    scores = {name: cls for name, cls in classes.items() if issubclass(cls, ScoreMethod)}
    taken = sorted(name for name, cls in scores.items() if cls.reads <= READABLE)
    if not isinstance(method, str) or method not in classes:
        one_of("method", method, taken)
    if method not in scores:
        raise ArgumentError(f"`method`: {method!r} is no score of a training run; wanted one of {taken}")
    _refuse_needs(method, scores[method].reads, taken)
    if "epochs" in options:
        options = {**options, "epochs": _range_of(options["epochs"], dynamics.epochs)}
    found: ScoreMethod = named("method", method, options)
    _refuse_needs(method, found.needs, taken)
    return found.scores_of(Signals(len(dynamics), {"dynamics": dynamics}))


def _refuse_needs(method: str, needs: frozenset[str], taken: list[str]) -> None:
    if others := sorted(needs - READABLE):
        raise MissingSignalError(
            f"`method`: {method!r} needs {', '.join(others)}, which a training run doesn't hold; use ds.prune, or one "
            f"of {taken}"
        )


def _range_of(epochs: Any, recorded: int) -> Any:
    """What methods take as `epochs=` for a slice; the rest as it came."""
    if not isinstance(epochs, slice):
        return epochs
    if epochs.step is not None:
        raise ArgumentError(f"`epochs`: wanted a slice without a step, as in slice(0, 5), got {epochs}")
    if epochs.start is None and epochs.stop is None:
        return None
    return (0 if epochs.start is None else epochs.start, recorded if epochs.stop is None else epochs.stop)
