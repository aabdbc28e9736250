"""Rows that have no label: which they are, what is to become of them, and signals of the others alone."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from hf_prune.arguments import one_of
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.dynamics.rows import UNLABELLED
from hf_prune.errors import ArgumentError
from hf_prune.groups import Groups
from hf_prune.labels import column_groups, stored_column

Unlabelled: TypeAlias = Literal["keep", "drop"]
"""What `prune` does with rows that have no label."""


def unlabelled_in(dataset: Dataset, column: str) -> NDArray[np.bool_]:
    """(n,) where a column of labels holds null, -100, or of a ClassLabel another negative number."""
    labels = stored_column(dataset, column)
    without = labels.is_null()
    if pa.types.is_integer(labels.type):
        negative = isinstance(dataset.features[column], ClassLabel)
        none = pc.less(labels, 0) if negative else pc.equal(labels, UNLABELLED)
        without = pc.or_(without, none.fill_null(True))
    marked: NDArray[np.bool_] = without.to_numpy(zero_copy_only=False)
    return marked


def check_unlabelled(unlabelled: Any, without: NDArray[np.bool_]) -> None:
    """Refuse rows without a label where nobody said what becomes of them, and a dataset without others."""
    if unlabelled is not None:
        one_of("unlabelled", unlabelled, ("keep", "drop"))
    if not without.any():
        return
    n = len(without)
    if without.all():
        raise ArgumentError(f"`dataset`: none of its {n} rows has a label; take a method that reads none")
    if unlabelled is None:
        raise ArgumentError(
            f"`unlabelled`: {without.sum()} of {n} rows have no label, the first is row {np.argmax(without)}; say "
            "what becomes of them: prune(..., unlabelled='keep') keeps all of them, within the budget and before what "
            "the method chooses, and prune(..., unlabelled='drop') keeps none"
        )


def room_left(unlabelled: Any, without: NDArray[np.bool_], budget: int) -> int:
    """How many of the rows with a label a budget has room for, of which rows without one may take a part.

    Raises:
        ArgumentError: too few rows are left, or no room.
    """
    count, n = int(without.sum()), len(without)
    if unlabelled == "keep" and count > budget:
        raise ArgumentError(
            f"`unlabelled`: 'keep' keeps all {count} rows without a label, and keep= means {budget} rows; keep "
            f"{count} or more, or pass unlabelled='drop'"
        )
    if unlabelled == "drop" and budget > n - count:
        raise ArgumentError(
            f"`keep`: wanted {budget} of {n} rows, of which {n - count} have a label; keep that many at most, or pass "
            "unlabelled='keep'"
        )
    return budget - count if unlabelled == "keep" else budget


def labelled_groups(dataset: Dataset, column: str, without: NDArray[np.bool_]) -> Groups:
    """The groups that the values of a column make, of which rows without a label are in none."""
    if not without.any():
        return column_groups(dataset, column)
    rows = np.flatnonzero(~without)
    groups = column_groups(dataset.select(rows), column)
    codes = np.full(len(without), -1, dtype=np.int64)
    codes[rows] = groups.codes
    return Groups(codes, groups.values, groups.names, groups.numbered)


def of_rows(name: str, signal: Any, rows: NDArray[np.int64]) -> Any:
    """A signal of some rows alone; recalls, which are of no rows, as they are."""
    if name == "recalls":
        return _from_positions_in(rows, signal) if callable(signal) else signal
    if isinstance(signal, Groups | TrainingDynamics):
        return signal.take(rows)
    return signal.select(rows) if isinstance(signal, Dataset) else signal[rows]


def _from_positions_in(rows: NDArray[np.int64], recalls: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda positions: recalls(rows[positions])
