"""One digest per column of a dataset, by which rows are recognised whatever happened to their storage."""

import hashlib
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets.table import embed_array_storage
from datasets.utils import tqdm
from numpy.typing import NDArray

if TYPE_CHECKING:
    from datasets import Dataset

BYTES_AT_A_TIME = 2**24
"""How much of a column is in memory at once; the digest doesn't depend on it."""

FILES_AT_A_TIME = 50
"""How many rows are read at once of a column of bytes, images or sounds, which may be as large as they like."""

BLOCK = 2**16
"""How many numbers get one width; this is part of the digest's definition."""

_cache: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()


def column_digest(dataset: "Dataset", column: str) -> str:
    """The digest of one column's Arrow values in row order, streamed and remembered for this dataset object.

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
        stored, rows = dataset.data.column(column), _rows_of(dataset)
        if rows is not None and (pa.types.is_string_view(stored.type) or pa.types.is_binary_view(stored.type)):
            stored = stored.cast(pa.large_binary())  # Arrow can't take rows of views
        holds_bytes = "binary" in str(dataset.features.arrow_schema.field(column).type)
        node: _Node | None = None
        start, size = 0, FILES_AT_A_TIME
        with tqdm(total=len(dataset), desc=f"Digest of {column!r}", unit="row", delay=2, leave=False) as progress:
            while start < len(dataset):
                part = slice(start, start + size)
                array = _plain(stored[part] if rows is None else stored.take(rows[part]))
                start += size
                progress.update(len(array))
                if holds_bytes:
                    array = embed_array_storage(array, dataset.features[column], remote_files=False)
                else:
                    size = max(1, round(size * BYTES_AT_A_TIME / max(1, array.nbytes)))
                node = node or _node_for(_plain(array).type)
                node.update(array)
        whole = hashlib.blake2b(f"rows {len(dataset)} ".encode(), digest_size=16)
        whole.update(node.finish() if node else b"")
        known[column] = whole.hexdigest()
    return known[column]


def column_digests(dataset: "Dataset") -> dict[str, str]:
    """The digest of every column."""
    return {column: column_digest(dataset, column) for column in dataset.column_names}


def _rows_of(dataset: "Dataset") -> Any:
    """The rows' positions in the stored table where a dataset was selected from one; None where it is all of it.

    They are read directly, because a dataset gives such rows one by one, which takes a hundred times as long.
    """
    indices = dataset._indices
    return None if indices is None else indices.column(0)


def array_digest(array: NDArray[Any]) -> str:
    """The digest of a numeric array's dtype, shape and values, which are read a part at a time."""
    digest = hashlib.blake2b(f"{array.dtype.str} {array.shape}".encode(), digest_size=16)
    step = max(1, BYTES_AT_A_TIME // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        digest.update(np.ascontiguousarray(array[start : start + step]).data)
    return digest.hexdigest()


class _Node:
    """The digest of arrays of one type: this class hashes which are null, subclasses the values, with 0 for nulls."""

    tag = "null"

    def __init__(self) -> None:
        self._rows, self._hash = 0, hashlib.blake2b()

    def update(self, array: Any) -> None:
        array = _plain(array)
        if array.null_count:
            nulls = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)) + self._rows
            self._hash.update(nulls.astype("<i8").data)
        self._rows += len(array)
        self.read(array)

    def read(self, array: Any) -> None:
        """Hash the values of a part."""

    def finish(self) -> bytes:
        whole = hashlib.blake2b(f"{self.tag} {self._rows} ".encode() + self._hash.digest())
        for part in self.parts():
            whole.update(part)
        return whole.digest()

    def parts(self) -> list[bytes]:
        return []


class _Numbers(_Node):
    """Hashes numbers in blocks, each in the narrowest width that holds it, so that the stored width is no matter."""

    def __init__(self, tag: str, kind: pa.DataType | None, narrow: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        super().__init__()
        self.tag, self._kind, self._narrow = tag, kind, narrow
        self._values, self._waiting = hashlib.blake2b(), np.empty(0)

    def read(self, array: Any) -> None:
        if self._kind is not None:
            array = array.cast(self._kind)
        self.read_numbers((array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False))

    def read_numbers(self, values: NDArray[Any]) -> None:
        if len(self._waiting):
            missing = BLOCK - len(self._waiting)
            self._waiting, values = np.concatenate([self._waiting, values[:missing]]), values[missing:]
            if len(self._waiting) < BLOCK:
                return
            self._block(self._waiting)
        whole = len(values) - len(values) % BLOCK
        for start in range(0, whole, BLOCK):
            self._block(values[start : start + BLOCK])
        self._waiting = values[whole:].copy()

    def _block(self, values: NDArray[Any]) -> None:
        narrow = np.ascontiguousarray(self._narrow(values))
        self._values.update(f"{narrow.dtype.str} {len(narrow)} ".encode())
        self._values.update(narrow.data)

    def parts(self) -> list[bytes]:
        if len(self._waiting):
            self._block(self._waiting)
            self._waiting = self._waiting[:0]
        return [self._values.digest()]


class _Bytes(_Node):
    tag = "bytes"

    def __init__(self) -> None:
        super().__init__()
        self._lengths, self._values = _whole_numbers(), hashlib.blake2b()

    def read(self, array: Any) -> None:
        data = array.cast(pa.large_binary())
        data = data.fill_null(b"") if data.null_count else data
        offsets = np.frombuffer(data.buffers()[1], dtype=np.int64)[data.offset : data.offset + len(data) + 1]
        self._lengths.read_numbers(np.diff(offsets))
        if len(data) and data.buffers()[2] is not None:
            self._values.update(memoryview(data.buffers()[2])[offsets[0] : offsets[-1]])

    def parts(self) -> list[bytes]:
        return [self._lengths.finish(), self._values.digest()]


class _Lists(_Node):
    tag = "list"

    def __init__(self, kind: pa.DataType) -> None:
        super().__init__()
        self._lengths, self._items = _whole_numbers(), _node_for(kind.value_type)

    def read(self, array: Any) -> None:
        self._lengths.read(array.value_lengths())
        self._items.update(array.flatten())

    def parts(self) -> list[bytes]:
        return [self._lengths.finish(), self._items.finish()]


class _Structs(_Node):
    tag = "struct"

    def __init__(self, kind: pa.DataType) -> None:
        super().__init__()
        self._fields = {field.name: _node_for(field.type) for field in sorted(kind, key=lambda field: field.name)}

    def read(self, array: Any) -> None:
        children = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
        for name, node in self._fields.items():
            node.update(children[name])

    def parts(self) -> list[bytes]:
        return [part for name, node in self._fields.items() for part in (f"{name} ".encode(), node.finish())]


class _Texts(_Bytes):
    """Hashes decimals and the like as text, which is slow but they are rare."""

    def __init__(self, kind: pa.DataType) -> None:
        super().__init__()
        self.tag = str(kind)

    def read(self, array: Any) -> None:
        super().read(array.cast(pa.string()))


def _node_for(kind: pa.DataType) -> _Node:
    types = pa.types
    if isinstance(kind, pa.ExtensionType):
        return _node_for(kind.storage_type)
    if types.is_dictionary(kind):
        return _node_for(kind.value_type)
    if types.is_null(kind):
        return _Node()
    if types.is_struct(kind):
        return _Structs(kind)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _Lists(kind)
    if _is_bytes(kind):
        return _Bytes()
    if types.is_boolean(kind):
        return _Numbers("bool", pa.uint8(), _narrowest)
    if types.is_integer(kind):
        return _whole_numbers()
    if types.is_floating(kind):
        return _Numbers("float", pa.float32() if types.is_float16(kind) else None, _single)
    if types.is_temporal(kind):
        return _Numbers(str(kind), pa.int64() if kind.bit_width == 64 else pa.int32(), _narrowest)
    return _Texts(kind)


def _whole_numbers() -> _Numbers:
    return _Numbers("int", None, _narrowest)


def _narrowest(values: NDArray[Any]) -> NDArray[Any]:
    """The whole numbers in the fewest bytes that hold all; one of them where all are equal."""
    low, high = values.min(), values.max()
    if low == high:
        values = values[:1]
    for kind in ("<i1", "<i2", "<i4", "<i8"):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind, copy=False)
    return values.astype("<u8", copy=False)


def _single(values: NDArray[Any]) -> NDArray[Any]:
    """The floats in 32 bits where these hold all of them exactly."""
    if values.dtype == np.float32:
        return values.astype("<f4", copy=False)
    with np.errstate(over="ignore"):
        single = values.astype("<f4")
    same = (single == values) | np.isnan(values)
    return single if same.all() else values.astype("<f8", copy=False)


def _plain(array: Any) -> Any:
    """The values as one array of a type that is no extension's and no dictionary's."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_bytes(kind: pa.DataType) -> bool:
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))
