"""Selections on disk: selection.json for what was done, selection.parquet for the rows."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_prune.errors import ArgumentError
from hf_prune.groups import Groups
from hf_prune.selection import Selection, Source, Step

FORMAT = "hf_prune.selection/1"
JSON, PARQUET = "selection.json", "selection.parquet"


def write_selection(selection: Selection, path: str | os.PathLike[str]) -> None:
    """Write `selection` to the folder `path`; what was there is replaced only once the new one is complete."""
    target = Path(path)
    if target.exists() and not _is_ours(target):
        raise ArgumentError(f"`path`: {str(target)!r} exists and is no saved selection; name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".hf_prune-") as folder:
        complete, old = Path(folder) / "new", Path(folder) / "old"
        complete.mkdir()
        (complete / JSON).write_text(json.dumps(_header(selection), indent=2), encoding="utf-8")
        pq.write_table(_table(selection), complete / PARQUET)
        if target.exists():
            target.rename(old)
        complete.rename(target)


def read_selection(path: str | os.PathLike[str]) -> Selection:
    """Read and check what `write_selection` wrote."""
    folder = Path(path)
    if not (folder / JSON).is_file():
        raise ArgumentError(f"`path`: no {JSON} in {str(folder)!r}; wanted a folder that Selection.save wrote")
    try:
        header = json.loads((folder / JSON).read_text(encoding="utf-8"))
        table = pq.read_table(folder / PARQUET)
        return _from_record(header, table)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise ArgumentError(f"`path`: the selection in {str(folder)!r} is damaged: {error}") from error


def _header(selection: Selection) -> dict[str, Any]:
    source = selection.source
    groups = selection.groups
    return {
        "format": FORMAT,
        "rows": selection.n,
        "kept": len(selection),
        "at_least": selection.at_least,
        "groups": None if groups is None else {"values": groups.values, "names": groups.names},
        "steps": [dataclasses.asdict(step) for step in selection.steps],
        "source": None if source is None else {"origin": source.origin, "digests": source.digests},
    }


def _table(selection: Selection) -> pa.Table:
    kept = np.zeros(selection.n, dtype=bool)
    kept[selection.indices] = True
    columns: dict[str, Any] = {"kept": kept, "score": selection.scores}
    if selection.rank is not None:
        rank = np.zeros(selection.n, dtype=np.int64)
        rank[selection.indices] = selection.rank
        columns["rank"] = pa.array(rank, mask=~kept)
    if selection.groups is not None:
        columns["group"] = selection.groups.codes
    return pa.table(columns)


def _from_record(header: dict[str, Any], table: pa.Table) -> Selection:
    _require(header["format"] == FORMAT, f"format {header['format']!r}, this version reads {FORMAT!r}")
    columns = {name: table.column(name).to_numpy() for name in table.column_names if name != "rank"}
    indices = np.flatnonzero(columns["kept"]).astype(np.int64)
    _require(table.num_rows == header["rows"], f"{table.num_rows} rows in {PARQUET}, {header['rows']} in {JSON}")
    _require(len(indices) == header["kept"], f"{len(indices)} kept rows in {PARQUET}, {header['kept']} in {JSON}")
    rank = None
    if "rank" in table.column_names:
        rank = np.asarray(table.column("rank").drop_null(), dtype=np.int64)
        _require(np.array_equal(np.sort(rank), np.arange(len(indices))), "the ranks are no order of the kept rows")
    groups = None
    if header["groups"] is not None:
        values, names = tuple(header["groups"]["values"]), tuple(header["groups"]["names"])
        codes = columns["group"].astype(np.int64)
        _require(len(values) == len(names) and codes.min() >= -1 and codes.max() < len(names), "unknown groups")
        groups = Groups(codes, values, names)
    source = header["source"]
    steps = tuple(Step(**step) for step in header["steps"])
    return Selection(
        indices=indices,
        n=table.num_rows,
        scores=columns["score"].astype(np.float64),
        rank=rank,
        groups=groups,
        at_least=int(header["at_least"]),
        details=steps[-1].details if steps else {},
        steps=steps,
        source=None if source is None else Source(table.num_rows, source["origin"], digests=source["digests"]),
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _is_ours(folder: Path) -> bool:
    if folder.is_dir() and not any(folder.iterdir()):
        return True
    try:
        header = json.loads((folder / JSON).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    ours = isinstance(header, dict) and header.get("format") == FORMAT
    return ours and {entry.name for entry in folder.iterdir()} <= {JSON, PARQUET}
