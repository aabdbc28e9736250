"""A Selection as the header and the table of a record, and back; nothing that is read is believed unchecked."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, get_type_hints

import numpy as np
import pyarrow as pa
from huggingface_hub.dataclasses import type_validator

from hf_prune.errors import ArgumentError
from hf_prune.groups import Groups
from hf_prune.selection.evidence import from_columns, kinds_of, to_columns
from hf_prune.selection.explain import method_of
from hf_prune.selection.selected import Selected
from hf_prune.selection.source import Source, ids_of
from hf_prune.selection.step import Step

T = TypeVar("T")

FORMAT = "hf_prune.selection/2"


@dataclass(frozen=True)
class Header:
    """What stands in selection.json; a value of another type is refused when it is read."""

    format: str
    hf_prune: str
    rows: int
    kept: int
    at_least: int
    steps: list[dict[str, Any]]
    origin: dict[str, Any]
    digests: dict[str, str]
    evidence: dict[str, str]
    group_values: list[Any] | None = None
    group_names: list[str] | None = None
    id_column: str | None = None
    pruned: dict[str, str] | None = None


def to_record(
    selection: Selected, *, compact: bool = False, explain: bool = True, id_column: str | None = None
) -> tuple[dict[str, Any], pa.Table]:
    """JSON values, and one row for each of the source's.

    Args:
        compact: scores and other amounts in 32 bits or less, for the Hub.
        explain: also what the method learnt of every row.
        id_column: a column of the source whose values name its rows, in place of their positions; by default the ids
            that the selection was read with, if any.
    """
    groups, source, n, method = selection.groups, selection.source, selection.n, method_of(selection)
    ids = source.ids if id_column is None else _ids(source, id_column)
    evidence = selection.evidence if explain else {}
    if compact and method is not None:
        derivable = {name for part in method.walk() for name in getattr(part, "derivable", ())}
        evidence = {name: values for name, values in evidence.items() if name not in derivable}
    header = Header(
        format=FORMAT,
        hf_prune=importlib.metadata.version("hf_prune"),
        rows=n,
        kept=len(selection),
        at_least=selection.at_least,
        steps=[asdict(step) for step in selection.steps],
        origin=source.origin,
        digests=source.digests,
        evidence=kinds_of(evidence),
        group_values=None if groups is None else list(groups.values),
        group_names=None if groups is None else list(groups.names),
        id_column=None if ids is None else ids[0],
        pruned=selection.pruned,
    )
    small = np.int32 if compact and n < 2**31 else np.int64
    columns: dict[str, Any] = {"row": np.arange(n, dtype=small)} if ids is None else {"id": ids[1]}
    columns |= {"kept": selection.kept}
    columns |= {"score": selection.scores.astype(np.float32) if compact else selection.scores}
    if selection.rank is not None:
        rank = np.zeros(n, dtype=small)
        rank[selection.indices] = selection.rank
        columns["rank"] = pa.array(rank, mask=~selection.kept)
    if groups is not None:
        columns["group"] = groups.codes.astype(small)
    columns["reason"] = reasons(selection)
    if selection.picked is not None and not compact:
        columns["picked"] = selection.picked
    return asdict(header), pa.table(columns | to_columns(evidence, compact=compact))


def reasons(selection: Selected) -> pa.Array:
    """(n,) in a few words why each row was kept or dropped, for people who read the table."""
    kept = selection.kept
    own = {} if (method := method_of(selection)) is None else method.reasons(kept, selection.evidence)
    words = ["not picked", "kept", *own, "dropped by an earlier step"]
    codes = kept.astype(np.int8)
    for code, rows in enumerate(own.values(), start=2):
        codes[rows] = code
    codes[selection.dropped_before] = len(words) - 1
    return pa.DictionaryArray.from_arrays(codes, words)


def _ids(source: Source, column: str) -> tuple[str, pa.Array]:
    """The column's name and its values in the source, each another."""
    if source.dataset is None:
        raise ArgumentError(
            "`id_column`: the selection has no source at hand, as after load or pickle; name the column where the "
            "selection is made"
        )
    return column, ids_of(source.dataset, column)


def from_record(values: Mapping[str, Any], table: pa.Table) -> dict[str, Any]:
    """The fields of the Selection.

    Raises:
        ValueError, KeyError, TypeError: the record is damaged or contradicts itself.
    """
    header, n = _typed(Header, values), table.num_rows
    kept = _column(table, "kept", pa.types.is_boolean)
    indices = np.flatnonzero(kept).astype(np.int64)
    _require(n == header.rows, f"{n} rows in the table, {header.rows} in the header")
    _require(len(indices) == header.kept, f"{len(indices)} kept rows in the table, {header.kept} in the header")
    rank = picked = None
    if "rank" in table.column_names:
        rank = np.asarray(table.column("rank").drop_null(), dtype=np.int64)
        _require(np.array_equal(np.sort(rank), np.arange(len(indices))), "the ranks are no order of the kept rows")
    if "picked" in table.column_names:
        picked = _column(table, "picked", pa.types.is_integer).astype(np.int64)
        _require(n == 0 or -1 <= picked.min() <= picked.max() < n, "places in the picking order that can't be")
    steps = tuple(_typed(Step, step) for step in header.steps)
    _require(bool(steps), "no step")
    for step in steps:
        str(step)  # a method that can be described
        _require(step.n >= len(indices), f"a step that saw {step.n} rows")
    ids = None
    if header.id_column is not None:
        ids = header.id_column, table.column("id").combine_chunks()
    fields = {
        "indices": indices,
        "n": n,
        "scores": _column(table, "score", pa.types.is_floating).astype(np.float64),
        "steps": steps,
        "source": Source(n, header.origin, digests=header.digests, ids=ids),
        "rank": rank,
        "groups": _groups(header, table),
        "at_least": header.at_least,
        "evidence": from_columns(table, header.evidence),
        "picked": picked,
        "pruned": header.pruned,
    }
    _check_details(Selected(**fields))
    return fields


def _groups(header: Header, table: pa.Table) -> Groups | None:
    if header.group_values is None or header.group_names is None:
        return None
    _require(len(header.group_values) == len(header.group_names), "as many group names as values are wanted")
    codes = _column(table, "group", pa.types.is_integer).astype(np.int64)
    _require(len(codes) == 0 or -1 <= codes.min() <= codes.max() < len(header.group_names), "rows of unknown groups")
    # JSON has no tuples, which is what the values of combined columns are.
    values = tuple(tuple(value) if isinstance(value, list) else value for value in header.group_values)
    return Groups(codes, values, tuple(header.group_names))


def _check_details(selection: Selected) -> None:
    """Refuse details that a summary couldn't show."""
    details = selection.details
    for texts in ("notes", "warnings"):
        listed = details.get(texts, [])
        _require(isinstance(listed, list) and all(isinstance(text, str) for text in listed), f"{texts} are no texts")
    by_group = details.get("by_group", {})
    groups = 0 if selection.groups is None else len(selection.groups.names)
    _require(isinstance(by_group, dict), "what was measured of the groups is no table")
    for column, values in by_group.items():
        _require(isinstance(values, list) and len(values) == groups, f"{column!r} has no value for each group")
        pairs = column == "recall_interval"
        numbers = [number for value in values for number in (value if pairs and isinstance(value, list) else [value])]
        _require(len(numbers) == groups * (1 + pairs), f"{column!r} holds no pairs")
        _require(all(isinstance(number, int | float) for number in numbers), f"{column!r} holds no numbers")
    if (method := method_of(selection)) is not None:
        method.check_details(details)


def _column(table: pa.Table, name: str, is_kind: Any) -> Any:
    """The values of a column, which must be there, of this kind and without nulls."""
    column = table.column(name)
    _require(is_kind(column.type) and not column.null_count, f"{name!r} holds {column.type} or nulls")
    return np.asarray(column)


def _typed(cls: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass with these values, each of which must be of its type."""
    instance = cls(**values)
    for name, kind in get_type_hints(cls).items():
        type_validator(name, getattr(instance, name), kind)
    return instance


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
