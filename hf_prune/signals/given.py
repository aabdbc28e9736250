"""What users may pass to `prune` as the source of each signal, as types."""

import os
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from datasets import Dataset
from numpy.typing import ArrayLike

from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.recalls import RecallsLike


class Recorder(Protocol):
    """What has recorded a training run, such as a PruningTrainerCallback."""

    @property
    def dynamics(self) -> TrainingDynamics:
        """The run, up to its last finished epoch."""


DynamicsLike: TypeAlias = TrainingDynamics | Recorder | str | os.PathLike[str]
"""Training dynamics, what recorded them, or the path of a saved file."""

EmbeddingsLike: TypeAlias = str | ArrayLike | TrainingDynamics | Recorder
"""The name of a column, (n, d) floats, or a run that recorded features."""

EncoderLike: TypeAlias = str | os.PathLike[str] | Callable[..., Any]
"""A checkpoint's Hub id or folder, a torch module, or a function from a list of values to (batch, d) numbers."""

ScoresLike: TypeAlias = str | ArrayLike
"""The name of a column, or (n,) numbers, higher = harder."""

ByLike: TypeAlias = str | tuple[str, ...] | ArrayLike
"""The name of a column, several names, whose combinations are the groups, or (n,) ints, strings or bools."""

RecallsOrFunction: TypeAlias = RecallsLike | Callable[[Dataset], RecallsLike]
"""Recalls, or, for a schedule, a function from the rows that are trained on to recalls."""
