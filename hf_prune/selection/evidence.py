"""What a method learnt of every row, by name: row-aligned arrays that a Selection carries so that it can explain.

The type says what a column holds: floats are amounts (NaN for rows that the method didn't see), float32 those of which
three digits are known, bools are marks, and whole numbers are positions of other rows (-1 for none).
"""

from collections.abc import Callable, Mapping, Set
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

PREFIX = "evidence."
"""How the columns are called in selection.parquet, followed by their name."""

Evidence = dict[str, NDArray[Any]]
_BLANK = {"f": np.nan, "i": -1, "b": False}
_KINDS = {"f": "amount", "i": "position", "b": "mark"}
_SMALL: dict[str, Any] = {"f": np.finfo(np.float32), "i": np.iinfo(np.int32)}
_READ: dict[str, tuple[Callable[[pa.DataType], bool], type]] = {
    "amount": (pa.types.is_floating, np.float64),
    "rounded amount": (pa.types.is_floating, np.float32),
    "position": (pa.types.is_signed_integer, np.int64),
    "mark": (pa.types.is_boolean, np.bool_),
}


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


def compacted(evidence: Mapping[str, NDArray[Any]], left_out: Set[str]) -> Evidence:
    """Evidence that takes few bytes: amounts with three digits, and nothing of what is to be left out."""
    return {
        name: rounded(values) if values.dtype.kind == "f" else values
        for name, values in evidence.items()
        if name not in left_out
    }


def to_columns(evidence: Mapping[str, NDArray[Any]]) -> Evidence:
    """The columns of a record: amounts in float32 where they fit, positions in int32 where they fit."""
    columns = {}
    for name, values in evidence.items():
        small = _SMALL.get(values.dtype.kind)
        if small is not None and np.abs(values[np.isfinite(values)]).max(initial=0) <= small.max:
            values = values.astype(small.dtype)
        columns[PREFIX + name] = values
    return columns


def kinds_of(evidence: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """What each array holds: "amount", "rounded amount" (float32), "position" or "mark"."""
    return {
        name: "rounded amount" if values.dtype == np.float32 else _KINDS[values.dtype.kind]
        for name, values in evidence.items()
    }


def read_column(
    table: pa.Table, name: str, kind: str, below: int = 0, otherwise: str = "names rows that are not there"
) -> NDArray[Any]:
    """The values of a column of a record, in 64 bits but for rounded amounts.

    Args:
        kind: as `kinds_of` says it.
        below: for positions how many there are; they lie below it, or are -1 for none.
        otherwise: what a column does that holds other positions, as the end of an error.

    Raises:
        KeyError: no such column or kind. ValueError: it is of another type, has nulls, or holds other positions.
    """
    column, (is_kind, dtype) = table.column(name), _READ[kind]
    if column.null_count or not is_kind(column.type):
        raise ValueError(f"{name!r} holds {column.type} or nulls, wanted {kind}s")
    values: NDArray[Any] = np.asarray(column).astype(dtype)
    if kind == "position" and not -1 <= values.min(initial=-1) <= values.max(initial=-1) < below:
        raise ValueError(f"{name!r} {otherwise}")
    return values


def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    """float32 with 8 bits behind the point of the mantissa, three digits: half the bytes once they are compressed."""
    with np.errstate(over="ignore"):
        narrow: NDArray[np.float32] = values.astype(np.float32)
    bits = narrow.view(np.uint32)
    finite = np.isfinite(narrow)
    bits[finite] = (bits[finite] + np.uint32(1 << 14)) & np.uint32(0xFFFFFFFF << 15 & 0xFFFFFFFF)
    return narrow
