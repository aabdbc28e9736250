"""How the positions of rows come from a loader's workers to the loop, without a trace in what the loop gets.

The dataset hands its rows out with their positions, the collate function packs these beside the batch, what accelerate
does to a batch (moving, joining, cutting, filling up) it does to them, too, and where the loop takes the batch they
are unpacked again: what the loop, its trainer and its models get is what the user's collate function made.
"""

import itertools
import operator
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

import torch
from torch.utils.data import get_worker_info

from hf_prune.errors import ArgumentError
from hf_prune.recording.order import REASONS, say_if_unknown, why_not_in_order

_numbers = itertools.count()

GAP = -(2**62)
"""Ids from here up are of rows that are not recorded, each for one of GAPS."""

GAPS = (*REASONS, "was given a forward pass with other values than the batch has, or other rows")
"""Why rows are not recorded: what follows "PruningTrainerCallback"."""


class Fetched(NamedTuple):
    """What a loader fetched for one batch, and the positions of its rows."""

    data: Any
    ids: list[int]


class WithIds:
    """A map-style dataset whose batches know their positions; everything else is the dataset's own.

    Fetching and collating happen in one call of one worker, so ids and rows can't come apart.

    Args:
        whole: whether the loader asks for a batch as one item, as in `dataset[[3, 1, 2]]`.
    """

    def __init__(self, dataset: Any, *, whole: bool = False) -> None:
        self._dataset, self._whole = dataset, whole

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        data = self._dataset[index]
        if not self._whole:
            return data
        rows = index if hasattr(index, "__len__") else [index]
        return Fetched(data, [operator.index(row) for row in rows])

    def __getitems__(self, indices: list[int]) -> Fetched:
        if hasattr(self._dataset, "__getitems__"):
            return Fetched(self._dataset.__getitems__(indices), list(indices))
        return Fetched([self._dataset[index] for index in indices], list(indices))

    def __getattr__(self, name: str) -> Any:
        if name == "_dataset" or name.startswith("__"):  # asked for while unpickling, before there is a dataset
            raise AttributeError(name)
        return getattr(self._dataset, name)


class CollateWithIds:
    """The loader's own collate function, with the ids packed beside what it makes; `unpacked` takes them out again.

    Attributes:
        receivers: called in the loop's process with each batch that the loop takes, and its ids.
        key: of the ids, while they travel in a mapping; no other object has the same.
    """

    def __init__(
        self, collate: Callable[[Any], Any], label_names: tuple[str, ...] | None, id_column: str | None
    ) -> None:
        self._collate, self._label_names, self._id_column = collate, label_names, id_column
        self._batches = 0
        self.key = f"hf_prune_ids_{next(_numbers)}"
        self.receivers: list[Callable[[Any, torch.Tensor], None]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "receivers": []}  # workers only pack

    def __call__(self, fetched: Any) -> Any:
        if self._id_column is None:
            data, ids = fetched
        else:
            data, ids = fetched, _column_of(fetched, self._id_column)
        batch = self._collate(data)
        thorough, first, self._batches = self._batches < 2, self._batches == 0, self._batches + 1
        wrong = why_not_in_order(data, batch, len(ids), self._label_names, thorough=thorough)
        worker = get_worker_info()
        says = first and (worker is None or worker.id == 0)
        if wrong is None:
            if says:
                say_if_unknown(data, batch, len(ids), self._label_names)
            return self._packed(batch, torch.as_tensor(ids, dtype=torch.int64))
        if says:
            raise ArgumentError(f"PruningTrainerCallback {wrong}")
        # A run that has begun goes on, without these rows.
        return self._packed(batch, torch.full((len(ids),), GAP + REASONS.index(wrong)))

    def _packed(self, batch: Any, ids: torch.Tensor) -> Any:
        if isinstance(batch, MutableMapping):
            batch[self.key] = ids
            return batch
        if type(batch) in (tuple, list):
            return type(batch)((*batch, ids))
        raise ArgumentError(
            "PruningTrainerCallback needs batches that are dicts, lists or tuples, got "
            f"{type(batch).__name__}; let the collate function return one of them"
        )

    def handed_over(self, batch: Any) -> Any:
        """What the loop gets, after the receivers have seen it."""
        if isinstance(batch, MutableMapping):
            ids = batch.pop(self.key)
        else:
            batch, ids = type(batch)(batch[:-1]), batch[-1]
        for receive in list(self.receivers):
            receive(batch, ids)
        return batch


def labels_in(batch: Any, label_names: tuple[str, ...]) -> Any:
    """The labels of a batch, several columns side by side; of one that is no mapping they are its last part.

    Raises:
        ArgumentError: it has none.
    """
    if isinstance(batch, Mapping):
        if all(name in batch for name in label_names):
            found = [batch[name] for name in label_names]
            return found[0] if len(found) == 1 else torch.stack([positions.flatten() for positions in found], dim=1)
        got = f"{sorted(map(str, batch))}"
    elif len(batch) > 1:
        return batch[-1]
    else:
        got = f"a {type(batch).__name__} of {len(batch)}"
    wanted = " and ".join(map(repr, label_names))
    raise ArgumentError(
        f"PruningTrainerCallback needs batches with a {wanted} entry, got {got}; name the label column 'label' or "
        "'labels', or set label_names in TrainingArguments. Losses that compare inputs with each other, as of "
        "preferences, rankings and pairs of images and texts, give a row no label, and can't be recorded: train "
        "without the callback, and prune by embeddings=, or by scores= of your own"
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
