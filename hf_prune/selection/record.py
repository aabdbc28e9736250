"""A Selection as two files, and back: what was done as JSON, the rows as Parquet.

Both are written or neither is, and nothing that is read is believed unchecked.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
from huggingface_hub.dataclasses import type_validator

from hf_prune.errors import ArgumentError
from hf_prune.files import standing, whole_folder
from hf_prune.groups import Groups
from hf_prune.hub.parquet import read_columns, write_table
from hf_prune.selection.data import SelectionData
from hf_prune.selection.evidence import PREFIX, compacted, kinds_of, read_column, to_columns
from hf_prune.selection.header import FORMAT, Header, check_header, header_text, read_header
from hf_prune.selection.source import Source, checked_ids, ids_of
from hf_prune.selection.step import Step
from hf_prune.selection.table import reasons

S = TypeVar("S", bound=SelectionData)
T = TypeVar("T")

JSON, PARQUET = "selection.json", "selection.parquet"
MOST_ROWS = 2**33
"""A larger row count is taken for made up."""

COLUMNS = ("id", "kept", "score", "rank", "group", "class", "picked")
"""What is read of the table, beside the evidence."""


def write_record(path: str | os.PathLike[str], selection: SelectionData, **options: Any) -> None:
    """Make the folder `path`; a record that is there is replaced only once the new one is complete.

    Args:
        options: those of `to_record`.

    Raises:
        ArgumentError: something is at `path` that is no record.
    """
    with whole_folder(path, kind="saved selection", is_one=_is_record) as folder:
        header, table = to_record(selection, **options)
        for name in sorted(WRITERS, key=JSON.__eq__):  # last what holds the digests of the others
            WRITERS[name](folder / name, header, table)


def read_record(cls: type[S], path: str | os.PathLike[str]) -> S:
    """The Selection that `write_record` wrote.

    Raises:
        ArgumentError: no record at `path`, one of another format, or a damaged one.
    """
    before: Any = path
    while (now := _state(file := standing(path) / JSON)) != before:
        before, failed = now, None
        try:
            if now is not None and (header := read_header(file)):
                check_header(header, file.parent)
                selection = from_record(cls, header, _read_rows(file.parent, header))
                if _state(file) == now:  # else a writer may have replaced the folder between two of its files
                    return selection
        # What a hostile file makes of a method's options or of pyarrow is any error at all.
        except Exception as error:
            failed = error
    if failed is not None:
        raise ArgumentError(f"`path`: the selection in {str(file.parent)!r} is damaged: {failed}") from failed
    if now is None:
        raise ArgumentError(f"`path`: no {JSON} in {os.fspath(path)!r}; wanted a folder that Selection.save wrote")
    raise ArgumentError(f"`path`: {str(file)!r} is not of the format {FORMAT!r} that this version reads")


def _state(file: Path) -> tuple[int, int] | None:
    """What tells a file from another that takes its place; None where none is."""
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_mtime_ns


def _read_rows(folder: Path, header: Mapping[str, Any]) -> pa.Table:
    """The columns of a record that are ours, once it is seen that they take no more memory than they may."""
    wanted = {*COLUMNS, *(PREFIX + name for name in header["evidence"])}

    def ours(schema: pa.Schema, rows: int) -> list[str]:
        if rows != header.get("rows") or rows > MOST_ROWS:
            raise ValueError(f"{rows} rows in {PARQUET}, {header.get('rows')} in {JSON}, {MOST_ROWS} at most")
        return [name for name in schema.names if name in wanted]

    table, _ = read_columns(folder / PARQUET, ours, texts=["id"])
    if header["id_column"] is not None:
        ids = table.column("id").combine_chunks()
        if pa.types.is_dictionary(ids.type):
            _require(len(ids.dictionary) == table.num_rows, "the ids are not all different")
            table = table.set_column(table.column_names.index("id"), "id", ids.dictionary_decode())
    return table


def _write_header(path: Path, header: dict[str, Any], table: pa.Table) -> None:
    try:
        text = header_text(header, [file for file in path.parent.iterdir() if file != path])
    except ValueError as error:
        raise ArgumentError(f"`path`: this selection can't be saved: {error}") from error
    path.write_text(text, encoding="utf-8")


def _write_rows(path: Path, header: dict[str, Any], table: pa.Table) -> None:
    """Parquet in the encoding that is smallest: for few values, for rows that are counted, for numbers of any kind."""
    kinds = {field.name: field.type for field in table.schema}
    few = [name for name, kind in kinds.items() if pa.types.is_dictionary(kind) or name in ("group", "class")]
    encoding = {
        name: "DELTA_BINARY_PACKED" if name == "row" else "BYTE_STREAM_SPLIT"
        for name, kind in kinds.items()
        if name not in few and (pa.types.is_integer(kind) or pa.types.is_floating(kind))
    }
    write_table(table, path, compression="zstd", compression_level=9, use_dictionary=few, column_encoding=encoding)


WRITERS: dict[str, Callable[[Path, dict[str, Any], pa.Table], None]] = {JSON: _write_header, PARQUET: _write_rows}
"""The files of a record, each with what writes it from the header and the table."""


def _is_record(folder: Path) -> bool:
    """Whether a folder has a record and nothing else."""
    names = {entry.name for entry in folder.iterdir()}
    try:
        return names <= set(WRITERS) and read_header(folder / JSON) is not None
    except (OSError, ValueError, RecursionError):
        return False


def to_record(
    selection: SelectionData, *, compact: bool = False, explain: bool = True, id_column: str | None = None
) -> tuple[dict[str, Any], pa.Table]:
    """JSON values, and one row for each of the source's.

    Args:
        compact: scores and other amounts in 32 bits or less, for the Hub.
        explain: also what the method learnt of every row, and after `at` the order that it picked in.
        id_column: a column of the source whose values name its rows, in place of their positions; by default the ids
            that the selection was read with, if any.
    """
    groups, classes, source = selection.groups, selection.classes, selection.source
    n, kept = selection.n, selection.kept
    method, ids = selection.steps[-1].build(), source.ids
    if id_column is not None:
        if source.dataset is None:
            raise ArgumentError(
                "`id_column`: the selection has no source at hand, as after load or pickle; name the column where the "
                "selection is made"
            )
        ids = id_column, ids_of(source.dataset, id_column)
    learnt = selection.evidence.items()  # of which marks take a bit a row, and say which rows are suspect
    evidence = {name: values for name, values in learnt if explain or values.dtype == np.bool_}
    if compact:
        parts = () if method is None else method.walk()
        evidence = compacted(evidence, {name for part in parts for name in getattr(part, "derivable", ())})
    class_column = next(reversed(selection.groupings), None) if classes is not None else None
    header = Header(
        format=FORMAT,
        rows=n,
        kept=len(selection),
        at_least=selection.at_least,
        steps=[asdict(step) for step in selection.steps],
        origin=source.origin,
        digests=source.digests,
        evidence=kinds_of(evidence),
        group_values=None if groups is None else list(groups.values),
        group_names=None if groups is None else list(groups.names),
        class_values=list(classes.values) if classes is not None and class_column == "class" else None,
        class_names=list(classes.names) if classes is not None and class_column == "class" else None,
        class_column=class_column,
        id_column=None if ids is None else ids[0],
        pruned_digests=selection.pruned_digests,
    )
    small = np.int32 if compact and n < 2**31 else np.int64
    columns: dict[str, Any] = {"row": np.arange(n, dtype=small)} if ids is None else {"id": ids[1]}
    columns |= {"kept": kept, "score": selection.scores.astype(np.float32 if compact else np.float64)}
    if selection.rank is not None:
        rank = np.zeros(n, dtype=small)
        rank[selection.indices] = selection.rank
        columns["rank"] = pa.array(rank, mask=~kept)
    if groups is not None:
        columns["group"] = groups.codes.astype(small)
    if classes is not None and class_column == "class":
        columns["class"] = classes.codes.astype(small)
    columns["reason"] = reasons(selection)
    if selection.picked is not None and explain:
        columns["picked"] = selection.picked.astype(small)
    return asdict(header), pa.table(columns | to_columns(evidence))


def from_record(cls: type[S], values: Mapping[str, Any], table: pa.Table) -> S:
    """The Selection that was written.

    Raises:
        ValueError, KeyError, TypeError: the record is damaged or contradicts itself.
    """
    header, n = _typed(Header, values), table.num_rows
    indices = np.flatnonzero(read_column(table, "kept", "mark"))
    _require(n == header.rows, f"{n} rows in the table, {header.rows} in the header")
    _require(len(indices) == header.kept, f"{len(indices)} kept rows in the table, {header.kept} in the header")
    rank = picked = ids = None
    if "rank" in table.column_names:
        of_kept = table.select(["rank"]).filter(table.column("kept"))
        rank = read_column(of_kept, "rank", "position", len(indices), "holds ranks of no kept row")
        _require(np.array_equal(np.sort(rank), np.arange(len(indices))), "the ranks are no order of the kept rows")
    if "picked" in table.column_names:
        picked = read_column(table, "picked", "position", n, "has places in the picking order that can't be")
    if header.id_column is not None:
        ids = header.id_column, checked_ids(header.id_column, table.column("id").combine_chunks())
    steps = tuple(_typed(Step, step) for step in header.steps)
    _require(bool(steps), "no step")
    for step in steps:
        str(step)  # a method that can be described
        _require(step.n >= len(indices), f"a step that saw {step.n} rows")
    groups = _groups(header.group_values, header.group_names, table, "group")
    classes = _groups(header.class_values, header.class_names, table, "class")
    selection = cls(
        indices=indices,
        n=n,
        scores=read_column(table, "score", "amount"),
        steps=steps,
        source=Source(n, header.origin, recorded=header.digests, ids=ids),
        rank=rank,
        groups=groups,
        classes=groups if header.class_column == "group" else classes,
        at_least=header.at_least,
        evidence={name: read_column(table, PREFIX + name, kind, n) for name, kind in header.evidence.items()},
        picked=picked,
        pruned_digests=header.pruned_digests,
    )
    _check_details(selection)
    return selection


def _groups(values: list[Any] | None, names: list[str] | None, table: pa.Table, column: str) -> Groups | None:
    if values is None or names is None:
        return None
    _require(len(values) == len(names), "as many group names as values are wanted")
    codes = read_column(table, column, "position", len(names), "has rows of unknown groups")
    # JSON has no tuples, which is what the values of combined columns are.
    return Groups(codes, tuple(tuple(value) if isinstance(value, list) else value for value in values), tuple(names))


def _check_details(selection: SelectionData) -> None:
    """Refuse details that a summary couldn't show."""
    details, groups = selection.details, () if selection.groups is None else selection.groups.names
    for texts in ("notes", "warnings"):
        _check_type(texts, details.get(texts, []), list[str])
    _check_type("by_group", by_group := details.get("by_group", {}), dict[str, list[Any]])
    for column, values in by_group.items():
        intervals = column == "recall_interval"
        _check_type(column, values, list[list[float | int]] if intervals else list[float | int])
        _require(len(values) == len(groups), f"{column!r} has no value for each group")
        _require(not intervals or all(len(interval) == 2 for interval in values), f"{column!r} holds no pairs")
    if (method := selection.steps[-1].build()) is not None:
        method.summarise(details)


def _typed(cls: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass with these values, each of which must be of its type; `strict` would not check a frozen one."""
    instance = cls(**values)
    for name, kind in get_type_hints(cls).items():
        _check_type(name, getattr(instance, name), kind)
    return instance


def _check_type(name: str, value: Any, kind: Any) -> None:
    type_validator(name, value, _spelled_out(kind))


def _spelled_out(kind: Any) -> Any:
    """The type with `A | B` as Union[A, B] wherever it stands: huggingface_hub knows no other unions before 1.0."""
    parts = tuple(map(_spelled_out, get_args(kind)))
    if not parts:
        return kind
    return Union[parts] if isinstance(kind, UnionType) else get_origin(kind)[parts]  # noqa: UP007


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
