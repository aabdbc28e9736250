"""Training dynamics: what a training run showed of every example, epoch by epoch."""

import os
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from datasets import Dataset
from huggingface_hub import CommitInfo
from numpy.typing import ArrayLike, NDArray

from hf_prune.arguments import one_of
from hf_prune.config import named, registered
from hf_prune.dynamics import storage
from hf_prune.dynamics.card import TITLE, section
from hf_prune.dynamics.data import DynamicsData, Epochs
from hf_prune.dynamics.logits import signals_from_logits
from hf_prune.dynamics.merge import merged
from hf_prune.errors import ArgumentError, ArgumentTypeError, MissingSignalError
from hf_prune.hub.card_text import amended
from hf_prune.hub.commit import commit
from hf_prune.hub.repository import Repository, download, folder_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LANGUAGE_MODELS = ("causal-lm", "seq2seq")
PARQUET = "dynamics.parquet"


class TrainingDynamics(DynamicsData):
    """Signals of every example in every epoch: loss, probability of the true class, margin, correctness and EL2N.

    `dynamics["margin"]` is an (epochs, n) float32 array. NaN says that an example was not seen in an epoch; what was
    seen and is not finite, as when a run diverges, is infinite, and an error where it is read for a score. Rows are
    positions in the dataset that was trained on.

    A run of classification or of a language model holds loss, p_true, margin, correct and el2n; a regression holds
    loss and el2n. hf_prune.dynamics.formulas says of each what it means, in which unit, and how it is computed.

    Args:
        signals: by name, each (epochs, n) float32. A run that lacks one, as those do that were saved before there was
            such a signal, is as good as any until it is asked for it.
        labels: (n,) int64 class of each row; -1 where it was never seen, or the task has no class for a row; -100
            where it was seen and has no label, which is NaN in the signals: see `unlabelled`. Who records a run
            writes that value for a row whose class, or that of all of its tokens, is -100.
        features: embeddings by moment, "early" and "last", each (n, d) float32.
        task: what was trained for, one of TASKS.
        digests: by column of the dataset that was trained on, (n,) uint64 digests of its rows as `row_digests` makes
            them, by which other rows and another order are told; none where it was no datasets.Dataset.

    >>> run = TrainingDynamics.from_logits([[[2.0, 0.0], [0.0, 1.0]]], labels=[0, 0])
    >>> run["margin"].tolist()
    [[2.0, -1.0]]
    """

    @classmethod
    def from_logits(cls, logits: ArrayLike, labels: ArrayLike) -> Self:
        """Dynamics of a run that was not recorded by the callback.

        Args:
            logits: (epochs, n, classes) float, before softmax; NaN rows are unseen. Classes other than the label's
                may be masked with -inf.
            labels: (n,) ints, the class that each row was trained with.

        Raises:
            ArgumentError: other shapes or labels, or infinite or NaN logits, with their epoch and row.
        """
        signals, classes = signals_from_logits(logits, labels)
        return cls(signals, classes.astype(np.int64))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, replacing one at `path` only once the new one is complete."""
        storage.write_file(path, self._contents)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The dynamics that `save` wrote; ArgumentError where there are none, or they are damaged."""
        return cls(*storage.read_file(path))

    def to_dataset(self) -> Dataset:
        """A table with one row for each example, a copy.

        Columns: `row`, the int64 position; `label`, int64, as in `labels`; `task` if not "single-label"; of each
        signal a list of `epochs` float32, NaN where not seen; of features, as `features.early` and `features.last`,
        lists of d float32; of each column that was trained on, as `digest.COLUMN`, the uint64 digest of its value.

        Raises:
            ArgumentError: no epoch is recorded, or features have no dimension.

        >>> run = TrainingDynamics.from_logits([[[2.0, 0.0]], [[0.0, 1.0]]], labels=[0])
        >>> run.to_dataset()[0]["margin"]
        [2.0, -1.0]
        """
        return storage.to_dataset(self._contents)

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
        return cls(*storage.from_dataset(dataset))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dataset()` as one Parquet file, replacing a file there only once the new one is complete."""
        storage.write_parquet(path, self._contents)

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str]) -> Self:
        """The dynamics that `to_parquet` wrote; ArgumentError where there are none, or they are damaged."""
        return cls(*storage.read_parquet(path))

    def push_to_hub(
        self, repo_id: str, *, config: str = "default", split: str = "train", **options: Any
    ) -> CommitInfo:
        """Push what `to_parquet` writes, so that one run serves everyone's pruning; `from_hub` reads it.

        Args:
            repo_id: of a dataset repository, which is made if it isn't there.
            config, split: those of the dataset that was trained on.
            options: `token`, `revision`, `create_pr` and `private` as in Dataset.push_to_hub.
        """
        repository, path = Repository(repo_id, **options), f"{folder_of(config, split)}/{PARQUET}"
        with tempfile.TemporaryDirectory() as folder:
            self.to_parquet(file := Path(folder) / PARQUET)
            message = f"Training dynamics of {config}/{split}: {self.epochs} epochs of {len(self)} rows"
            about = section(self, repository.full_id, config, split)
            change = partial(amended, text=about, config=config, split=split, kind="dynamics of ", under=TITLE)
            return commit(repository, {path: file}, message, change=change)

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        config: str = "default",
        split: str = "train",
        revision: str | None = None,
        *,
        token: str | bool | None = None,
        max_bytes: int = 2**34,
    ) -> Self:
        """The dynamics that `push_to_hub` pushed.

        Args:
            max_bytes: a larger file is not downloaded.

        Raises:
            ArgumentError: there are none, they are larger, or damaged.
        """
        (file,) = download(repo_id, [f"{folder_of(config, split)}/{PARQUET}"], revision, token, max_bytes=max_bytes)
        return cls.from_parquet(file)

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

    @classmethod
    def merge(cls, runs: Iterable[Any]) -> Self:
        """The mean of several runs on the same rows, as with several seeds: of each signal that all of them hold, in
        each epoch over the runs that saw the row in it, NaN where none did.

        Features are dropped, because those of different runs can't be compared. Scores that are means of a signal
        (AUM, EL2N) become their mean over the runs where all saw a row as often; Variability is that of the averaged
        run, and Forgetting refuses it.

        Args:
            runs: each as in `dynamics=` of `prune`; a generator's are read one after the other.

        Memory: 16 bytes a row, epoch and signal, and two of the runs.

        Raises:
            AlignmentError: other rows or labels. ArgumentError: other numbers of epochs, or no run.

        >>> runs = [TrainingDynamics.from_logits([[[margin, 0.0]]], labels=[0]) for margin in (1.0, 3.0)]
        >>> TrainingDynamics.merge(runs)["margin"].tolist()
        [[2.0]]
        """
        if isinstance(runs, TrainingDynamics | str | os.PathLike) or not isinstance(runs, Iterable):
            raise ArgumentTypeError(
                "`runs`: wanted several, as in TrainingDynamics.merge([run_of_seed_0, run_of_seed_1]), got one "
                f"{type(runs).__name__}"
            )
        return cls(*merged(checked_dynamics(run)._contents for run in runs))

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
        if isinstance(method, str) and method in scores.keys() - readable:
            needs = ", ".join(sorted(scores[method].reads - {"dynamics"}))
            raise MissingSignalError(
                f"`method`: {method!r} needs {needs}, which a training run doesn't hold; use ds.prune, or one of "
                f"{readable}"
            )
        one_of("method", method, readable)
        if isinstance(epochs := options.get("epochs"), slice):
            if epochs.step is not None:
                raise ArgumentError(f"`epochs`: wanted a slice without a step, as in slice(0, 5), got {epochs}")
            stop = self.epochs if epochs.stop is None else epochs.stop
            options["epochs"] = (0 if epochs.start is None else epochs.start, stop)
        of_run: NDArray[np.float64] = named("score", method, options).of_run(self)
        return of_run

    def plot(self) -> "Figure":
        """The data map, confidence against variability; see hf_prune.plots.plot_data_map."""
        from hf_prune.plots import plot_data_map

        return plot_data_map(self.mean("p_true"), self.std("p_true"), self.mean("correct"))


def checked_dynamics(value: Any) -> TrainingDynamics:
    """The dynamics that users pass: TrainingDynamics, the callback that recorded them, or the path of a saved file."""
    if isinstance(value, str | os.PathLike):
        return TrainingDynamics.load(value)
    dynamics = value if isinstance(value, TrainingDynamics) else getattr(value, "dynamics", None)
    if not isinstance(dynamics, TrainingDynamics):
        raise ArgumentTypeError(
            "`dynamics`: wanted TrainingDynamics, the PruningTrainerCallback that recorded them, or the path of a "
            f"saved file; got {_kind_of(value)}"
        )
    return dynamics


def _kind_of(value: Any) -> str:
    if isinstance(value, type):
        return (
            f"the class {value.__name__} itself: pass the instance that the Trainer was given in callbacks=[recorder]"
        )
    return type(value).__name__
