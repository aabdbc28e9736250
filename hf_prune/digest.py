"""One digest per column of a dataset, by which rows are recognised whatever happened to their storage."""

import hashlib
import weakref
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from datasets.table import embed_array_storage
from numpy.typing import NDArray

if TYPE_CHECKING:
    from datasets import Dataset

ROWS_AT_A_TIME = 1_000
"""Rows hashed together; part of the digest's definition, so that chunking doesn't matter."""

FILES_AT_A_TIME = 50
"""The same for columns that hold bytes: images and sounds of up to 40 MB on average."""

_cache: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()


class _Hash(Protocol):
    def update(self, data: Any, /) -> None: ...


def column_digest(dataset: "Dataset", column: str) -> str:
    """Digest of the Arrow values of one column, in row order, streamed and remembered for this dataset object.

    It is independent of the column's name, of chunking, of integer and float width, of list and string layout and of
    the dataset's format; it sees a changed, dropped or swapped value. Of an image or sound stored as the path of a
    local file it sees the file's bytes and name, which is what `save_to_disk` and `push_to_hub` store.

    Cost: one pass over the column.

    >>> from datasets import Dataset
    >>> a, b = Dataset.from_dict({"label": [0, 1]}), Dataset.from_dict({"y": [1, 0]})
    >>> column_digest(a, "label") == column_digest(b.select([1, 0]), "y")
    True
    """
    known = _cache.setdefault(dataset, {})
    if column not in known:
        digest = hashlib.blake2b(digest_size=16)
        arrow = dataset.select_columns([column]).with_format("arrow")
        holds_bytes = "binary" in str(dataset.features.arrow_schema.field(column).type)
        for table in arrow.iter(batch_size=FILES_AT_A_TIME if holds_bytes else ROWS_AT_A_TIME):
            array = table.column(0).combine_chunks()
            if holds_bytes:
                array = embed_array_storage(array, dataset.features[column], remote_files=False)
            _update(digest, array)
        digest.update(f"rows {len(dataset)}".encode())
        known[column] = digest.hexdigest()
    return known[column]


def array_digest(array: NDArray[Any]) -> str:
    """Digest of a numeric array's dtype, shape and values, read a part at a time."""
    digest = hashlib.blake2b(f"{array.dtype.str} {array.shape}".encode(), digest_size=16)
    for start in range(0, len(array), ROWS_AT_A_TIME):
        digest.update(np.ascontiguousarray(array[start : start + ROWS_AT_A_TIME]).data)
    return digest.hexdigest()


def _update(digest: _Hash, array: Any) -> None:
    """Feed an Arrow array in a canonical form: a tag, which values are null, then the values with nulls zeroed."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    digest.update(f"{len(array)} {array.null_count} ".encode())
    if array.null_count:
        digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)))
    if pa.types.is_null(kind):
        digest.update(b"null")
    elif pa.types.is_struct(kind):
        children = dict(zip((field.name for field in kind), array.flatten(), strict=True))
        for name in sorted(children):
            digest.update(f"field {name} ".encode())
            _update(digest, children[name])
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        digest.update(b"list")
        digest.update(_numbers(array.value_lengths(), pa.int64()))
        _update(digest, array.flatten())
    elif _is_bytes(kind):
        digest.update(b"bytes")
        data = array.cast(pa.large_binary()).fill_null(b"")
        offsets = np.frombuffer(data.buffers()[1], dtype=np.int64)[data.offset : data.offset + len(data) + 1]
        digest.update(np.diff(offsets))
        if len(data) and data.buffers()[2] is not None:
            digest.update(memoryview(data.buffers()[2])[offsets[0] : offsets[-1]])
    elif pa.types.is_boolean(kind):
        digest.update(b"bool")
        digest.update(np.packbits(array.fill_null(False).to_numpy(zero_copy_only=False)))
    elif pa.types.is_integer(kind):
        digest.update(b"int")
        digest.update(_numbers(array, pa.uint64() if kind == pa.uint64() else pa.int64()))
    elif pa.types.is_floating(kind):
        digest.update(b"float")
        digest.update(_numbers(array, pa.float64()))
    else:  # times, decimals: rare enough that their text will do
        digest.update(str(kind).encode())
        _update(digest, array.cast(pa.string()))


def _is_bytes(kind: pa.DataType) -> bool:
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _numbers(array: Any, kind: pa.DataType) -> Any:
    return np.ascontiguousarray(array.cast(kind).fill_null(0).to_numpy(zero_copy_only=False))
