"""Training dynamics as a table with one row for each example, and back; nothing that is read is believed unchecked."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from hf_prune.arguments import did_you_mean
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.files import whole_file

ROW, LABEL, TASK = "row", "label", "task"
SINGLE_LABEL = "single-label"
"""The task of a table without a column for it."""

PREFIX = "features."
"""How the columns of features are called, followed by their moment; save calls its tensors so too."""

UNSEEN = -1
"""The label of rows that were never seen."""


class Contents(NamedTuple):
    """What a table holds, rows in the order of their positions."""

    signals: NDArray[np.float32]
    """(signals, epochs, n)"""
    labels: NDArray[np.int64]
    features: dict[str, NDArray[np.float32]]
    task: str


def to_dataset(
    labels: NDArray[np.int64],
    signals: Mapping[str, NDArray[np.float32]],
    features: Mapping[str, NDArray[np.float32]],
    task: str,
) -> Dataset:
    """As TrainingDynamics.to_dataset; `signals` are (epochs, n) and `features` (n, d) by name."""
    columns = {name: values.T for name, values in signals.items()}
    columns |= {PREFIX + moment: values for moment, values in features.items()}
    for name, values in columns.items():
        if not values.shape[1]:
            raise ArgumentError(f"`dynamics`: there is nothing of {name!r} to write, its shape is {values.shape}")
    # Arrow would share the memory of an array that a recorder may still be filling.
    lists = {name: _lists(np.array(values, dtype=np.float32, order="C")) for name, values in columns.items()}
    of_rows = {ROW: np.arange(len(labels)), LABEL: labels.astype(np.int64)}
    if task != SINGLE_LABEL:
        of_rows[TASK] = pa.array([task] * len(labels), pa.string())
    return Dataset(pa.table(of_rows | lists))


def from_dataset(dataset: Any, names: Sequence[str], *, source: str = "`dataset`") -> Contents:
    """As TrainingDynamics.from_dataset.

    Args:
        names: of the signals, in the order that they are returned in.
        source: what the messages call the dataset.
    """
    if not isinstance(dataset, Dataset):
        split = ", of which one split is wanted, as in from_dataset(dataset['train'])"
        raise ArgumentTypeError(
            f"{source}: wanted the datasets.Dataset that TrainingDynamics.to_dataset gave, got "
            f"{type(dataset).__name__}{split if isinstance(dataset, DatasetDict) else ''}"
        )
    columns = _checked_columns(dataset.features.arrow_schema, names, source)
    _check_positions(_whole_numbers(_column(dataset, ROW), ROW, source), source)
    if dataset.data.num_rows == len(dataset):
        # No row is repeated, so these are all rows of the table, whose own order takes no gathering: for a shuffled
        # dataset of a million rows and 10 epochs 4 seconds instead of 28.
        dataset = Dataset(dataset.data)
    rows = _whole_numbers(_column(dataset, ROW), ROW, source)
    labels = np.empty(len(rows), dtype=np.int64)
    labels[rows] = _whole_numbers(_column(dataset, LABEL), LABEL, source)
    if (labels < UNSEEN).any():
        row = int(np.argmax(labels < UNSEEN))
        raise ArgumentError(
            f"{source}: column {LABEL!r}: wanted classes from 0, and {UNSEEN} where a row was never seen; "
            f"row {row} has {labels[row]}"
        )
    epochs = columns[names[0]]
    signals = np.empty((len(names), epochs, len(rows)), dtype=np.float32)
    for values, name in zip(signals, names, strict=True):
        values[:, rows] = _floats(_column(dataset, name), name, source).T
    features = {}
    for name in [name for name in columns if name not in names]:
        array = features[name.removeprefix(PREFIX)] = np.empty((len(rows), columns[name]), dtype=np.float32)
        array[rows] = _floats(_column(dataset, name), name, source)
    return Contents(signals, labels, features, _task(dataset, source))


def write_parquet(dataset: Dataset, path: str | os.PathLike[str]) -> None:
    with whole_file(path, suggested="dynamics.parquet") as complete:
        dataset.to_parquet(complete)


def read_parquet(path: str | os.PathLike[str], names: Sequence[str]) -> Contents:
    """As TrainingDynamics.from_parquet; `names` as in `from_dataset`."""
    shown = f"`path`: {os.fspath(path)!r}"
    if not Path(path).is_file():
        raise ArgumentError(f"{shown} is no file; wanted one that TrainingDynamics.to_parquet wrote")
    try:
        with pq.ParquetFile(path) as file:
            # Columns of another program may be huge, so they are not read before they are known to be ours.
            columns = _checked_columns(file.schema_arrow, names, shown)
            task = [TASK] if TASK in file.schema_arrow.names else []
            table = file.read(columns=[ROW, LABEL, *task, *columns])
    except ArgumentError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArgumentError(f"{shown} is damaged or no Parquet file ({error})") from error
    # The metadata may be anyone's; the columns say everything.
    return from_dataset(Dataset(table.replace_schema_metadata(None)), names, source=shown)


def _task(dataset: Dataset, source: str) -> str:
    if TASK not in dataset.column_names:
        return SINGLE_LABEL
    found = _column(dataset, TASK).unique().to_pylist()
    if len(found) != 1 or not isinstance(found[0], str):
        raise ArgumentError(f"{source}: column {TASK!r}: wanted one task for all rows, got {found[:5]}")
    return found[0]


def _lists(values: NDArray[np.float32]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _checked_columns(schema: pa.Schema, names: Sequence[str], source: str) -> dict[str, int]:
    """Length of the lists by column, signals first; columns that are none of ours are left out."""
    features = [name for name in schema.names if name.startswith(PREFIX)]
    for name in (ROW, LABEL, *names, *features):
        if (count := schema.names.count(name)) != 1:
            what = f"{count} columns" if count else "no column"
            hint = "" if count else did_you_mean(name, schema.names)
            raise ArgumentError(
                f"{source}: {what} {name!r}; wanted a table that TrainingDynamics.to_dataset or to_parquet made."
                f"{hint} Columns: {schema.names}"
            )
    for name in (ROW, LABEL):
        if (kind := schema.field(name).type) != pa.int64():
            raise ArgumentError(f"{source}: column {name!r}: wanted int64, got {kind}")
    lengths: dict[str, int] = {}
    for name in (*names, *features):
        kind = schema.field(name).type
        if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
            raise ArgumentError(f"{source}: column {name!r}: wanted float32 lists of one fixed length, got {kind}")
        lengths[name] = kind.list_size
        if name in names and lengths[name] != lengths[names[0]]:
            raise ArgumentError(
                f"{source}: column {name!r}: wanted {lengths[names[0]]} epochs as in {names[0]!r}, got {lengths[name]}"
            )
    return lengths


def _check_positions(rows: NDArray[np.int64], source: str) -> None:
    """Refuse `rows` in which not every position stands once."""
    n = len(rows)
    outside = (rows < 0) | (rows >= n)
    times = np.bincount(rows[~outside], minlength=n)
    wrong = {
        "out of range": rows[outside],
        "repeated": np.flatnonzero(times > 1),
        "missing": np.flatnonzero(times == 0),
    }
    found = [f"{len(which):,} {what}, the first is {which[0]}" for what, which in wrong.items() if len(which)]
    if found:
        raise ArgumentError(
            f"{source}: column {ROW!r}: wanted each position from 0 to {n - 1} once for {n} rows, in any order; "
            f"{'; '.join(found)}"
        )


def _column(dataset: Dataset, column: str) -> pa.Array:
    """The stored values, in the dataset's order, whatever its format is."""
    return dataset.select_columns([column]).with_format("arrow")[:].column(0).combine_chunks()


def _whole_numbers(array: pa.Array, column: str, source: str) -> NDArray[np.int64]:
    _refuse_nulls(array, column, source)
    values: NDArray[np.int64] = array.to_numpy()
    return values


def _floats(array: pa.Array, column: str, source: str) -> NDArray[np.float32]:
    """(n, length of a list)"""
    _refuse_nulls(array, column, source)
    numbers = array.flatten()
    _refuse_nulls(numbers, column, source)
    values: NDArray[np.float32] = numbers.to_numpy().reshape(-1, array.type.list_size)
    return values


def _refuse_nulls(array: pa.Array, column: str, source: str) -> None:
    if array.null_count:
        raise ArgumentError(f"{source}: column {column!r} holds {array.null_count} nulls; unseen is NaN, not null")
