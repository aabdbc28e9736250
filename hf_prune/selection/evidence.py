"""What a method learnt of every row, by name: row-aligned arrays that a Selection carries so that it can explain.

The type says what a column holds: floats are amounts (NaN for rows that the method didn't see), bools are marks, and
whole numbers are positions of other rows (-1 for none).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

PREFIX = "evidence."
"""How the columns are called in selection.parquet, followed by their name."""

ROUNDED = "rounded."
"""How columns of amounts that hold three digits are called; in memory these are the float32 ones."""

Evidence = dict[str, NDArray[Any]]
_BLANK = {"f": np.nan, "i": -1, "b": False}
_KINDS = {"f": "amount", "i": "position", "b": "mark"}
_IS_KIND = {"amount": pa.types.is_floating, "position": pa.types.is_signed_integer, "mark": pa.types.is_boolean}


def put(whole: Evidence, part: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], n: int) -> None:
    """Write the evidence of a part into `whole`, which has `n` rows: NaN, -1 or False where no part has said any.

    Args:
        rows: (part,) the position in the whole of each of the part's rows; positions in `part` are mapped to it.
    """
    for name, values in part.items():
        if name not in whole:
            whole[name] = np.full(n, _BLANK[values.dtype.kind], dtype=values.dtype)
        if values.dtype.kind == "i":
            values = np.where(values >= 0, rows[values], -1)
        whole[name][rows] = values


def to_columns(evidence: Mapping[str, NDArray[Any]], *, compact: bool) -> Evidence:
    """The columns of a record: amounts in float32 where they fit, positions in int32 where they fit.

    Args:
        compact: amounts with three digits.
    """
    columns = {}
    for name, values in evidence.items():
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


def from_columns(table: pa.Table, kinds: Mapping[str, str]) -> Evidence:
    """What `to_columns` wrote, in 64 bits but for rounded amounts.

    Args:
        kinds: by name what a column holds, as `kinds_of` said when it was written.

    Raises:
        KeyError: a column is missing. ValueError: it is of another type, has nulls, or names rows that are not there.
    """
    evidence: Evidence = {}
    for name, kind in kinds.items():
        short = ROUNDED + name in table.column_names
        column = table.column((ROUNDED if short else PREFIX) + name)
        if column.null_count or not _IS_KIND[kind](column.type):
            raise ValueError(f"{name!r} holds {column.type} or nulls, wanted {kind}s")
        values = np.asarray(column)
        if kind == "amount":
            values = values.astype(np.float32 if short else np.float64)
        elif kind == "position":
            values = values.astype(np.int64)
            if len(values) and not -1 <= values.min() <= values.max() < table.num_rows:
                raise ValueError(f"{name!r} names rows that are not there")
        evidence[name] = values
    return evidence


def kinds_of(evidence: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """What each column holds: "amount", "position" or "mark"."""
    return {name: _KINDS[values.dtype.kind] for name, values in evidence.items()}


def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    """float32 with 8 bits behind the point of the mantissa, three digits: half the bytes once they are compressed."""
    with np.errstate(over="ignore"):
        narrow: NDArray[np.float32] = values.astype(np.float32)
    bits = narrow.view(np.uint32)
    finite = np.isfinite(narrow)
    bits[finite] = (bits[finite] + np.uint32(1 << 14)) & np.uint32(0xFFFFFFFF << 15 & 0xFFFFFFFF)
    return narrow
