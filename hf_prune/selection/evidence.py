"""What a method found of every row, by name: row-aligned arrays that a Selection carries so that it can explain."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

POSITIONS = frozenset({"suppressed_by"})
"""The columns that hold positions of rows, -1 for none; the others hold amounts, marks or places."""

WHOLE = POSITIONS | {"picked"}
"""The columns that hold whole numbers."""

PREFIX = "evidence."
"""How the columns are called in selection.parquet, followed by their name."""

ROUNDED = "rounded."
"""The same for amounts that hold three digits; in memory they are the float32 ones."""

LEFT_OUT = frozenset({"message", "picked"})
"""Not in a compact record: what a row received is its density less its difficulty."""

Evidence = dict[str, NDArray[Any]]
_BLANK = {"f": np.nan, "i": -1, "b": False}


def put(whole: Evidence, part: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], n: int) -> None:
    """Write the evidence of a part into `whole`, which has `n` rows: NaN, -1 or False where no part has said any.

    Args:
        rows: (part,) the position in the whole of each of the part's rows; those that `part` names are mapped.
    """
    for name, values in part.items():
        if name not in whole:
            whole[name] = np.full(n, _BLANK[values.dtype.kind], dtype=values.dtype)
        if name in POSITIONS:
            values = np.where(values >= 0, rows[values], -1)
        whole[name][rows] = values


def to_columns(evidence: Mapping[str, NDArray[Any]], *, compact: bool = False) -> Evidence:
    """As saved: amounts in float32 where they fit, whole numbers in int32 where they fit.

    Args:
        compact: amounts with three digits, and not all.
    """
    columns = {}
    for name, values in evidence.items():
        if compact and name in LEFT_OUT:
            continue
        if compact and values.dtype.kind == "f":
            columns[ROUNDED + name] = rounded(values)
            continue
        largest = np.abs(values[np.isfinite(values)]).max(initial=0)
        if values.dtype.kind == "f" and largest <= np.finfo(np.float32).max:
            values = values.astype(np.float32)
        elif values.dtype.kind == "i" and largest <= np.iinfo(np.int32).max:
            values = values.astype(np.int32)
        columns[PREFIX + name] = values
    return columns


def from_columns(table: pa.Table) -> Evidence:
    """What `to_columns` wrote, in 64 bits but for rounded amounts.

    Raises:
        ValueError: a column of another type, with nulls, or with positions out of range.
    """
    evidence: Evidence = {}
    for column in table.column_names:
        if not column.startswith((PREFIX, ROUNDED)):
            continue
        name, kind = column.partition(".")[2], table.schema.field(column).type
        if table.column(column).null_count:
            raise ValueError(f"nulls in {column!r}")
        values = np.asarray(table.column(column))
        if pa.types.is_boolean(kind) and name not in WHOLE:
            evidence[name] = values
        elif pa.types.is_signed_integer(kind):
            evidence[name] = values.astype(np.int64)
        elif pa.types.is_floating(kind) and name not in WHOLE:
            evidence[name] = values.astype(np.float32 if column.startswith(ROUNDED) else np.float64)
        else:
            raise ValueError(f"{column!r} is of the type {kind}")
        if name in POSITIONS and len(values) and not (values.min() >= -1 and values.max() < table.num_rows):
            raise ValueError(f"{column!r} names rows that are not there")
    return evidence


def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    """float32 with 8 bits behind the point of the mantissa, three digits: half the bytes once they are compressed."""
    with np.errstate(over="ignore"):
        found: NDArray[np.float32] = values.astype(np.float32)
    bits = found.view(np.uint32)
    finite = np.isfinite(found)
    bits[finite] = (bits[finite] + np.uint32(1 << 14)) & np.uint32(0xFFFFFFFF << 15 & 0xFFFFFFFF)
    return found
