"""The two files of a saved selection: what was done as JSON, the rows as Parquet. Written whole or not at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_prune.errors import ArgumentError
from hf_prune.files import put_back, whole_folder
from hf_prune.selection.data import SelectionData
from hf_prune.selection.record import FORMAT, S, from_record, to_record

JSON, PARQUET = "selection.json", "selection.parquet"
MOST_ROWS = 2**33
"""A larger row count is taken for made up."""


def write_record(path: str | os.PathLike[str], selection: SelectionData, **options: Any) -> None:
    """Make the folder `path`; a record that is there is replaced only once the new one is complete.

    Args:
        options: those of `to_record`.

    Raises:
        ArgumentError: something is at `path` that is no record.
    """
    if os.path.lexists(path) and not _may_replace(Path(path)):
        raise ArgumentError(f"`path`: {os.fspath(path)!r} exists and is no saved selection; name a new folder")
    header, table = to_record(selection, **options)
    with whole_folder(path) as folder:
        for name, write in WRITERS.items():
            write(folder / name, header, table)


def read_record(cls: type[S], path: str | os.PathLike[str]) -> S:
    """The Selection that `write_record` wrote.

    Raises:
        ArgumentError: no record at `path`, one of another format, or a damaged one.
    """
    folder = Path(path)
    put_back(folder)
    if not (folder / JSON).is_file():
        raise ArgumentError(f"`path`: no {JSON} in {str(folder)!r}; wanted a folder that Selection.save wrote")
    try:
        if header := _header(folder):
            rows = pq.read_metadata(folder / PARQUET).num_rows
            if rows != header.get("rows") or rows > MOST_ROWS:  # before anything as long is reserved
                raise ValueError(f"{rows} rows in {PARQUET}, {header.get('rows')} in {JSON}, {MOST_ROWS} at most")
            return from_record(cls, header, pq.read_table(folder / PARQUET, partitioning=None))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException) as error:
        raise ArgumentError(f"`path`: the selection in {str(folder)!r} is damaged: {error}") from error
    raise ArgumentError(f"`path`: {str(folder / JSON)!r} is not of the format {FORMAT!r} that this version reads")


def _header(folder: Path) -> dict[str, Any] | None:
    """What selection.json holds; None if it is not of our format."""
    header = json.loads((folder / JSON).read_text(encoding="utf-8"))
    return header if isinstance(header, dict) and header.get("format") == FORMAT else None


def _write_header(path: Path, header: dict[str, Any], table: pa.Table) -> None:
    path.write_text(json.dumps(header, indent=2), encoding="utf-8")


def _write_rows(path: Path, header: dict[str, Any], table: pa.Table) -> None:
    """Parquet in the encoding that is smallest: for few values, for rows that are counted, for numbers of any kind."""
    kinds = {field.name: field.type for field in table.schema}
    few = [name for name, kind in kinds.items() if pa.types.is_dictionary(kind) or name == "group"]
    encoding = {
        name: "DELTA_BINARY_PACKED" if name == "row" else "BYTE_STREAM_SPLIT"
        for name, kind in kinds.items()
        if name not in few and (pa.types.is_integer(kind) or pa.types.is_floating(kind))
    }
    pq.write_table(table, path, compression="zstd", compression_level=9, use_dictionary=few, column_encoding=encoding)


WRITERS: dict[str, Callable[[Path, dict[str, Any], pa.Table], None]] = {JSON: _write_header, PARQUET: _write_rows}
"""The files of a record, each with what writes it from the header and the table."""


def _may_replace(folder: Path) -> bool:
    """Whether a folder is empty, or has a record and nothing else."""
    if not folder.is_dir():
        return False
    names = {entry.name for entry in folder.iterdir()}
    try:
        return not names or (names <= set(WRITERS) and _header(folder) is not None)
    except (OSError, ValueError, RecursionError):
        return False
