"""The arrays of one training run: filled batch by batch, gathered from all processes, kept with its checkpoints."""

import logging
import os
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.dynamics.row_digests import RowDigests
from hf_prune.dynamics.rows import UNLABELLED, UNSEEN, check_digests
from hf_prune.errors import AlignmentError, ArgumentError
from hf_prune.models import processes
from hf_prune.recording.ids import GAP, GAPS
from hf_prune.recording.reading import BatchSignals

logger = logging.getLogger(__name__)

EARLY, EARLIEST = 0.2, 3
"""Share of the planned epochs after which the early features are taken, and the epoch before which they never are.

In its first epochs a network's features tell classes less well apart than its inputs do: with runs of 4 to 12 epochs
on letter and satimage, wrong labels were found better by the third epoch's than by those of a fifth of the run.
"""

BUFFERED_VALUES = 2**22
"""Floats that wait on the model's device before they are moved, so that a step needn't wait for a copy."""

UNPLANNED = 4
"""Epochs that there is room for at first where nobody knows how many are planned."""

MAPPED_BYTES = 2**30
"""Arrays above it lie in a file without a name, of which the system keeps in memory what it has room for."""


class Rows(NamedTuple):
    """What was seen of some rows, in the order in which they were shown."""

    ids: NDArray[Any]  # (rows,) int64
    labels: NDArray[Any]  # (rows,) int64
    signals: NDArray[Any]  # (rows, quantities) float32
    features: NDArray[Any]  # (rows, d) float32, where d is 0 if none are wanted


class Recording:
    """The arrays of one run. Every process has one, and only that of the first process holds what all have seen.

    Args:
        n: rows in the train dataset.
        epochs: planned epochs; None where nobody knows.
        first: the epoch at which the run starts, above 0 where it goes on from a checkpoint.
        every: 1 keeps each epoch, 2 the first, third, fifth and so on.

    Attributes:
        n: rows in the train dataset.
        finished: epochs that are over.
        saw_any: whether any row has arrived since the epoch began.
        whole: whether this process is the first, which holds what all have seen.
        digests: of the train dataset's rows, where they are known; see TrainingDynamics.
    """

    def __init__(self, n: int, epochs: int | None, first: int = 0, every: int = 1) -> None:
        self.n, self.finished, self._every = n, first, every
        self.whole = processes() == 1 or distributed.get_rank() == 0
        self._slots = UNPLANNED if epochs is None else self._kept_of(epochs)
        self._signals = _arrays_by_name(SIGNALS, self._slots, n)
        for values in self._signals.values():
            values[: self._kept_of(first)] = np.nan
        self._labels = np.full(n, UNSEEN, dtype=np.int64)
        self._had_label, self._had_none = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self._gaps: set[str] = set()
        self._features: dict[str, NDArray[np.float32]] = {}
        self._early = (EARLIEST if epochs is None else min(epochs, max(EARLIEST, round(EARLY * epochs)))) - 1
        self._task, self._names = "single-label", SIGNALS
        self._restored = ""  # the checkpoint's file, for messages
        self._waiting: list[BatchSignals] = []
        self._waiting_values = 0
        self._moved: list[Rows] = []
        self._begun = first
        self.saw_any = False
        self.digests: RowDigests = {}

    def restore(self, file: Path) -> None:
        """Take over what a checkpoint's file holds of the epochs up to the one that goes on.

        Raises:
            ArgumentError: the file is damaged or another program's. AlignmentError: it is of another dataset.
        """
        before = TrainingDynamics.load(file)
        shown = repr(os.fspath(file))
        if len(before) != self.n:
            raise AlignmentError(
                f"{shown} has dynamics of {len(before)} rows, this train_dataset has {self.n}; "
                "resume with the dataset that the checkpoint was made with, or delete the file to record anew"
            )
        check_digests("train_dataset", before.digests, self.digests, f"what goes on from {shown}")
        self._restored = shown
        wanted = self._kept_of(self.finished + 1)
        known = min(wanted, before.epochs, self._slots)
        self._signals = {name: values for name, values in self._signals.items() if name in before.signals}
        for name, values in self._signals.items():
            values[:known] = before[name][:known]
        self._had_none = before.labels == UNLABELLED
        self._labels[:], self._task = np.where(self._had_none, UNSEEN, before.labels), before.task
        for values in before[before.signals[0]]:
            self._had_label |= ~np.isnan(values)
        for moment, array in before.features.items():
            self._array_of(moment, array.shape[1])[:] = array
        self._begun = self.finished + (known == wanted)

    def begin_epoch(self) -> None:
        """Begin the epoch after those that are over; what was seen of it before an error ended it is dropped."""
        self.saw_any, self._waiting, self._waiting_values, self._moved = False, [], 0, []
        slot = self.finished // self._every
        if slot == self._slots:
            before, self._slots = self._signals, 2 * slot
            self._signals = _arrays_by_name(before, self._slots, self.n)
            for name, values in before.items():
                self._signals[name][:slot] = values
        has_beginning = self._restored and self._begun > self.finished
        if self._is_kept and not has_beginning:
            for values in self._signals.values():
                values[slot] = np.nan
        self._begun = self.finished + 1

    def add(self, seen: BatchSignals) -> None:
        if self._restored and seen.task != self._task:
            raise AlignmentError(
                f"{self._restored} has dynamics of the task {self._task!r}, this run is of "
                f"{seen.task!r}; resume the run that the checkpoint is of, or delete the file to record anew"
            )
        self._task, self._names, self.saw_any = seen.task, seen.names, True
        self._waiting.append(seen)
        self._waiting_values += seen.signals.numel() + (0 if seen.features is None else seen.features.numel())
        if self._waiting_values > BUFFERED_VALUES:
            self._move()

    def end_epoch(self) -> None:
        """End the epoch; every process must call it."""
        self._collect()
        self.finished += 1

    def save(self, file: Path) -> None:
        """Write the state of the run, the epoch that is not over included; every process has to call it."""
        self._collect()
        if self.whole:
            self._dynamics(self._kept_of(self._begun)).save(file)

    def dynamics(self) -> TrainingDynamics:
        """The dynamics of the epochs that are over."""
        return self._dynamics(self._kept_of(self.finished))

    @property
    def _is_kept(self) -> bool:
        """Whether the values of the epoch that runs are kept; its labels and features always are."""
        return self.finished % self._every == 0

    @property
    def _held(self) -> dict[str, NDArray[np.float32]]:
        """The signals that the run has, less those that the checkpoint lacks from which it goes on."""
        return {name: self._signals[name] for name in self._names if name in self._signals}

    def _kept_of(self, epochs: int) -> int:
        """How many of the first so many epochs are kept."""
        return -(-epochs // self._every)

    def _dynamics(self, epochs: int) -> TrainingDynamics:
        signals = {name: values[:epochs] for name, values in self._held.items()}
        labels = np.where(self._had_none & ~self._had_label, UNLABELLED, self._labels)
        return TrainingDynamics(signals, labels, self._features, self._task, self.digests)

    def _move(self) -> None:
        """Move what waits from the model's device to this process."""
        if not self._waiting:
            return
        of_batches = list(zip(*self._waiting, strict=True))
        ids, labels, signals = (torch.cat(parts).cpu().numpy() for parts in of_batches[:3])
        features = signals[:, :0]
        if self._waiting[0].features is not None:
            features = torch.cat(of_batches[3]).cpu().numpy()
        rows = Rows(ids, labels, signals, features)
        self._waiting, self._waiting_values = [], 0
        if processes() > 1:
            self._moved.append(rows)
        else:
            self._write(rows)

    def _collect(self) -> None:
        """Bring what all processes have seen to the first."""
        self._move()
        if processes() == 1:
            return
        of_processes: list[Any] | None = [None] * processes() if self.whole else None
        distributed.gather_object(self._moved, of_processes)
        self._moved = []
        joined = [_joined(parts) for parts in of_processes or [] if parts]
        if joined:
            place = np.concatenate([np.arange(len(rows.ids)) for rows in joined])
            order = np.argsort(place, kind="stable")  # at the same place the lower process first
            self._write(Rows(*(part[order] for part in _joined(joined))))

    def _write(self, rows: Rows) -> None:
        """Write rows into the arrays; of a row that an epoch shows more than once, the first time counts.

        Samplers that fill up a last batch show rows again.
        """
        rows = self._without_gaps(rows)
        ids = rows.ids
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.n:
            wrong = ids[(ids < 0) | (ids >= self.n)][0]
            raise ArgumentError(
                f"`id_column`: row {wrong} is shown and num_examples={self.n}; wanted positions from 0 to {self.n - 1}"
            )
        if self._restored:
            self._check_labels(ids, rows.labels)
        new, slot = np.arange(len(ids))[::-1], self.finished // self._every  # the first is written last
        if self._is_kept:
            held = self._held
            new = new[np.isnan(next(iter(held.values()))[slot, ids[new]])]
            for name, values in held.items():
                values[slot, ids[new]] = rows.signals[new, self._names.index(name)]
        has_label = rows.labels[new] != UNLABELLED
        ids = ids[new]
        self._had_none[ids[~has_label]] = True
        self._had_label[ids[has_label]] = True
        self._labels[ids[has_label]] = rows.labels[new][has_label]
        if rows.features.shape[1]:
            # NaN is kept for rows that were not seen.
            features = np.nan_to_num(rows.features[new], copy=False, nan=np.inf, posinf=np.inf, neginf=-np.inf)
            for moment in ("early", "last") if self.finished <= self._early else ("last",):
                self._array_of(moment, features.shape[1])[ids] = features

    def _without_gaps(self, rows: Rows) -> Rows:
        """Without the rows of which it came out only now that they can't be recorded."""
        gaps = (rows.ids >= GAP) & (rows.ids < GAP + len(GAPS))
        if not gaps.any():
            return rows
        for reason in {GAPS[gap - GAP] for gap in rows.ids[gaps]} - self._gaps:
            self._gaps.add(reason)
            logger.warning("rows have no values in epoch %d: PruningTrainerCallback %s", self.finished, reason)
        return Rows(*(part[~gaps] for part in rows))

    def _check_labels(self, ids: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
        known = self._labels[ids]
        differ = np.flatnonzero((known != UNSEEN) & (labels != UNLABELLED) & (known != labels))
        if len(differ):
            at = differ[0]
            raise AlignmentError(
                f"{self._restored} has dynamics of other rows: the label of row {ids[at]} is "
                f"{known[at]} there and {labels[at]} here; resume with the dataset that the checkpoint was made with"
            )

    def _array_of(self, moment: str, d: int) -> NDArray[np.float32]:
        if moment not in self._features:
            self._features[moment] = _array((self.n, d))
            self._features[moment][:] = np.nan
        return self._features[moment]


def _joined(parts: list[Rows]) -> Rows:
    return Rows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _arrays_by_name(names: Collection[str], slots: int, n: int) -> dict[str, NDArray[np.float32]]:
    """Make an array (slots, n) for each name; untouched pages, those of epochs that never come, cost nothing."""
    return dict(zip(names, _array((len(names), slots, n)), strict=True))


def _array(shape: tuple[int, ...]) -> NDArray[np.float32]:
    if 4 * np.prod(shape, dtype=np.int64) <= MAPPED_BYTES:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile(prefix="hf_prune-") as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
