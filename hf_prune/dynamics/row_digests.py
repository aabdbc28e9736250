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
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        lengths = array.value_lengths()
        lengths = (lengths.fill_null(0) if lengths.null_count else lengths).to_numpy()
        digests = _hashes(
            _digests(array.flatten()).view(np.uint8), 8 * np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        )
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


def _of_bytes(array: Any) -> NDArray[np.uint64]:
    array = array.cast(pa.large_binary())
    array = array.fill_null(b"") if array.null_count else array
    _, offsets, values = array.buffers()
    return _hashes(values or b"", np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1])


def _hashes(values: Any, ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hash of the bytes between each two of `ends`."""
    data, digest = memoryview(values), xxhash.xxh3_64_intdigest
    hashes = (digest(data[start:end]) for start, end in itertools.pairwise(ends.tolist()))
    return np.fromiter(hashes, np.uint64, len(ends) - 1)


def _of_numbers(array: Any) -> NDArray[np.uint64]:
    values = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return (_as_whole(values) if values.dtype.kind == "f" else values.astype(np.int64)).view(np.uint64)


def _as_whole(values: NDArray[Any]) -> NDArray[np.int64]:
    """A whole number for each float: itself where it is one, else its bits in single precision."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32)
        single[np.isnan(single)] = np.nan  # of which there are many
        whole = (np.trunc(single) == single) & (np.abs(single) < 2**24)
        return np.where(whole, single.astype(np.int64), single.view(np.uint32) + np.int64(FRACTION))
