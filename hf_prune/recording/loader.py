"""Where a loop takes its batches: ids are packed when a loader fetches, and handed over when the loop gets a batch."""

from collections.abc import Callable
from typing import Any

import torch
import transformers.trainer

from hf_prune.recording.ids import CollateWithIds, WithIds

_trainer: Any = transformers.trainer

_CLASS = object.__dict__["__class__"]
"""accelerate's loaders answer with the class of the one that they wrap, and refuse to be given another."""

WATCHED = "_hf_prune_watched"
"""The attribute of a watched loader's class that holds the class it had before."""


class _Batches:
    """A loader's iterator that hands ids over; everything else is the iterator's own."""

    def __init__(self, batches: Any, collate: CollateWithIds) -> None:
        self._batches, self._collate = batches, collate

    def __iter__(self) -> "_Batches":
        return self

    def __next__(self) -> Any:
        return self._collate.handed_over(next(self._batches))

    def __len__(self) -> int:
        return len(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)


def watch(
    loader: Any,
    receive: Callable[[Any, torch.Tensor], None],
    label_names: tuple[str, ...] | None,
    id_column: str | None,
) -> CollateWithIds:
    """Let `receive` be called with each batch that a loop takes from `loader`, and with the ids of its rows."""
    base = bare_loader(loader)
    if not isinstance(base.collate_fn, CollateWithIds):
        # A DataLoader refuses to have its dataset replaced; this one only adds the ids.
        if id_column is None:
            object.__setattr__(base, "dataset", WithIds(base.dataset, whole=base.batch_sampler is None))
        base.collate_fn = CollateWithIds(base.collate_fn, label_names, id_column)
    collate: CollateWithIds = base.collate_fn
    collate.receivers.append(receive)
    _watch_class(loader)
    return collate


def watchers(loader: Any) -> int:
    """How many watch a loader by now."""
    collate = bare_loader(loader).collate_fn
    return len(collate.receivers) if isinstance(collate, CollateWithIds) else 0


def unwatch(loader: Any, receive: Callable[[Any, torch.Tensor], None]) -> None:
    """Leave the loader as it was, once nobody else watches it."""
    base = bare_loader(loader)
    collate = base.collate_fn
    if not isinstance(collate, CollateWithIds) or receive not in collate.receivers:
        return
    collate.receivers.remove(receive)
    if not collate.receivers:
        if isinstance(base.dataset, WithIds):
            object.__setattr__(base, "dataset", base.dataset._dataset)
        base.collate_fn = collate._collate
        if hasattr(type(loader), WATCHED):
            _CLASS.__set__(loader, getattr(type(loader), WATCHED))


def _watch_class(loader: Any) -> None:
    """Let iter(loader), which asks the loader's class, hand ids over."""
    bare = type(loader)
    if hasattr(bare, WATCHED):
        return

    def iterate(self: Any) -> Any:
        collate, batches = bare_loader(self).collate_fn, bare.__iter__(self)
        return _Batches(batches, collate) if isinstance(collate, CollateWithIds) else batches

    watched = type(bare.__name__, (bare,), {"__iter__": iterate, "__module__": bare.__module__, WATCHED: bare})
    _CLASS.__set__(loader, watched)


_skip_first_batches = _trainer.skip_first_batches


def watch_rest(loader: Any) -> None:
    """Watch the loader that transformers' Trainer makes of `loader` for the epoch within which a run goes on."""

    def skip(whole: Any, *args: Any, **kwargs: Any) -> Any:
        rest = _skip_first_batches(whole, *args, **kwargs)
        if whole is loader and isinstance(bare_loader(rest).collate_fn, CollateWithIds):
            _trainer.skip_first_batches = _skip_first_batches
            _watch_class(rest)
        return rest

    _trainer.skip_first_batches = skip


def unwatch_rest() -> None:
    _trainer.skip_first_batches = _skip_first_batches


def bare_loader(loader: Any) -> Any:
    """The loader that fetches and collates, which accelerate wraps; what is set on the wrapper never reaches it."""
    return getattr(loader, "base_dataloader", loader)
