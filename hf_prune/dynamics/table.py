"""Training dynamics as a table with one row for each example, and back; nothing that is read is believed unchecked."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from hf_prune.arguments import did_you_mean
from hf_prune.dynamics.contents import FEATURES, UNSEEN, Contents
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.files import whole_file
from hf_prune.labels import stored_column

ROW, LABEL, TASK = "row", "label", "task"
SINGLE_LABEL = "single-label"
"""The task of a table without a column for it."""


def to_dataset(run: Contents) -> Dataset:
    """A table with the columns `row`, `label`, `task` (unless it is "single-label"), signals and features, a copy."""
    columns = {name: values.T for name, values in run.signals.items()}
    columns |= {FEATURES + moment: values for moment, values in run.features.items()}
    for name, values in columns.items():
        if not values.shape[1]:
            raise ArgumentError(f"`dynamics`: there is nothing of {name!r} to write, its shape is {values.shape}")
    # Arrow would share the memory of an array that a recorder may still be filling.
    lists = {name: _lists(np.array(values, dtype=np.float32, order="C")) for name, values in columns.items()}
    of_rows = {ROW: np.arange(len(run.labels)), LABEL: run.labels.astype(np.int64)}
    if run.task != SINGLE_LABEL:
        of_rows[TASK] = pa.array([run.task] * len(run.labels), pa.string())
    return Dataset(pa.table(of_rows | lists))


def from_dataset(dataset: Any, *, source: str = "`dataset`") -> Contents:
    """What `to_dataset` wrote, rows in the order of their positions; other columns are ignored.

    Args:
        source: what the messages call the dataset.

    Raises:
        ArgumentError: a column is missing or holds what it can't. ArgumentTypeError: no Dataset.
    """
    if not isinstance(dataset, Dataset):
        split = ", of which one split is wanted, as in from_dataset(dataset['train'])"
        raise ArgumentTypeError(
            f"{source}: wanted the datasets.Dataset that TrainingDynamics.to_dataset gave, got "
            f"{type(dataset).__name__}{split if isinstance(dataset, DatasetDict) else ''}"
        )
    columns = _checked_columns(dataset.features.arrow_schema, source)
    _check_positions(_whole_numbers(dataset, ROW, source), source)
    if dataset.data.num_rows == len(dataset):
        # No row is repeated, so these are all rows of the table, whose own order takes no gathering: for a shuffled
        # dataset of a million rows and 10 epochs 4 seconds instead of 28.
        dataset = Dataset(dataset.data)
    rows = _whole_numbers(dataset, ROW, source)
    labels = np.empty(len(rows), dtype=np.int64)
    labels[rows] = _whole_numbers(dataset, LABEL, source)
    if (labels < UNSEEN).any():
        row = int(np.argmax(labels < UNSEEN))
        raise ArgumentError(
            f"{source}: column {LABEL!r}: wanted classes from 0, and {UNSEEN} where a row was never seen; "
            f"row {row} has {labels[row]}"
        )
    signals, features = {}, {}
    for name, length in columns.items():
        if name in SIGNALS:
            signals[name] = np.empty((length, len(rows)), dtype=np.float32)
            signals[name][:, rows] = _floats(dataset, name, source).T
        else:
            features[name.removeprefix(FEATURES)] = array = np.empty((len(rows), length), dtype=np.float32)
            array[rows] = _floats(dataset, name, source)
    return Contents(signals, labels, features, _task(dataset, source))


def write_parquet(dataset: Dataset, path: str | os.PathLike[str]) -> None:
    with whole_file(path, suggested="dynamics.parquet") as complete:
        dataset.to_parquet(complete)


def read_parquet(path: str | os.PathLike[str]) -> Contents:
    """What `write_parquet` wrote of a dataset of ours; columns that are not ours are not read.

    Raises:
        ArgumentError: no such file, or one that is damaged or another program's.
    """
    shown = f"`path`: {os.fspath(path)!r}"
    if not Path(path).is_file():
        raise ArgumentError(f"{shown} is no file; wanted one that TrainingDynamics.to_parquet wrote")
    try:
        with pq.ParquetFile(path) as file:
            # Columns of another program may be huge, so they are not read before they are known to be ours.
            columns = _checked_columns(file.schema_arrow, shown)
            task = [TASK] if TASK in file.schema_arrow.names else []
            table = file.read(columns=[ROW, LABEL, *task, *columns])
    except ArgumentError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArgumentError(f"{shown} is damaged or no Parquet file ({error})") from error
    # The metadata may be anyone's; the columns say everything.
    return from_dataset(Dataset(table.replace_schema_metadata(None)), source=shown)


def _task(dataset: Dataset, source: str) -> str:
    if TASK not in dataset.column_names:
        return SINGLE_LABEL
    tasks = stored_column(dataset, TASK).unique().to_pylist()
    if len(tasks) != 1 or not isinstance(tasks[0], str):
        raise ArgumentError(f"{source}: column {TASK!r}: wanted one task for all rows, got {tasks[:5]}")
    return tasks[0]


def _lists(values: NDArray[np.float32]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _checked_columns(schema: pa.Schema, source: str) -> dict[str, int]:
    """Length of the lists by column, signals first; columns that are none of ours are left out."""
    signals = [name for name in SIGNALS if name in schema.names]
    features = [name for name in schema.names if name.startswith(FEATURES)]
    for name in (ROW, LABEL, *(signals or SIGNALS), *features):
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
    for name in (*signals, *features):
        kind = schema.field(name).type
        if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
            raise ArgumentError(f"{source}: column {name!r}: wanted float32 lists of one fixed length, got {kind}")
        lengths[name] = kind.list_size
        if name in signals and lengths[name] != lengths[signals[0]]:
            raise ArgumentError(
                f"{source}: column {name!r}: wanted {lengths[signals[0]]} epochs as in {signals[0]!r}, got "
                f"{lengths[name]}"
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
    shown = [f"{len(which):,} {what}, the first is {which[0]}" for what, which in wrong.items() if len(which)]
    if shown:
        raise ArgumentError(
            f"{source}: column {ROW!r}: wanted each position from 0 to {n - 1} once for {n} rows, in any order; "
            f"{'; '.join(shown)}"
        )


def _whole_numbers(dataset: Dataset, column: str, source: str) -> NDArray[np.int64]:
    array = stored_column(dataset, column)
    _refuse_nulls(array, column, source)
    values: NDArray[np.int64] = array.to_numpy()
    return values


def _floats(dataset: Dataset, column: str, source: str) -> NDArray[np.float32]:
    """(n, length of a list)"""
    array = stored_column(dataset, column)
    _refuse_nulls(array, column, source)
    numbers = array.flatten()
    _refuse_nulls(numbers, column, source)
    values: NDArray[np.float32] = numbers.to_numpy().reshape(-1, array.type.list_size)
    return values


def _refuse_nulls(array: pa.Array, column: str, source: str) -> None:
    if array.null_count:
        raise ArgumentError(f"{source}: column {column!r} holds {array.null_count} nulls; unseen is NaN, not null")
