"""Whether a batch has the rows that were fetched for it, in their order, as far as both hold the same values."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

logger = logging.getLogger(__name__)

ROWS = "gets another number of rows from the collate function than were fetched: does it pack, drop or add rows?"
FLAT = (
    "can't record batches of which the collate function makes one long row (padding-free, flattened or packed "
    "ones): their rows can't be told apart; pad them, as DataCollatorWithPadding does"
)
ORDER = (
    "gets the rows of a batch in another order, or other rows, from the collate function than were fetched: let a "
    "sampler order them, and let the collate function return them as they come"
)
REASONS = (ROWS, FLAT, ORDER)

POSITIONS = ("start_positions", "end_positions")
"""The labels of question answering, whose models return logits of starts and of ends."""

LABELS: tuple[tuple[str, ...], ...] = (("labels",), ("label",), POSITIONS)
"""The usual keys of a batch for its labels."""

ELEMENTS = 4096
"""Values of a row that are looked at."""

UNLIKE, LIKE = 0.5, 0.3
"""A row of the batch is another one than was fetched if fewer than the first share of its values are the same, and
the share of another fetched row's is greater by at least the second: masks and augmentation change less, or all."""


def label_names_in(batch: Any) -> tuple[str, ...]:
    """The keys for labels in a batch of which nobody said them."""
    known = batch if isinstance(batch, Mapping) else ()
    return next((names for names in LABELS if all(name in known for name in names)), LABELS[0])


def why_not_in_order(
    data: Any, batch: Any, n: int, label_names: tuple[str, ...] | None, *, thorough: bool
) -> str | None:
    """One of REASONS if the batch that was made of `data` has other rows, or another order; None if not, or if nobody
    can tell because they hold no value in common.

    Args:
        data: a list of rows, each a mapping or a tuple, or a mapping of columns.
        batch: what the collate function made of it.
        n: how many rows were fetched.
        label_names: of the batch's labels, None for the usual ones.
        thorough: look at all rows and columns; else at whole numbers of rows, as classes are, and at two rows.
    """
    label_names = label_names or label_names_in(batch)
    rows = _number_of_rows(batch, label_names)
    if rows is not None and rows != n:
        return FLAT if rows == 1 else ROWS
    wrong = any(
        _differ(values, made, is_label=name in label_names)
        for name, values, made in _common(data, batch, n, label_names, thorough)
    )
    return ORDER if wrong else None


def say_if_unknown(data: Any, batch: Any, n: int, label_names: tuple[str, ...] | None) -> None:
    """Say it in the log where nobody can tell whether a batch has its rows in their order."""
    if next(_common(data, batch, n, label_names or label_names_in(batch), True), None) is None:
        logger.warning(
            "rows and batches have no column in common, so the recorder can't see whether the collate function keeps "
            "the order of the rows: it must"
        )


def _number_of_rows(batch: Any, label_names: tuple[str, ...]) -> int | None:
    labels = _labels(batch, label_names)
    return len(labels) if isinstance(labels, torch.Tensor) and labels.ndim else None


def _labels(batch: Any, label_names: tuple[str, ...]) -> Any:
    if isinstance(batch, tuple | list):
        return batch[-1] if batch else None
    return batch.get(label_names[0]) if isinstance(batch, Mapping) else None


def _common(
    data: Any, batch: Any, n: int, label_names: tuple[str, ...], thorough: bool
) -> Iterator[tuple[str | int, list[Any], torch.Tensor]]:
    """(name, values of the rows, what is in the batch) of what both have: all of it, or what costs little."""
    parts = batch.items() if isinstance(batch, Mapping) else enumerate(batch)
    for name, made in parts:
        if not isinstance(made, torch.Tensor) or made.ndim == 0 or len(made) != n:
            continue
        of_label = name in label_names and len(label_names) == 1
        for known in (name, "label", "label_ids") if of_label else (name,):
            values = _column(data, known)
            if values is None:
                continue
            if not thorough and made.numel() > n:
                ends = [0, n - 1] if made[0].numel() <= ELEMENTS and not of_label else []
                values, made = [values[row] for row in ends], made[ends]
            if values and _flat(values[0]) is not None:
                yield name, values, made
            break


def _column(data: Any, name: Any) -> list[Any] | None:
    try:
        if isinstance(data, Mapping):
            return list(data[name])
        return [row[name] for row in data]
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _are_equal(values: list[Any], made: torch.Tensor) -> bool:
    """Whether the rows are in the batch as they were, which is the rule and quickly seen."""
    try:
        rows = torch.stack(values) if isinstance(values[0], torch.Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError, RuntimeError):
        return False
    return rows.shape == made.shape and torch.equal(rows.to(made.dtype), made)


def _flat(value: Any) -> torch.Tensor | None:
    """The first values of one row; None where it holds no numbers."""
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        values = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))
        return values.flatten()[:ELEMENTS]
    except (TypeError, ValueError, RuntimeError):
        return None


def _differ(of_rows: list[Any], made: torch.Tensor, is_label: bool) -> bool:
    """Whether `made` has the rows in another order, or rows that are none of them."""
    if _are_equal(of_rows, made):
        return False
    rows = [row.flatten()[:ELEMENTS] for row in made]
    values = [value.to(made.dtype) for each in of_rows if (value := _flat(each)) is not None]
    if len(values) < len(rows):
        return False
    own = [_agreement(value, row) for value, row in zip(values, rows, strict=True)]
    if min(own) == 1:
        return False
    if all(len(value) == 1 == len(row) for value, row in zip(values, rows, strict=True)):
        # One number a row: the same ones in another order.
        return torch.equal(torch.cat(values).sort().values, torch.cat(rows).sort().values)
    every = [[_agreement(value, row) for value in values] for row in rows]  # row of the batch, fetched row
    if all(max(column) == 1 for column in zip(*every, strict=True)) and all(max(of_row) == 1 for of_row in every):
        return True
    if is_label:  # those of tokens are much alike, and collate functions align them anew
        return False
    foreign = [
        max(of_row)
        for mine, value, of_row in zip(own, values, every, strict=True)
        if mine < UNLIKE and len(value) > 3 and max(of_row) > mine + LIKE
    ]
    # Where much is masked one row may by chance be more like another; two rows, or a whole one, are no chance.
    return len(foreign) > 1 or 1 in foreign


def _agreement(value: torch.Tensor, row: torch.Tensor) -> float:
    """Share of a fetched row's values that stand in a row of the batch, which may be padded or cut at either end."""
    length = min(len(value), len(row))
    if length == 0:
        return 1.0
    left, right = value[:length] == row[:length], value[len(value) - length :] == row[len(row) - length :]
    return max(left.float().mean().item(), right.float().mean().item())
