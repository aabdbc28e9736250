"""A number for what stands in each row of a column, by which rows are recognised one by one."""

import itertools
import weakref
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import xxhash
from datasets import Dataset
from numpy.typing import NDArray

from hf_prune.digest import BYTES, column_parts, plain_array

RowDigests: TypeAlias = Mapping[str, NDArray[np.uint64]]
"""By column the (n,) digests of its rows."""

NULL = np.uint64(0x9AE16A3B2F90404F)
FRACTION = 0x5BD1E99500000000
"""What tells the bits of a fraction from a whole number."""

MOST_EXACT = 2**24
"""Whole numbers below this are what they are in single precision, too."""

_cache: weakref.WeakKeyDictionary[Any, dict[str, NDArray[np.uint64]]] = weakref.WeakKeyDictionary()


def row_digests(dataset: Any) -> RowDigests:
    """The digests of every column of a datasets.Dataset; none of what is none, such as a dataset of torch.

    Cost: one pass over the data, and 8 bytes a row and column, which are remembered for this object.
    """
    if not isinstance(dataset, Dataset):
        return {}
    return {column: column_row_digests(dataset, column) for column in dataset.column_names}


def column_row_digests(dataset: Dataset, column: str) -> NDArray[np.uint64]:
    """(n,) uint64 digest of each row's Arrow value in a column: of equal values it is equal, of others another but for
    one pair in 2**64. It is the number itself where that is whole, and else a hash.

    Cost: one pass over the column, some 4 to 20 ns a number of arrays.

    It is independent of the column's name, of chunking, of the width of numbers, whether they are bools, ints or
    floats, of list and string layout and of the dataset's format. Floats are told apart to single precision. Of an
    image or sound that is stored as the path of a local file it sees the file's bytes and name.

    >>> rows = Dataset.from_dict({"a": [1, 2], "b": [2.0, 1.0]})
    >>> bool((column_row_digests(rows, "a") == column_row_digests(rows, "b")[::-1]).all())
    True
    """
    known = _cache.setdefault(dataset, {})
    if column not in known:
        parts = [_digests(part) for part in column_parts(dataset, column)]
        known[column] = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
    return known[column]


def _digests(array: Any) -> NDArray[np.uint64]:
    """(n,) whole numbers as they are, and hashes of everything else."""
    array = plain_array(array)
    kind, types = array.type, pa.types
    if types.is_null(kind):
        return np.full(len(array), NULL)
    if types.is_struct(kind):
        fields = sorted(zip(kind, array.flatten(), strict=True), key=lambda field: str(field[0].name))
        parts = np.stack([np.zeros(len(array), np.uint64), *(_digests(part) for _, part in fields)], axis=1)
        digests = _hashes(parts.reshape(-1).view(np.uint8), np.arange(len(array) + 1) * parts.shape[1] * 8)
    elif _is_list(kind):
        digests = _of_lists(array)
    elif kind in BYTES:
        digests = _of_bytes(array)
    elif types.is_boolean(kind):
        digests = _of_numbers(array.cast(pa.uint8()))
    elif types.is_integer(kind) or types.is_floating(kind):
        digests = _of_numbers(array)
    elif types.is_temporal(kind):
        digests = _of_numbers(array.cast(pa.int64() if kind.bit_width == 64 else pa.int32()))
    else:
        digests = _of_bytes(array.cast(pa.string()))
    if array.null_count:
        digests[array.is_null().to_numpy(zero_copy_only=False)] = NULL
    return digests


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _of_lists(array: Any) -> NDArray[np.uint64]:
    """Lists of numbers, also of several levels, by all numbers of a row at once; others by the digests of their items.

    Which of the two it is depends on nothing but the row, so that equal rows have equal digests in any company.
    """
    ends = _ends(array)
    numbers, edges = array.flatten(), ends
    parts, odd = [], np.zeros(len(array), dtype=bool)
    while _is_list(numbers.type):
        odd |= _any_in(edges, _nulls(numbers))
        inner = _ends(numbers)
        parts.append(_hashes(np.diff(inner).view(np.uint8), 8 * edges))
        numbers, edges = numbers.flatten(), inner[edges]
    kind = numbers.type
    if pa.types.is_boolean(kind):
        numbers, kind = numbers.cast(pa.uint8()), pa.uint8()
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return _by_items(array, ends)
    odd |= _any_in(edges, _nulls(numbers))
    values = _values(numbers)
    if values.dtype.kind != "f" and values.dtype.itemsize > 2:
        odd |= _any_in(edges, (values >= MOST_EXACT) | (values <= -MOST_EXACT if values.dtype.kind == "i" else False))
    parts.append(_hashes(_single(values).view(np.uint8), 4 * edges))
    digests = parts[0]
    if len(parts) > 1:
        digests = _hashes(
            np.stack(parts, axis=1).reshape(-1).view(np.uint8), 8 * len(parts) * np.arange(len(array) + 1)
        )
    if odd.any():
        some = array.take(pa.array(np.flatnonzero(odd)))
        digests[odd] = _by_items(some, _ends(some))
    return digests


def _by_items(array: Any, ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    # Another seed than that of numbers, whose bytes could be the same.
    return _hashes(_digests(array.flatten()).view(np.uint8), 8 * ends, seed=1)


def _ends(array: Any) -> NDArray[np.int64]:
    """(n + 1,) where each list begins among the items of all, and where the last one ends."""
    lengths = array.value_lengths()
    lengths = (lengths.fill_null(0) if lengths.null_count else lengths).to_numpy()
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _nulls(array: Any) -> NDArray[np.bool_]:
    """(n,) which items are null, or nothing where none is."""
    nulls: NDArray[np.bool_] = (
        array.is_null().to_numpy(zero_copy_only=False) if array.null_count else np.empty(0, bool)
    )
    return nulls


def _any_in(edges: NDArray[np.int64], marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) whether any item between two edges is marked."""
    if not marked.any():
        return np.zeros(len(edges) - 1, dtype=bool)
    before = np.concatenate([[0], np.cumsum(marked)])[edges]
    return before[1:] > before[:-1]


def _of_bytes(array: Any) -> NDArray[np.uint64]:
    array = array.cast(pa.large_binary())
    array = array.fill_null(b"") if array.null_count else array
    _, offsets, values = array.buffers()
    return _hashes(values or b"", np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1])


def _hashes(values: Any, ends: NDArray[np.int64], seed: int = 0) -> NDArray[np.uint64]:
    """The hash of the bytes between each two of `ends`."""
    data, digest = memoryview(values), xxhash.xxh3_64_intdigest
    hashes = (digest(data[start:end], seed) for start, end in itertools.pairwise(ends.tolist()))
    return np.fromiter(hashes, np.uint64, len(ends) - 1)


def _of_numbers(array: Any) -> NDArray[np.uint64]:
    values = _values(array)
    return (_as_whole(values) if values.dtype.kind == "f" else values.astype(np.int64)).view(np.uint64)


def _values(array: Any) -> NDArray[Any]:
    """The numbers of an array, with 0 for nulls."""
    values: NDArray[Any] = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return values


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers in single precision, with one zero and one NaN, of which there are several."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32)
    single += np.float32(0)
    nowhere = np.isnan(single)
    if nowhere.any():
        single[nowhere] = np.nan
    return single


def _as_whole(values: NDArray[Any]) -> NDArray[np.int64]:
    """A whole number for each float: itself where it is one, else its bits in single precision."""
    single = _single(values)
    with np.errstate(invalid="ignore"):
        whole = (np.trunc(single) == single) & (np.abs(single) < MOST_EXACT)
        return np.where(whole, single.astype(np.int64), single.view(np.uint32) + np.int64(FRACTION))
