"""A Selection as the header and the table of a record, and back; nothing that is read is believed unchecked."""

import importlib.metadata
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hf_prune.errors import ArgumentError
from hf_prune.groups import Groups
from hf_prune.selection.evidence import from_columns, to_columns
from hf_prune.selection.source import Source, Step, ids_of

if TYPE_CHECKING:
    from hf_prune.selection.selection import Selection


def to_record(
    selection: "Selection", *, compact: bool = False, explain: bool = True, id_column: str | None = None
) -> tuple[dict[str, Any], pa.Table]:
    """JSON values, and one row for each of the source's.

    Args:
        compact: scores and other amounts in 32 bits or less, as on the Hub.
        explain: also what the method found of every row.
        id_column: a column of the source whose values name its rows, in place of their positions; by default the ids
            that the selection was read with, if any.
    """
    groups, source, n = selection.groups, selection.source, selection.n
    ids = _ids(source, id_column)
    header = {
        "hf_prune": importlib.metadata.version("hf_prune"),
        "rows": n,
        "kept": len(selection),
        "at_least": selection.at_least,
        "groups": None if groups is None else {"values": groups.values, "names": groups.names},
        "steps": [asdict(step) for step in selection.steps],
        "source": None if source is None else {"origin": source.origin, "digests": source.digests},
        "id_column": None if ids is None else ids[0],
        "pruned": selection.pruned,
    }
    kept = np.zeros(n, dtype=bool)
    kept[selection.indices] = True
    small = np.int32 if compact and n < 2**31 else np.int64
    columns: dict[str, Any] = {"row": np.arange(n, dtype=small)} if ids is None else {"id": ids[1]}
    columns |= {"kept": kept, "score": selection.scores.astype(np.float32) if compact else selection.scores}
    if selection.rank is not None:
        rank = np.zeros(n, dtype=small)
        rank[selection.indices] = selection.rank
        columns["rank"] = pa.array(rank, mask=~kept)
    if groups is not None:
        columns["group"] = groups.codes.astype(small)
    columns["reason"] = reasons(selection)
    return header, pa.table(columns | (to_columns(selection.evidence, compact=compact) if explain else {}))


def reasons(selection: "Selection") -> pa.Array:
    """(n,) in a few words why each row was kept or dropped, for people who read the table."""
    words = ["kept", "not picked", "suspect or unlearnable", "kept although suspect", "dropped by an earlier step"]
    found = np.ones(selection.n, dtype=np.int8)
    found[selection.indices] = 0
    kept = found == 0
    if "suspect" in selection.evidence:
        found[selection.evidence["suspect"].astype(bool)] = 2
        found[kept & (found == 2)] = 3
    if len(selection.steps) > 1 and not np.isnan(selection.scores[kept]).any():
        found[np.isnan(selection.scores) & ~kept] = 4
    return pa.DictionaryArray.from_arrays(found, words)


def _ids(source: Source | None, column: str | None) -> tuple[str, pa.Array] | None:
    """The column's name and its values in the source, each another; without a column those that were read."""
    if column is None:
        return None if source is None else source.ids
    if source is None or source.dataset is None:
        raise ArgumentError(
            "`id_column`: the selection has no source at hand, as after load or pickle; name the column where the "
            "selection is made"
        )
    return column, ids_of(source.dataset, column)


def from_record(header: dict[str, Any], table: pa.Table) -> dict[str, Any]:
    """The arguments of the Selection.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, ArithmeticError: the record is damaged or contradicts itself.
    """
    n = table.num_rows
    kept = np.asarray(table.column("kept"))
    indices = np.flatnonzero(kept).astype(np.int64)
    _require(n == header["rows"], f"{n} rows in the table, {header['rows']} in the header")
    _require(len(indices) == header["kept"], f"{len(indices)} kept rows in the table, {header['kept']} in the header")
    rank = groups = None
    if "rank" in table.column_names:
        rank = np.asarray(table.column("rank").drop_null(), dtype=np.int64)
        _require(np.array_equal(np.sort(rank), np.arange(len(indices))), "the ranks are no order of the kept rows")
    if header["groups"] is not None:
        column = table.column("group")
        _require(pa.types.is_integer(column.type) and not column.null_count, "groups are no whole numbers")
        codes = np.asarray(column, dtype=np.int64)
        groups = _groups(codes, **header["groups"])
        _require(n == 0 or (codes.min() >= -1 and codes.max() < len(groups.names)), "rows of unknown groups")
    steps = tuple(Step(**step) for step in header["steps"])
    for step in steps:
        str(step)  # a method that can be described
        _require(step.n >= len(indices), f"a step that saw {step.n} rows")
    if (source := header["source"]) is not None:
        named = header.get("id_column")
        _require(named is None or isinstance(named, str), "the id column's name is no text")
        ids = None if named is None else (named, table.column("id").combine_chunks())
        source = Source(n, source["origin"], digests=dict(source["digests"]), ids=ids)
        _require(all(isinstance(part, str) for pair in source.digests.items() for part in pair), "digests are text")
    if (pruned := header.get("pruned")) is not None:
        _require(all(isinstance(part, str) for pair in pruned.items() for part in pair), "digests are text")
    return {
        "indices": indices,
        "n": n,
        "scores": np.asarray(table.column("score"), dtype=np.float64),
        "rank": rank,
        "groups": groups,
        "at_least": int(header["at_least"]),
        "details": steps[-1].details if steps else {},
        "steps": steps,
        "source": source,
        "evidence": from_columns(table),
        "pruned": pruned,
    }


def _groups(codes: Any, values: list[Any], names: list[str]) -> Groups:
    _require(len(values) == len(names), "as many group names as values are wanted")
    _require(all(isinstance(name, str) for name in names), "group names must be text")
    # JSON has no tuples, which is what the values of combined columns are.
    return Groups(codes, tuple(tuple(value) if isinstance(value, list) else value for value in values), tuple(names))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
