"""A Selection as the header and the table of a record, and back; nothing that is read is believed unchecked."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hf_prune.evidence import from_columns, to_columns
from hf_prune.groups import Groups
from hf_prune.provenance import Source, Step

if TYPE_CHECKING:
    from hf_prune.selection import Selection


def to_record(selection: "Selection") -> tuple[dict[str, Any], pa.Table]:
    """JSON values, and one row for each of the source's."""
    groups, source, n = selection.groups, selection.source, selection.n
    header = {
        "rows": n,
        "kept": len(selection),
        "at_least": selection.at_least,
        "groups": None if groups is None else {"values": groups.values, "names": groups.names},
        "steps": [asdict(step) for step in selection.steps],
        "source": None if source is None else {"origin": source.origin, "digests": source.digests},
    }
    kept = np.zeros(n, dtype=bool)
    kept[selection.indices] = True
    columns: dict[str, Any] = {"kept": kept, "score": selection.scores}
    if selection.rank is not None:
        rank = np.zeros(n, dtype=np.int64)
        rank[selection.indices] = selection.rank
        columns["rank"] = pa.array(rank, mask=~kept)
    if groups is not None:
        columns["group"] = groups.codes
    return header, pa.table(columns | to_columns(selection.evidence))


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
        codes = np.asarray(table.column("group"), dtype=np.int64)
        groups = _groups(codes, **header["groups"])
        _require(n == 0 or (codes.min() >= -1 and codes.max() < len(groups.names)), "rows of unknown groups")
    steps = tuple(Step(**step) for step in header["steps"])
    for step in steps:
        str(step)  # a method that can be described
        _require(step.n >= len(indices), f"a step that saw {step.n} rows")
    if (source := header["source"]) is not None:
        source = Source(n, source["origin"], digests=dict(source["digests"]))
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
    }


def _groups(codes: Any, values: list[Any], names: list[str]) -> Groups:
    _require(len(values) == len(names), "as many group names as values are wanted")
    _require(all(isinstance(name, str) for name in names), "group names must be text")
    # JSON has no tuples, which is what the values of combined columns are.
    return Groups(codes, tuple(tuple(value) if isinstance(value, list) else value for value in values), tuple(names))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
