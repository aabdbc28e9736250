"""Which batch of the loader a forward pass is about.

A pass is about a batch if it takes one of its tensors as the loop got it, or a view of it with all rows in order.
Where it takes none, as in a loop that moves batches to a device itself, the values are compared: what was passed must
be what is in one of the batches that the loop got last.
"""

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch


class Batch:
    """A batch that a loop got, and what became of it.

    Attributes:
        ids: (rows,) int64 positions.
        labels: of its rows.
        label_names: its keys for them.
        trains: whether the loop took it with gradients: passes over it without any are then not those of training.
        whole: the batch itself, until it is over.
        done: whether a pass over it was recorded, or was none to be recorded.
    """

    def __init__(self, whole: Any, ids: torch.Tensor, labels: torch.Tensor, label_names: tuple[str, ...]) -> None:
        self.ids, self.labels, self.label_names = ids, labels, label_names
        self.trains, self.done = torch.is_grad_enabled(), False
        self.whole = whole
        self._tensors = {id(tensor): weakref.ref(tensor) for _, tensor in tensors_in(whole) if _has_rows(tensor, ids)}

    @property
    def may_come(self) -> bool:
        """Whether a pass may still take it: the loop holds some of it."""
        return not self.done and any(known() is not None for known in self._tensors.values())

    def is_over(self) -> None:
        self.done, self.whole = True, None

    def is_given(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is one of this batch, or a view of one with all its rows in order."""
        known = self._tensors.get(id(tensor))
        if known is not None:
            return known() is tensor
        if not _has_rows(tensor, self.ids) or tensor.layout != torch.strided or tensor._base is None:
            return False
        return any(_same_rows(own, tensor) for known in self._tensors.values() if (own := known()) is not None)


def same_values(whole: Any, given: list[tuple[Any, torch.Tensor]], ids: torch.Tensor) -> torch.Tensor | None:
    """A bool on the device of the pass: whether what it takes has the values that the batch has.

    None where they have nothing of one name, or position, and of one shape.
    """
    own = {name: tensor for name, tensor in tensors_in(whole) if _has_rows(tensor, ids)}
    shapes = {tensor.shape: tensor for tensor in reversed(own.values())}
    same = []
    for name, tensor in given:
        mine = own.get(name) if isinstance(name, str) else shapes.get(tensor.shape)
        if mine is not None and mine.shape == tensor.shape:
            same.append((mine.to(tensor.device, tensor.dtype, non_blocking=True) == tensor.detach()).all())
    return torch.stack(same).all() if same else None


def tensors_in(value: Any, name: Any = 0) -> Iterator[tuple[Any, torch.Tensor]]:
    """(name, tensor) of all tensors in mappings, lists and tuples; the name is a mapping's key, or a position."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from tensors_in(part, key)
    elif isinstance(value, tuple | list) and not (value and isinstance(value[0], str | int | float)):
        for place, part in enumerate(value):
            yield from tensors_in(part, place)


def _has_rows(tensor: torch.Tensor, ids: torch.Tensor) -> bool:
    return tensor.ndim > 0 and len(tensor) == len(ids)


def _same_rows(own: torch.Tensor, view: torch.Tensor) -> bool:
    """Whether row i of the view lies within row i of the tensor."""
    if own.layout != torch.strided or own.untyped_storage().data_ptr() != view.untyped_storage().data_ptr():
        return False
    step, start = own.stride(0), view.storage_offset() - own.storage_offset()
    return len(own) == 1 or (own.dtype == view.dtype and view.stride(0) == step and 0 <= start < step)
