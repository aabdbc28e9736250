"""Training dynamics: what a training run showed of every example, epoch by epoch."""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from datasets import Dataset
from numpy.typing import ArrayLike, NDArray

from hf_prune.arguments import did_you_mean, one_of
from hf_prune.config import named, registered
from hf_prune.dynamics import file as dynamics_file
from hf_prune.dynamics import table as dynamics_table
from hf_prune.dynamics.formulas import epoch_signals
from hf_prune.dynamics.rows import check_count, check_rows
from hf_prune.errors import ArgumentError, ArgumentTypeError, MissingSignalError

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo
    from matplotlib.figure import Figure

SIGNALS = ("loss", "p_true", "margin", "correct", "el2n")
TASKS = ("single-label", "multi-label", "regression", "token-classification", "causal-lm", "seq2seq")
LANGUAGE_MODELS = ("causal-lm", "seq2seq")
OF_REGRESSION = ("loss", "el2n")
UNSEEN = dynamics_table.UNSEEN

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
        task: what was trained for, one of TASKS.

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
        self.task = one_of("task", task, TASKS)

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
            signals[:, epoch] = epoch_signals(at_epoch.astype(np.float64), labels)
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

    def perplexity(self, epochs: Epochs = None) -> NDArray[np.float64]:
        """(n,) exp of the mean loss of each row, for language models.

        Raises:
            ArgumentError: a run of another task.
        """
        if self.task not in LANGUAGE_MODELS:
            raise ArgumentError(
                f"`dynamics`: perplexity is of language models ({', '.join(LANGUAGE_MODELS)}), got {self.task!r}"
            )
        perplexity: NDArray[np.float64] = np.exp(self.mean("loss", epochs))
        return perplexity

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The dynamics of some rows, in their order: a copy."""
        features = {moment: array[rows] for moment, array in self.features.items()}
        return type(self)(self._signals[:, :, rows], self.labels[rows], features, self.task)

    def check_count(self, n: int) -> None:
        """Refuse another number of rows: all that can be checked where rows have no class."""
        check_count(len(self), n)

    def check_rows(self, labels: NDArray[Any], column: str) -> None:
        """Refuse rows that these dynamics don't describe: another count, or other labels.

        Args:
            labels: (n,) labels of the rows to prune. Ints must be the recorded ones; text and bools must match them
                one to one, as they do when they were numbered before training.
            column: where the labels are from, for the message.

        Raises:
            AlignmentError: with the first row that differs.
        """
        check_rows(self.labels, labels, column)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file at `path`, replacing a file there only once the new one is complete."""
        dynamics_file.write_file(path, SIGNALS, self._signals, self.labels, self.features, self.task)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            ArgumentError: no such file, or not one of ours.
        """
        return cls(*dynamics_file.read_file(path, SIGNALS))

    def to_dataset(self) -> Dataset:
        """A table with one row for each example, a copy.

        Columns: `row`, the int64 position; `label`, int64, -1 where never seen; `task` if not "single-label"; of
        each signal a list of `epochs` float32, NaN where not seen; of features, as `features.early` and
        `features.last`, lists of d float32.

        Raises:
            ArgumentError: no epoch is recorded, or features have no dimension.

        >>> run = TrainingDynamics.from_logits([[[2.0, 0.0]], [[0.0, 1.0]]], labels=[0])
        >>> table = run.to_dataset()
        >>> table[0]["margin"], table.column_names
        ([2.0, -1.0], ['row', 'label', 'loss', 'p_true', 'margin', 'correct', 'el2n'])
        """
        by_name = dict(zip(SIGNALS, self._signals, strict=True))
        return dynamics_table.to_dataset(self.labels, by_name, self.features, self.task)

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Self:
        """The dynamics that `to_dataset` wrote, exactly; `row` says where each row belongs, so they may be shuffled.

        Columns that are not of `to_dataset` are ignored.

        Raises:
            ArgumentError: a column is missing, of another type or holds nulls; rows are repeated, missing or out of
                range. ArgumentTypeError: no Dataset.

        >>> run = TrainingDynamics.from_logits([[[2.0, 0.0], [0.0, 1.0]]], labels=[0, 0])
        >>> TrainingDynamics.from_dataset(run.to_dataset().shuffle(seed=0))["margin"].tolist()
        [[2.0, -1.0]]
        """
        return cls(*dynamics_table.from_dataset(dataset, SIGNALS))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dataset()` as one Parquet file, replacing a file there only once the new one is complete."""
        dynamics_table.write_parquet(self.to_dataset(), path)

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str]) -> Self:
        """As `from_dataset`, from a file that `to_parquet` wrote; ArgumentError where it is another or damaged."""
        return cls(*dynamics_table.read_parquet(path, SIGNALS))

    def push_to_hub(self, repo_id: str, **options: Any) -> "CommitInfo":
        """Push what `to_parquet` writes, so that one run serves everyone's pruning; `from_hub` reads it.

        Args:
            repo_id: of a dataset repository, which is made if it isn't there.
            options: `config` and `split` of the dataset, by default "default" and "train"; `token`, `revision`,
                `create_pr` and `private` as in Dataset.push_to_hub.
        """
        from hf_prune.publish import push_dynamics

        return push_dynamics(self, repo_id, **options)

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        config: str = "default",
        split: str = "train",
        revision: str | None = None,
        *,
        token: str | bool | None = None,
    ) -> "TrainingDynamics":
        """The dynamics that `push_to_hub` pushed.

        Raises:
            ArgumentError: no such repository or dynamics, or they are damaged.
        """
        from hf_prune.publish import pull_dynamics

        return pull_dynamics(repo_id, config, split, revision, token)

    @classmethod
    def merge(cls, runs: Iterable[Any]) -> Self:
        """The mean of several runs on the same rows, as with several seeds: of each signal in each epoch over the runs
        that saw the row in it, NaN where none did.

        Features are dropped, because those of different runs can't be compared. Scores that are means of a signal
        (AUM, EL2N) become their mean over the runs where all saw a row as often; Variability is that of the averaged
        run, and Forgetting refuses it.

        Args:
            runs: each as in `dynamics=` of `prune`; a generator's are read one after the other.

        Memory: 80 bytes a row and epoch, and two of the runs.

        Raises:
            AlignmentError: other rows or labels. ArgumentError: other numbers of epochs, or no run.

        >>> runs = [TrainingDynamics.from_logits([[[margin, 0.0]]], labels=[0]) for margin in (1.0, 3.0)]
        >>> TrainingDynamics.merge(runs)["margin"].tolist()
        [[2.0]]
        """
        from hf_prune.dynamics.merge import merged

        signals, labels, task = merged(runs)
        return cls(signals, labels, task=task)

    def scores(self, method: str, **options: Any) -> NDArray[np.float64]:
        """(n,) float64 scores in the units of a score method that reads dynamics only, such as "el2n" or "aum".

        Args:
            method: its name.
            options: the method's own; `epochs=` may also be a slice without a step.

        Raises:
            ArgumentError: no such method (the closest is named), one that needs more than dynamics, or rows that were
                never seen. ArgumentTypeError: an option that it doesn't take.

        >>> run = TrainingDynamics.from_logits([[[2.0, 0.0]], [[0.0, 1.0]]], labels=[0])
        >>> run.scores("aum").tolist(), run.scores("aum", epochs=slice(1, None)).tolist()
        ([0.5], [-1.0])
        """
        scores = registered("score")
        readable = sorted(name for name, cls in scores.items() if cls.reads <= {"dynamics"})
        if isinstance(method, str) and method in registered("method"):
            raise ArgumentError(f"`method`: {method!r} is no score of a training run; wanted one of {readable}")
        if not isinstance(method, str) or method not in scores:
            one_of("method", method, readable)
        if method not in readable:
            needs = ", ".join(sorted(scores[method].reads - {"dynamics"}))
            raise MissingSignalError(
                f"`method`: {method!r} needs {needs}, which a training run doesn't hold; use ds.prune, or one of "
                f"{readable}"
            )
        if "epochs" in options:
            options["epochs"] = _range_of(options["epochs"], self.epochs)
        of_run: NDArray[np.float64] = named("score", method, options).of_run(self)
        return of_run

    def plot(self) -> "Figure":
        """The data map, confidence against variability; see hf_prune.plots.plot_data_map."""
        from hf_prune.plots import plot_data_map

        return plot_data_map(self)


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


def _range_of(epochs: Any, recorded: int) -> Any:
    """What scores take as `epochs=` for a slice; anything else is left to them."""
    if not isinstance(epochs, slice):
        return epochs
    if epochs.step is not None:
        raise ArgumentError(f"`epochs`: wanted a slice without a step, as in slice(0, 5), got {epochs}")
    if epochs.start is None and epochs.stop is None:
        return None
    return (0 if epochs.start is None else epochs.start, recorded if epochs.stop is None else epochs.stop)
