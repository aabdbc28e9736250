"""How row ids travel with a batch through an unmodified training loop, and how logits are read on the way."""

import itertools
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from hf_prune.errors import ArgumentError
from hf_prune.recording.tasks import example_signals, row_labels, task_of

_numbers = itertools.count()


class BatchSignals(NamedTuple):
    """What one batch said of its rows, on the model's device.

    Attributes:
        ids: (batch,) int64 positions in the train dataset.
        labels: (batch,) int64, UNSEEN for tasks whose labels are no classes of rows.
        signals: (batch, quantities) float32 in the order of `signals_of(task)`.
        features: (batch, d) float32 input of the head, or None.
        task: one of `formulas.TASKS`.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    signals: torch.Tensor
    features: torch.Tensor | None
    task: str


class RowsWithIds(list[Any]):
    """The rows of one batch, and their positions."""

    ids: list[int]


class WithIds:
    """A map-style dataset whose batches know their positions; everything else is the dataset's own.

    Fetching and collating happen in one call of one worker, so ids and rows can't come apart.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        return self._dataset[index]

    def __getitems__(self, indices: list[int]) -> RowsWithIds:
        if hasattr(self._dataset, "__getitems__"):
            rows = RowsWithIds(self._dataset.__getitems__(indices))
        else:
            rows = RowsWithIds(self._dataset[index] for index in indices)
        rows.ids = list(indices)
        return rows

    def __getattr__(self, name: str) -> Any:
        if name == "_dataset" or name.startswith("__"):  # asked for while unpickling, before there is a dataset
            raise AttributeError(name)
        return getattr(self._dataset, name)


class CollateWithIds:
    """The loader's own collate function, with the ids and a second copy of the labels added to the batch.

    Label smoothing and `compute_loss_func` take `labels` out before the forward pass; the copy still arrives.

    Attributes:
        keys: of the ids and the copy, from here to the model's forward pass, where they are taken out again. No other
            object has the same, so that two recorders, or one that a crash left behind, don't take each other's.
    """

    def __init__(self, collate: Callable[[Any], Any], label_name: str, id_column: str | None = None) -> None:
        self._collate = collate
        self._label_name = label_name
        self._id_column = id_column
        number = next(_numbers)
        self.keys = f"hf_prune_ids_{number}", f"hf_prune_labels_{number}"

    def __call__(self, rows: Any) -> Any:
        ids = rows.ids if self._id_column is None else _column_of(rows, self._id_column)
        batch = self._collate(rows)
        if not isinstance(batch, Mapping) or self._label_name not in batch:
            entries = sorted(batch) if isinstance(batch, Mapping) else type(batch).__name__
            raise ArgumentError(
                f"PruningTrainerCallback needs batches with a {self._label_name!r} entry, got {entries}; name the "
                "label column 'label' or 'labels', or set label_names in TrainingArguments"
            )
        ids_key, labels_key = self.keys
        batch[ids_key] = torch.as_tensor(ids, dtype=torch.int64)  # type: ignore[index]
        batch[labels_key] = batch[self._label_name]  # type: ignore[index]
        return batch


class Tap:
    """Taps a data loader and a model until `close`: every training batch goes to `receive`.

    Args:
        loader: the DataLoader that fetches and collates.
        model: the module whose forward pass takes the batch.
        label_name: the batch's key for labels.
        head: the module whose input is the features, or None.
        receive: called with every training batch.
        task: one of `formulas.TASKS`; None reads it from the first batch.
        id_column: the entry of each row that holds its position, for datasets that are read in a stream.
        in_training: whether the passes in training mode are received, or else those in evaluation mode, which only
            batches of the training loader can be.
    """

    def __init__(
        self,
        loader: Any,
        model: nn.Module,
        label_name: str,
        head: nn.Module | None,
        receive: Callable[[BatchSignals], None],
        task: str | None = None,
        *,
        id_column: str | None = None,
        in_training: bool = True,
    ) -> None:
        self._loader = loader
        self._dataset, self._collate = _bare(loader.dataset, loader.collate_fn)
        self._receive, self._task, self._in_training = receive, task, in_training
        self._arriving: tuple[torch.Tensor, torch.Tensor] | None = None
        self._features: torch.Tensor | None = None
        self._wants_features = head is not None
        # A DataLoader refuses to have its dataset replaced; this one only adds the ids.
        if id_column is None:
            object.__setattr__(loader, "dataset", WithIds(loader.dataset))
        loader.collate_fn = CollateWithIds(loader.collate_fn, label_name, id_column)
        self._keys = loader.collate_fn.keys
        # Out of sight of the compiler, which would otherwise recompile for every step.
        hide: Callable[[Any], Any] = torch.compiler.disable
        self._hooks = [
            model.register_forward_pre_hook(hide(self._take_ids), with_kwargs=True),
            model.register_forward_hook(hide(self._read_output)),
        ]
        if head is not None:
            self._hooks.append(head.register_forward_pre_hook(hide(self._read_features)))

    def close(self) -> None:
        """Leave loader and model as they were."""
        for hook in self._hooks:
            hook.remove()
        object.__setattr__(self._loader, "dataset", self._dataset)
        self._loader.collate_fn = self._collate

    def _take_ids(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        ids, labels = (kwargs.pop(key, None) for key in self._keys)
        wanted = ids is not None and module.training == self._in_training
        self._arriving = (ids, labels) if wanted else None
        return args, kwargs

    def _read_features(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if self._arriving is not None:
            vectors = args and isinstance(args[0], torch.Tensor) and args[0].is_floating_point()
            self._features = args[0].detach().float() if vectors else None

    def _read_output(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._arriving is None:
            return
        ids, labels = self._arriving
        self._arriving = None
        features, self._features = self._features, None
        logits = _logits(output)
        _check_rows(ids, labels, logits)
        if self._wants_features and (features is None or features.shape[:1] != ids.shape or features.ndim != 2):
            raise ArgumentError(
                "`features`: wanted a module whose input has the shape (batch, d), in floats, got "
                f"{None if features is None else tuple(features.shape)}; name another, as in "
                "PruningTrainerCallback(features='classifier')"
            )
        if self._task is None:
            self._task = task_of(module, labels, logits)
        signals = example_signals(self._task, logits, labels)
        self._receive(BatchSignals(ids, row_labels(self._task, labels), signals, features, self._task))


def _logits(output: Any) -> torch.Tensor:
    if isinstance(output, Mapping):
        parts = [output.get("logits")]
    else:
        # A tuple begins with the loss, a scalar, where the model computed one.
        parts = list(output) if isinstance(output, tuple | list) else [output]
    for part in parts:
        if isinstance(part, torch.Tensor) and part.ndim >= 1:
            return part
    returned = f"the entries {sorted(output)}" if isinstance(output, Mapping) else type(output).__name__
    raise ArgumentError(
        "PruningTrainerCallback needs a model that returns logits, as a 'logits' entry, as a tensor or in a tuple "
        f"after the loss; got {returned}"
    )


def _column_of(rows: Any, id_column: str) -> list[int]:
    try:
        return [operator.index(row[id_column]) for row in rows]
    except (KeyError, TypeError, IndexError) as error:
        columns = sorted(rows[0]) if isinstance(rows[0], Mapping) else type(rows[0]).__name__
        raise ArgumentError(
            f"`id_column`: wanted a whole number as {id_column!r} in each row of the train dataset, got rows with "
            f"{columns}"
        ) from error


def _bare(dataset: Any, collate: Callable[[Any], Any]) -> tuple[Any, Callable[[Any], Any]]:
    """A loader's own dataset and collate function, beneath those of other taps: taps end together, in any order."""
    while isinstance(dataset, WithIds):
        dataset = dataset._dataset
    while isinstance(collate, CollateWithIds):
        collate = collate._collate
    return dataset, collate


def bare_loader(loader: Any) -> Any:
    """The loader that fetches and collates, which accelerate wraps; what is set on the wrapper never reaches it."""
    return getattr(loader, "base_dataloader", loader)


def check_countable(dataset: Any) -> None:
    if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
        raise ArgumentError(
            "PruningTrainerCallback needs a train_dataset with rows that can be counted; this one is streaming: "
            "load it without streaming=True, or give it a column with the position of each row and pass "
            "id_column= and num_examples="
        )


def _check_rows(ids: torch.Tensor, labels: torch.Tensor, logits: torch.Tensor) -> None:
    if not labels.ndim >= 1 <= logits.ndim or not len(ids) == len(labels) == len(logits):
        raise ArgumentError(
            f"PruningTrainerCallback wants labels and logits for each of the batch's {len(ids)} rows; got labels "
            f"{tuple(labels.shape)} and logits {tuple(logits.shape)}: does the collator pack or leave out rows?"
        )
