"""Training dynamics as a safetensors file, a table or a Parquet file, and back; nothing read is believed unchecked.

A file of tensors and a table hold the same: the labels, each signal under its name, features as `features.MOMENT`, and
digests of the rows as `digest.COLUMN`. Both kinds of file hold a digest of each array in their metadata.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from hf_prune.arguments import did_you_mean
from hf_prune.digest import array_digest
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.dynamics.row_digests import RowDigests
from hf_prune.dynamics.rows import UNLABELLED, UNSEEN
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.files import whole_file
from hf_prune.hub.parquet import read_columns, write_table
from hf_prune.labels import stored_column

FORMAT = "hf_prune.dynamics/3"
DIGESTS = "hf_prune.digests"
"""What the digests of the arrays are called in the metadata of a file."""

ROW_GROUP_BYTES = 2**27
MOST_HEADER = 2**22
"""Bytes of what a file of tensors says of them, beyond which it is taken for made up."""

LABELS, ROW, LABEL, TASK = "labels", "row", "label", "task"
FEATURES, DIGEST = "features.", "digest."
SINGLE_LABEL = "single-label"
"""The task of a table without a column for it."""


Arrays = Mapping[str, NDArray[np.float32]]


class Contents(NamedTuple):
    """The arguments of TrainingDynamics, in their order."""

    signals: Arrays
    labels: NDArray[np.int64]
    features: Arrays
    task: str
    digests: RowDigests


def write_file(path: str | os.PathLike[str], run: Contents) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors = _arrays(run)
    with whole_file(path, suggested="dynamics.safetensors") as complete:
        contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        try:
            save_file(contiguous, complete, metadata={"format": FORMAT, "task": run.task, DIGESTS: digests_of(run)})
        except SafetensorError as error:  # of a full disk, say
            raise ArgumentError(f"`path`: can't write {os.fspath(path)!r} ({error}); name another place") from error


def read_file(path: str | os.PathLike[str]) -> Contents:
    """What `write_file` wrote, with the signals that the file holds and this version knows."""
    from safetensors import safe_open

    shown = f"`dynamics`: {os.fspath(path)!r}"
    if not os.path.isfile(path):
        raise ArgumentError(f"`dynamics`: no file at {os.fspath(path)!r}; wanted one that TrainingDynamics.save wrote")
    try:
        _check_header_size(Path(path))
        with safe_open(path, framework="numpy") as file:
            metadata, names = file.metadata() or {}, file.keys()
            # Another program's tensors may be huge, or of a type that numpy lacks.
            if metadata.get("format") != FORMAT or LABELS not in names or not set(SIGNALS) & set(names):
                raise ArgumentError(f"{shown} was not written by TrainingDynamics.save")
            signals = {name: file.get_tensor(name) for name in SIGNALS if name in names}
            features, digests = (
                {name.removeprefix(prefix): file.get_tensor(name) for name in names if name.startswith(prefix)}
                for prefix in (FEATURES, DIGEST)
            )
            run = Contents(signals, file.get_tensor(LABELS), features, metadata.get("task", SINGLE_LABEL), digests)
    except ArgumentError:
        raise
    except Exception as error:  # a hostile file may make any of a library
        raise ArgumentError(f"{shown} is damaged or no safetensors file ({error})") from error
    _check_types(run, shown)
    _check_digests(run, metadata.get(DIGESTS), shown)
    return run


def _check_header_size(path: Path) -> None:
    """Refuse a header that safetensors would take some times its bytes for, of up to 100 MB."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MOST_HEADER:
        raise ValueError(f"a header of {size:,} bytes, wanted {MOST_HEADER:,} at most")


def write_parquet(path: str | os.PathLike[str], run: Contents) -> None:
    """`to_dataset` as a Parquet file, which datasets reads like those that it writes."""
    dataset = to_dataset(run)
    schema = dataset.features.arrow_schema
    table = dataset.data.table.cast(schema.with_metadata({**(schema.metadata or {}), DIGESTS: digests_of(run)}))
    rows = max(1, ROW_GROUP_BYTES * len(dataset) // max(1, table.nbytes))
    with whole_file(path, suggested="dynamics.parquet") as complete:
        write_table(table, complete, row_group_size=rows)


def to_dataset(run: Contents) -> Dataset:
    """A table with `row`, `label`, `task` (unless it is "single-label"), signals, features and digests, a copy."""
    columns: dict[str, Any] = {ROW: np.arange(len(run.labels)), LABEL: run.labels.astype(np.int64)}
    if run.task != SINGLE_LABEL:
        columns[TASK] = pa.array([run.task] * len(run.labels), pa.string())
    lists = {name: values.T for name, values in run.signals.items()} | _prefixed(FEATURES, run.features)
    for name, values in lists.items():
        if not values.shape[1]:
            raise ArgumentError(f"`dynamics`: there is nothing of {name!r} to write, its shape is {values.shape}")
        # Arrow would share the memory of an array that a recorder may still be filling.
        numbers = pa.array(np.array(values, dtype=np.float32, order="C").reshape(-1))
        columns[name] = pa.FixedSizeListArray.from_arrays(numbers, values.shape[1])
    return Dataset(
        pa.table(columns | {name: values.copy() for name, values in _prefixed(DIGEST, run.digests).items()})
    )


def from_dataset(dataset: Any, *, source: str = "`dataset`") -> Contents:
    """What `to_dataset` wrote, rows in the order of their positions; messages call the dataset `source`."""
    if not isinstance(dataset, Dataset):
        split = ", of which one split is wanted, as in from_dataset(dataset['train'])"
        raise ArgumentTypeError(
            f"{source}: wanted the datasets.Dataset that TrainingDynamics.to_dataset gave, got "
            f"{type(dataset).__name__}{split if isinstance(dataset, DatasetDict) else ''}"
        )
    columns = _checked_columns(dataset.features.arrow_schema, source)
    _check_positions(_values(dataset, ROW, source), source)
    if dataset.data.num_rows == len(dataset):
        # No row is repeated, so these are all rows of the table, whose own order takes no gathering: for a shuffled
        # dataset of a million rows and 10 epochs 4 seconds instead of 28.
        dataset = Dataset(dataset.data)
    rows = _values(dataset, ROW, source)
    labels = _in_rows(rows, _values(dataset, LABEL, source))
    _check_labels(labels, source)
    signals, features, digests = {}, {}, {}
    for name in columns:
        values = _values(dataset, name, source)
        if name in SIGNALS:
            signals[name] = np.empty(values.T.shape, np.float32)
            signals[name][:, rows] = values.T
        elif name.startswith(FEATURES):
            features[name.removeprefix(FEATURES)] = _in_rows(rows, values)
        else:
            digests[name.removeprefix(DIGEST)] = _in_rows(rows, values)
    task = _only_task(stored_column(dataset, TASK), source) if TASK in dataset.column_names else SINGLE_LABEL
    return Contents(signals, labels, features, task, digests)


def read_parquet(path: str | os.PathLike[str]) -> Contents:
    """What is in a Parquet file of a table of ours; columns that are not ours are not read."""
    shown = f"`path`: {os.fspath(path)!r}"
    if not os.path.isfile(path):
        raise ArgumentError(f"{shown} is no file; wanted one that TrainingDynamics.to_parquet wrote")

    def ours(schema: pa.Schema, rows: int) -> list[str]:
        return [ROW, LABEL, *({TASK} & set(schema.names)), *_checked_columns(schema, shown)]

    try:
        table, metadata = read_columns(Path(path), ours, texts=[TASK])
        task = SINGLE_LABEL
        if TASK in table.column_names:
            task = _only_task(table.column(TASK), shown)
            table = table.drop_columns(TASK)
        # The rest of the metadata may be anyone's; the columns say everything.
        run = from_dataset(Dataset(table.replace_schema_metadata(None)), source=shown)._replace(task=task)
    except ArgumentError:
        raise
    except Exception as error:  # a hostile file may make any of a library
        raise ArgumentError(f"{shown} is damaged or no Parquet file ({error})") from error
    _check_digests(run, metadata.get(DIGESTS.encode()), shown)
    return run


def digests_of(run: Contents) -> str:
    """The digest of each array and of the task, as a JSON text."""
    digests = {name: array_digest(array) for name, array in _arrays(run).items()}
    return json.dumps(digests | {TASK: hashlib.blake2b(run.task.encode(), digest_size=16).hexdigest()})


def _arrays(run: Contents) -> dict[str, NDArray[Any]]:
    """All arrays of a run by their names in a file, in the types that are written."""
    amounts = {**run.signals, **_prefixed(FEATURES, run.features)}
    arrays: dict[str, NDArray[Any]] = {name: np.asarray(values, np.float32) for name, values in amounts.items()}
    return {**arrays, LABELS: np.asarray(run.labels, np.int64), **_prefixed(DIGEST, run.digests)}


def _check_digests(run: Contents, recorded: str | bytes | None, source: str) -> None:
    """Refuse arrays that aren't those that were written; a signal that nobody here knows is of no matter."""
    try:
        written = json.loads(recorded or "{}")
        known = [name for name in written if name in (*SIGNALS, LABELS, TASK) or name.startswith((FEATURES, DIGEST))]
        same = {name: written[name] for name in known} == json.loads(digests_of(run))
    except (ValueError, TypeError, AttributeError, RecursionError):
        same = False
    if not same:
        raise ArgumentError(f"{source} is damaged: its values aren't those that were written")


def _check_types(run: Contents, source: str) -> None:
    """Refuse arrays of other types than those that are written, and labels that are none."""
    amounts = {**run.signals, **_prefixed(FEATURES, run.features)}
    whole = {LABELS: run.labels, **_prefixed(DIGEST, run.digests)}
    for name, array in {**amounts, **whole}.items():
        wanted = np.dtype(np.float32 if name in amounts else np.int64 if name == LABELS else np.uint64)
        if array.dtype != wanted or (name == LABELS and array.ndim != 1):
            raise ArgumentError(f"{source}: {name!r}: wanted {wanted}, got {array.dtype} of shape {array.shape}")
    _check_labels(run.labels, source)


def _check_labels(labels: NDArray[np.int64], source: str) -> None:
    if (wrong := (labels < UNSEEN) & (labels != UNLABELLED)).any():
        row = int(np.argmax(wrong))
        raise ArgumentError(
            f"{source}: column {LABEL!r}: wanted classes from 0, and {UNSEEN} where a row was never seen; "
            f"row {row} has {labels[row]}"
        )


def _prefixed(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {prefix + name: array for name, array in arrays.items()}


def _only_task(tasks: Any, source: str) -> str:
    """The value that stands in all rows."""
    found = tasks.unique().to_pylist()
    if len(found) != 1 or not isinstance(found[0], str):
        raise ArgumentError(f"{source}: column {TASK!r}: wanted one task for all rows, got {found[:5]}")
    return found[0]


def _checked_columns(schema: pa.Schema, source: str) -> list[str]:
    """The columns of signals, features and digests; those that are none of ours are left out."""
    signals = [name for name in SIGNALS if name in schema.names] or [*SIGNALS]
    columns = [*signals, *(name for name in schema.names if name.startswith((FEATURES, DIGEST)))]
    for name in (ROW, LABEL, *columns):
        if (count := schema.names.count(name)) != 1:
            what = f"{count} columns" if count else "no column"
            hint = "" if count else did_you_mean(name, schema.names)
            raise ArgumentError(
                f"{source}: {what} {name!r}; wanted a table that TrainingDynamics.to_dataset or to_parquet made."
                f"{hint} Columns: {schema.names}"
            )
        kind, wanted = schema.field(name).type, ""
        if name in (ROW, LABEL):
            wanted = "" if kind == pa.int64() else "int64"
        elif name.startswith(DIGEST):
            wanted = "" if kind == pa.uint64() else "uint64"
        elif not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
            wanted = "float32 lists of one fixed length"
        elif name in signals and kind.list_size != (epochs := schema.field(signals[0]).type.list_size):
            wanted, kind = f"{epochs} epochs as in {signals[0]!r}", kind.list_size
        if wanted:
            raise ArgumentError(f"{source}: column {name!r}: wanted {wanted}, got {kind}")
    return columns


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


def _in_rows(rows: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """A copy in which `values[i]` stands in row `rows[i]`."""
    placed = np.empty_like(values)
    placed[rows] = values
    return placed


def _values(dataset: Dataset, column: str, source: str) -> NDArray[Any]:
    """(n,) numbers of a column, or (n, length) of one with lists."""
    array = stored_column(dataset, column)
    lists = pa.types.is_fixed_size_list(array.type)
    numbers = array.flatten() if lists else array
    if nulls := array.null_count or numbers.null_count:
        raise ArgumentError(f"{source}: column {column!r} holds {nulls} nulls; unseen is NaN, not null")
    values: NDArray[Any] = numbers.to_numpy()
    return values.reshape(len(array), array.type.list_size) if lists else values
