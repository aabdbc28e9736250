"""What a training run holds of every example and epoch, and the statistics that scores are made of."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import did_you_mean, one_of
from hf_prune.dynamics.formulas import SIGNALS, TASKS
from hf_prune.dynamics.row_digests import RowDigests
from hf_prune.dynamics.rows import UNLABELLED, check_labelled, check_values
from hf_prune.dynamics.storage import Arrays, Contents
from hf_prune.errors import ArgumentError

Epochs = tuple[int, int] | None


class DynamicsData:
    """The arrays of a run, as TrainingDynamics describes them."""

    def __init__(
        self,
        signals: Arrays,
        labels: NDArray[np.int64],
        features: Arrays | None = None,
        task: str = "single-label",
        digests: RowDigests | None = None,
    ) -> None:
        for name in signals:
            one_of("signals", name, SIGNALS)
        shapes = {values.shape for values in signals.values()}
        if len(shapes) != 1 or [shape[1:] for shape in shapes] != [labels.shape]:
            raise ArgumentError(
                "`signals`, `labels`: wanted arrays of one shape (epochs, n) and labels of shape (n,), got "
                f"{ {name: values.shape for name, values in signals.items()} } and {labels.shape}"
            )
        for moment, array in (features or {}).items():
            if array.ndim != 2 or len(array) != len(labels):
                raise ArgumentError(f"`features`: wanted shape ({len(labels)}, d) of {moment!r}, got {array.shape}")
        for column, of_rows in (digests or {}).items():
            if of_rows.shape != labels.shape or of_rows.dtype != np.uint64:
                raise ArgumentError(
                    f"`digests`: wanted ({len(labels)},) uint64 of {column!r}, got {of_rows.shape} {of_rows.dtype}"
                )
        self._signals = {name: np.asanyarray(signals[name], np.float32) for name in SIGNALS if name in signals}
        self.labels = labels
        self.features = dict(features or {})
        self.task = one_of("task", task, TASKS)
        self.digests = dict(digests or {})

    def __getitem__(self, signal: str) -> NDArray[np.float32]:
        if signal not in self._signals:
            raise KeyError(self._lacks(signal))
        return self._signals[signal]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        features = {moment: array.shape for moment, array in self.features.items()}
        return f"TrainingDynamics(epochs={self.epochs}, n={len(self)}, coverage={self.coverage:.3f}, {features=})"

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of the signals that this run holds."""
        return tuple(self._signals)

    @property
    def epochs(self) -> int:
        return len(self[self.signals[0]])

    @property
    def coverage(self) -> float:
        """Share of the (epoch, row) pairs that were seen."""
        return 1 - float(np.mean([np.isnan(epoch).mean() for epoch in self[self.signals[0]]])) if self.epochs else 0.0

    @property
    def unlabelled(self) -> NDArray[np.bool_]:
        """(n,) whether each row was seen without a label in every epoch, and so has no value in any."""
        without: NDArray[np.bool_] = self.labels == UNLABELLED
        if without.any():
            rows = np.flatnonzero(without)
            without[rows] = np.isnan(self[self.signals[0]][:, rows]).all(axis=0)
        return without

    def recorded(self, signal: str) -> NDArray[np.float32]:
        """The signal, (epochs, n), for a method that needs it; raises ArgumentError if this run lacks it."""
        if signal not in self._signals:
            raise ArgumentError(f"`dynamics`: {self._lacks(signal)} Use a method that reads these, or pass scores=")
        return self._signals[signal]

    def in_epochs(self, signal: str, epochs: Epochs = None) -> NDArray[np.float32]:
        """The signal in the half-open range `epochs` (None: all), every row seen at least once in it and all finite.

        Raises:
            ArgumentError: this run lacks the signal, the range reaches past the recorded epochs, a row was never seen
                in it, or a value is infinite.
        """
        recorded = self.recorded(signal)
        start, stop = epochs or (0, self.epochs)
        if not 0 <= start < stop <= self.epochs:
            raise ArgumentError(
                f"`epochs`: wanted a range within the {self.epochs} recorded epochs, got {(start, stop)}"
            )
        values = recorded[start:stop]
        check_labelled(self.unlabelled, signal)
        check_values(values, signal, start)
        return values

    def mean(self, signal: str, epochs: Epochs = None) -> NDArray[np.float64]:
        """(n,) mean over the epochs in which each row was seen."""
        return _mean(self.in_epochs(signal, epochs), len(self))

    def std(self, signal: str, epochs: Epochs = None) -> NDArray[np.float64]:
        """(n,) standard deviation over the epochs in which each row was seen, 0 where that was one."""
        mean = self.mean(signal, epochs)
        variance = _mean(((values - mean) ** 2 for values in self.in_epochs(signal, epochs)), len(self))
        return np.sqrt(variance)

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The dynamics of some rows, in their order: a copy."""
        signals = {name: values[:, rows] for name, values in self._signals.items()}
        features = {moment: array[rows] for moment, array in self.features.items()}
        digests = {column: of_rows[rows] for column, of_rows in self.digests.items()}
        return type(self)(signals, self.labels[rows], features, self.task, digests)

    @property
    def _contents(self) -> Contents:
        return Contents(self._signals, self.labels, self.features, self.task, self.digests)

    def _lacks(self, signal: str) -> str:
        hint = did_you_mean(signal, self._signals)
        return f"this {self.task} run holds no {signal!r}, it holds {', '.join(self._signals)}.{hint}"


def _mean(epochs: Iterable[NDArray[Any]], n: int) -> NDArray[np.float64]:
    total, seen = np.zeros(n), np.zeros(n)
    for values in epochs:
        known = ~np.isnan(values)
        np.add(total, values, out=total, where=known)
        seen += known
    return total / seen
