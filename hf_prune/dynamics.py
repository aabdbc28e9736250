"""Training dynamics: what a training run showed of every example, epoch by epoch."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_prune.arguments import did_you_mean
from hf_prune.errors import AlignmentError, ArgumentError, ArgumentTypeError

SIGNALS = ("loss", "p_true", "margin", "correct", "el2n")
OF_REGRESSION = ("loss", "el2n")
UNSEEN = -1
_FORMAT = "hf_prune.dynamics/1"

Epochs = tuple[int, int] | None


class TrainingDynamics:
    """Per example and epoch: loss, probability of the true class, margin, correctness and EL2N.

    `dynamics["margin"]` is an (epochs, n) float32 array; NaN where an example was not seen in an epoch. Rows are
    positions in the dataset that was trained on.

    | signal | meaning | unit |
    |---|---|---|
    | loss | cross-entropy of the true class, without label smoothing | nats |
    | p_true | softmax probability of the true class | |
    | margin | true logit minus the largest other logit | logits |
    | correct | 1 where the true class has the largest logit, else 0 | |
    | el2n | Euclidean norm of (probabilities - one-hot label) | |

    That is for one label a row. Where rows have several, loss is the mean over them of the binary cross-entropy,
    p_true is exp(-loss), margin the smallest over labels of the logit, turned so that right is positive, correct 1
    where all are right, and el2n the norm over labels. For token classification and language models all five are means
    over the tokens that have a label, each as one label of a row, and exp(loss) is the perplexity. For regression loss
    is the squared error and el2n its size; there is no other signal, and methods that need one refuse.

    Args:
        signals: (5, epochs, n) float32 in the order of the table.
        labels: (n,) int64 class of each row, -1 where the row was never seen.
        features: embeddings by moment, "early" and "last", each (n, d) float32.
        task: what was trained for, one of `hf_prune.tasks.TASKS`.

    >>> run = TrainingDynamics.from_logits([[[2.0, 0.0], [0.0, 1.0]]], labels=[0, 0])
    >>> run["margin"].tolist()
    [[2.0, -1.0]]
    """

    def __init__(
        self,
        signals: NDArray[np.float32],
        labels: NDArray[np.int64],
        features: Mapping[str, NDArray[np.float32]] | None = None,
        task: str = "single-label",
    ) -> None:
        if signals.ndim != 3 or signals.shape[0] != len(SIGNALS) or signals.shape[2:] != labels.shape:
            raise ArgumentError(
                f"wanted signals of shape ({len(SIGNALS)}, epochs, n) and labels of shape (n,), "
                f"got {signals.shape} and {labels.shape}"
            )
        self._signals = signals
        self.labels = labels
        self.features = dict(features or {})
        self.task = task

    @classmethod
    def from_logits(cls, logits: ArrayLike, labels: ArrayLike) -> Self:
        """Dynamics of a run that was not recorded by the callback.

        Args:
            logits: (epochs, n, classes) float, before softmax; NaN rows are unseen.
            labels: (n,) ints, the class that each row was trained with.
        """
        try:
            logits, labels = np.asarray(logits), np.asarray(labels)
        except ValueError as error:
            raise ArgumentError(f"`logits`, `labels`: wanted numbers in rows of equal length; {error}") from error
        if logits.dtype.kind not in "fiu":
            raise ArgumentTypeError(f"`logits`: wanted floats, got {logits.dtype}")
        if logits.ndim != 3 or logits.shape[1:2] != labels.shape or logits.shape[2] < 2:
            raise ArgumentError(
                "`logits`, `labels`: wanted shapes (epochs, n, classes >= 2) and (n,), "
                f"got {logits.shape} and {labels.shape}"
            )
        if not np.issubdtype(labels.dtype, np.integer) or not ((labels >= 0) & (labels < logits.shape[2])).all():
            raise ArgumentError(f"`labels`: wanted whole numbers from 0 to {logits.shape[2] - 1}")
        signals = np.empty((len(SIGNALS), *logits.shape[:2]), dtype=np.float32)
        for epoch, at_epoch in enumerate(logits):
            signals[:, epoch] = _from_epoch_logits(at_epoch.astype(np.float64), labels)
        return cls(signals, labels.astype(np.int64))

    def __getitem__(self, signal: str) -> NDArray[np.float32]:
        if signal not in SIGNALS:
            raise KeyError(f"{signal!r}: recorded are {SIGNALS}.{did_you_mean(signal, SIGNALS)}")
        values: NDArray[np.float32] = self._signals[SIGNALS.index(signal)]
        return values

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        features = {moment: array.shape for moment, array in self.features.items()}
        return f"TrainingDynamics(epochs={self.epochs}, n={len(self)}, coverage={self.coverage:.3f}, {features=})"

    @property
    def epochs(self) -> int:
        return int(self._signals.shape[1])

    @property
    def coverage(self) -> float:
        """Share of the (epoch, row) pairs that were seen."""
        return float(np.mean([np.isfinite(epoch).mean() for epoch in self["margin"]])) if self.epochs else 0.0

    def in_epochs(self, signal: str, epochs: Epochs = None) -> NDArray[np.float32]:
        """The signal in the half-open range `epochs` (None: all), every row seen at least once in it.

        Raises:
            ArgumentError: the range reaches past the recorded epochs, or a row was never seen in it.
        """
        if self.task == "regression" and signal not in OF_REGRESSION:
            raise ArgumentError(
                f"`dynamics`: a regression has no {signal!r}, it has {' and '.join(OF_REGRESSION)}; use EL2N, the "
                "size of the error, or pass scores="
            )
        start, stop = epochs or (0, self.epochs)
        if not 0 <= start < stop <= self.epochs:
            raise ArgumentError(
                f"`epochs`: wanted a range within the {self.epochs} recorded epochs, got {(start, stop)}"
            )
        values = self[signal][start:stop]
        unseen = np.ones(len(self), dtype=bool)
        for epoch in values:
            unseen &= np.isnan(epoch)
        if unseen.any():
            raise ArgumentError(
                f"`dynamics`: {unseen.sum()} of {len(self)} rows were never seen in epochs {start} to {stop - 1}, the "
                f"first is row {np.argmax(unseen)}; train for whole epochs, or prune the rows that were seen"
            )
        return values

    def mean(self, signal: str, epochs: Epochs = None) -> NDArray[np.float64]:
        """(n,) mean over the epochs in which each row was seen."""
        total, seen = np.zeros(len(self)), np.zeros(len(self))
        for epoch in self.in_epochs(signal, epochs):
            known = ~np.isnan(epoch)
            np.add(total, epoch, out=total, where=known)
            seen += known
        return total / seen

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The dynamics of some rows, in their order: a copy."""
        features = {moment: array[rows] for moment, array in self.features.items()}
        return type(self)(self._signals[:, :, rows], self.labels[rows], features, self.task)

    def check_count(self, n: int) -> None:
        """Refuse another number of rows: all that can be checked where rows have no class."""
        if n != len(self):
            raise AlignmentError(
                f"`dynamics`: recorded for {len(self)} rows, this dataset has {n}; "
                "pass the dynamics of a run on this dataset, or prune the dataset that was trained on"
            )

    def check_rows(self, labels: NDArray[Any], column: str) -> None:
        """Refuse rows that these dynamics don't describe: another count, or other labels.

        Args:
            labels: (n,) labels of the rows to prune. Ints must be the recorded ones; text and bools must match them
                one to one, as they do when they were numbered before training.
            column: where the labels are from, for the message.

        Raises:
            AlignmentError: with the first row that differs.
        """
        self.check_count(len(labels))
        seen = self.labels != UNSEEN
        recorded, given = self.labels[seen], labels[seen]
        numbers = np.issubdtype(given.dtype, np.integer)
        differ = recorded != given if numbers else ~_one_to_one(recorded, given)
        if differ.any():
            row = np.flatnonzero(seen)[np.argmax(differ)]
            renumbered = "they match one to one, so pass as label_column= the numbers that were trained on"
            reordered = "were the rows reordered, or is label_column= another?"
            raise AlignmentError(
                f"`dynamics`: recorded for other data: {differ.sum()} of {len(self)} labels differ from column "
                f"{column!r}, first at row {row} (recorded {self.labels[row]}, here {labels[row]}); "
                f"{renumbered if _one_to_one(recorded, given).all() else reordered}"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file at `path`, replacing a file there only once the new one is complete."""
        from safetensors.numpy import save_file

        path = Path(path)
        if path.is_dir():
            raise ArgumentError(f"`path`: wanted a file such as {path / 'dynamics.safetensors'}, got a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"signals": self._signals, "labels": self.labels}
        tensors |= {f"features.{moment}": array for moment, array in self.features.items()}
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".hf_prune-") as folder:
            complete = Path(folder) / "dynamics"
            metadata = {"format": _FORMAT, "signals": json.dumps(SIGNALS), "task": self.task}
            contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
            save_file(contiguous, complete, metadata=metadata)
            complete.replace(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            ArgumentError: no such file, or not one of ours.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise ArgumentError(
                f"`dynamics`: no file at {os.fspath(path)!r}; wanted one that TrainingDynamics.save wrote"
            )
        try:
            with safe_open(path, framework="numpy") as file:
                metadata, names = file.metadata() or {}, file.keys()
                ours = metadata.get("format") == _FORMAT and metadata.get("signals") == json.dumps(SIGNALS)
                # Another program's tensors may be huge, or of a type that numpy lacks.
                if not ours or not {"signals", "labels"} <= set(names):
                    raise ArgumentError(f"`dynamics`: {os.fspath(path)!r} was not written by TrainingDynamics.save")
                tensors = {name: file.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise ArgumentError(
                f"`dynamics`: {os.fspath(path)!r} is damaged or no safetensors file ({error})"
            ) from error
        features = {name.removeprefix("features."): tensors[name] for name in tensors if name.startswith("features.")}
        return cls(tensors["signals"], tensors["labels"], features, metadata.get("task", "single-label"))


def _from_epoch_logits(logits: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """(5, n) signals of one epoch from its (n, classes) logits."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    true = logits[rows, labels]
    others = logits.copy()
    others[rows, labels] = -np.inf
    error = np.exp(log_p)
    p_true = error[rows, labels]
    error[rows, labels] -= 1
    # The lowest class wins a tie of logits, as argmax does.
    margin = true - others.max(axis=1)
    correct = np.where(np.isnan(margin), np.nan, logits.argmax(axis=1) == labels)
    return np.stack([-log_p[rows, labels], p_true, margin, correct, np.sqrt((error**2).sum(axis=1))])


def _one_to_one(recorded: NDArray[np.int64], given: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) where the pair (recorded, given) belongs to one matching of the two sets of labels."""
    _, given_codes = np.unique(given, return_inverse=True)
    partner_of_given = np.full(given_codes.max(initial=-1) + 1, UNSEEN)
    partner_of_recorded = np.full(recorded.max(initial=-1) + 1, UNSEEN)
    # Written backwards, so that the first row of each label decides.
    partner_of_given[given_codes[::-1]] = recorded[::-1]
    partner_of_recorded[recorded[::-1]] = given_codes[::-1]
    matched: NDArray[np.bool_] = partner_of_given[given_codes] == recorded
    matched &= partner_of_recorded[recorded] == given_codes
    return matched


def checked_dynamics(value: Any) -> TrainingDynamics:
    """`dynamics=` as users pass it: TrainingDynamics, the callback that recorded them, or the path of a saved file."""
    if isinstance(value, str | os.PathLike):
        return TrainingDynamics.load(value)
    found = value if isinstance(value, TrainingDynamics) else getattr(value, "dynamics", None)
    if not isinstance(found, TrainingDynamics):
        raise ArgumentTypeError(
            "`dynamics`: wanted TrainingDynamics, the PruningTrainerCallback that recorded them, or the path of a "
            f"saved file; got {type(value).__name__}"
        )
    return found
