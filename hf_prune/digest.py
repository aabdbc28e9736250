"""One digest per column of a dataset, by which rows are recognised whatever happened to their storage."""

import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from datasets.table import embed_array_storage
from datasets.utils import tqdm
from numpy.typing import NDArray

BYTES_AT_A_TIME = 2**24
"""How much of a column is in memory at once; the digest doesn't depend on it."""

UNKNOWN_FILE_BYTES = BYTES_AT_A_TIME // 50
"""What a file counts as whose size can't be told, such as one inside an archive."""

BLOCK = 2**16
"""How many numbers get one width, which is part of the digest's definition, and rows are measured at once."""

VIEWS = {pa.string_view(), pa.binary_view()}
BYTES = VIEWS | {pa.string(), pa.large_string(), pa.binary(), pa.large_binary()}

_cache: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()


def column_digest(dataset: Dataset, column: str) -> str:
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
        node: _Node | None = None
        for array in column_parts(dataset, column):
            node = node or _node_for(plain_array(array).type)
            node.update(array)
        whole = hashlib.blake2b(f"rows {len(dataset)} ".encode(), digest_size=16)
        whole.update(node.digest() if node else b"")
        known[column] = whole.hexdigest()
    return known[column]


def column_parts(dataset: Dataset, column: str) -> Iterator[Any]:
    """The stored values of a column, some rows at a time, in order; local files of images and sounds are read."""
    stored, indices = dataset.data.column(column), dataset._indices
    # A dataset that was selected from another gives rows one by one, which takes a hundred times as long.
    rows = None if indices is None else indices.column(0).to_numpy()
    if rows is not None and stored.type in VIEWS:
        stored = stored.cast(pa.large_binary())  # Arrow can't take rows of views
    stored_bytes = np.empty(0) if rows is None else _row_bytes(stored)
    holds_bytes = "binary" in str(dataset.features.arrow_schema.field(column).type)
    with tqdm(total=len(dataset), desc=f"Digest of {column!r}", unit="row", delay=2, leave=False) as progress:
        for block in (slice(start, start + BLOCK) for start in range(0, len(dataset), BLOCK)):
            sizes = _row_bytes(stored[block]) if rows is None else stored_bytes[rows[block]]
            for part in _parts(sizes, block.start):
                array = plain_array(stored[part] if rows is None else stored.take(pa.array(rows[part])))
                progress.update(len(array))
                if holds_bytes:
                    array = embed_array_storage(array, dataset.features[column], remote_files=False)
                yield array


def _parts(sizes: NDArray[np.int64], first: int) -> Iterator[slice]:
    """The rows from `first` on in parts of at most BYTES_AT_A_TIME, or of one row that is larger."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BYTES_AT_A_TIME, side="right")))
        yield slice(first + start, first + stop)
        start = stop


def _row_bytes(values: Any) -> NDArray[np.int64]:
    """(n,) how many bytes the values of each row take, those of the files that they name included."""
    if isinstance(values, pa.ChunkedArray):
        return np.concatenate([np.zeros(0, dtype=np.int64), *map(_row_bytes, values.chunks)])
    if isinstance(values, pa.ExtensionArray):
        return _row_bytes(values.storage)
    kind, types = values.type, pa.types
    if types.is_dictionary(kind):
        codes = values.indices.fill_null(0).to_numpy(zero_copy_only=False)
        of_rows: NDArray[np.int64] = np.append(_row_bytes(values.dictionary), 1)[codes]  # 1 where there is no value
        return of_rows
    if types.is_struct(kind):
        fields = [np.zeros(len(values), dtype=np.int64), *map(_row_bytes, values.flatten())]
        if {"bytes", "path"} == {kind.field(i).name for i in range(kind.num_fields)}:
            fields.append(_file_bytes(*(pc.struct_field(values, name) for name in ("bytes", "path"))))
        return np.asarray(np.sum(fields, axis=0), dtype=np.int64)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        if types.is_primitive(kind.value_type):
            return np.asarray(lengths.astype(np.int64) * max(1, kind.value_type.bit_width // 8) + 8, dtype=np.int64)
        ends = np.append(0, np.cumsum(_row_bytes(values.flatten())))[np.append(0, np.cumsum(lengths))]
        return np.asarray(np.diff(ends) + 8, dtype=np.int64)
    if kind in BYTES:
        lengths = pc.binary_length(values.cast(pa.large_binary()) if kind in VIEWS else values).fill_null(0)
        return np.asarray(lengths.to_numpy(zero_copy_only=False) + 8, dtype=np.int64)
    return np.full(len(values), 1 if types.is_null(kind) else max(1, kind.bit_width // 8), dtype=np.int64)


def _file_bytes(stored: Any, paths: Any) -> NDArray[np.int64]:
    """(n,) the sizes of the files of images or sounds that are stored as a path alone, else 0."""
    sizes = np.zeros(len(paths), dtype=np.int64)
    for row in np.flatnonzero(pc.and_(stored.is_null(), paths.is_valid()).to_numpy(zero_copy_only=False)).tolist():
        try:
            sizes[row] = os.path.getsize(paths[row].as_py())
        except (OSError, ValueError):
            sizes[row] = UNKNOWN_FILE_BYTES
    return sizes


def column_digests(dataset: Dataset) -> dict[str, str]:
    """The digest of every column."""
    return {column: column_digest(dataset, column) for column in dataset.column_names}


def array_digest(array: NDArray[Any]) -> str:
    """The digest of a numeric array's dtype, shape and values, which are read a part at a time."""
    digest = hashlib.blake2b(f"{array.dtype.str} {array.shape}".encode(), digest_size=16)
    step = max(1, BYTES_AT_A_TIME // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        digest.update(np.ascontiguousarray(array[start : start + step]).data)
    return digest.hexdigest()


class _Node:
    """The digest of arrays of one type: of which are null, and of the parts that `split` takes their values into.

    Args:
        tag: what tells the type from others.
        split: from an array to what each of `parts` is updated with; 0 or nothing stands for nulls.
        parts: by the prefix of their digests, whatever has `update` and `digest`.
    """

    def __init__(self, tag: str, split: Callable[[Any], Iterable[Any]], parts: Iterable[tuple[str, Any]]) -> None:
        self.tag, self._split, self._parts = tag, split, list(parts)
        self._rows, self._nulls = 0, hashlib.blake2b()

    def update(self, array: Any) -> None:
        array = plain_array(array)
        if array.null_count:
            nulls = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)) + self._rows
            self._nulls.update(nulls.astype("<i8").data)
        self._rows += len(array)
        for (_, part), values in zip(self._parts, self._split(array), strict=True):
            part.update(values)

    def digest(self) -> bytes:
        whole = hashlib.blake2b(f"{self.tag} {self._rows} ".encode() + self._nulls.digest())
        for prefix, part in self._parts:
            whole.update(prefix.encode() + part.digest())
        return whole.digest()


class _Numbers:
    """Hashes numbers in blocks, each in the narrowest width that holds it, so that the stored width is no matter."""

    def __init__(self) -> None:
        self._hash, self._waiting = hashlib.blake2b(), np.empty(0)

    def update(self, values: NDArray[Any]) -> None:
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
        narrow = np.ascontiguousarray(_narrowest(values))
        self._hash.update(f"{narrow.dtype.str} {len(narrow)} ".encode())
        self._hash.update(narrow.data)

    def digest(self) -> bytes:
        if len(self._waiting):
            self._block(self._waiting)
            self._waiting = self._waiting[:0]
        return self._hash.digest()


class _Lengths(_Numbers):
    """Hashes the lengths of texts or lists, as a column of whole numbers."""

    def digest(self) -> bytes:
        return hashlib.blake2b(b"int 0 " + hashlib.blake2b().digest() + super().digest()).digest()


def _node_for(kind: pa.DataType) -> _Node:
    types = pa.types
    if isinstance(kind, pa.ExtensionType):
        return _node_for(kind.storage_type)
    if types.is_dictionary(kind):
        return _node_for(kind.value_type)
    if types.is_null(kind):
        return _Node("null", lambda array: (), ())
    if types.is_struct(kind):
        order = sorted(range(kind.num_fields), key=lambda i: kind.field(i).name)
        fields = [(f"{kind.field(i).name} ", _node_for(kind.field(i).type)) for i in order]
        return _Node("struct", lambda array: map(array.flatten().__getitem__, order), fields)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _Node("list", _items, [("", _Lengths()), ("", _node_for(kind.value_type))])
    if kind in BYTES:
        return _Node("bytes", _bytes, [("", _Lengths()), ("", hashlib.blake2b())])
    if types.is_integer(kind) or types.is_floating(kind):
        return _Node("int" if types.is_integer(kind) else "float", _numbers, [("", _Numbers())])
    if types.is_boolean(kind):
        return _Node("bool", lambda array: _numbers(array.cast(pa.uint8())), [("", _Numbers())])
    if types.is_temporal(kind):
        whole = pa.int64() if kind.bit_width == 64 else pa.int32()
        return _Node(str(kind), lambda array: _numbers(array.cast(whole)), [("", _Numbers())])
    # Decimals and the like are hashed as text, which is slow but they are rare.
    parts = [("", _Lengths()), ("", hashlib.blake2b())]
    return _Node(str(kind), lambda array: _bytes(array.cast(pa.string())), parts)


def _items(array: Any) -> tuple[Any, ...]:
    """The lengths of lists, and their items."""
    return *_numbers(array.value_lengths()), array.flatten()


def _bytes(array: Any) -> tuple[NDArray[np.int64], memoryview]:
    """The lengths of texts, and their bytes."""
    data = array.cast(pa.large_binary())
    data = data.fill_null(b"") if data.null_count else data
    _, offsets, values = data.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[data.offset : data.offset + len(data) + 1]
    return np.diff(ends), memoryview(values or b"")[ends[0] : ends[-1]]


def _numbers(array: Any) -> tuple[NDArray[Any]]:
    return ((array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False),)


def _narrowest(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers in the fewest bytes that hold all of them exactly; one of them where all are one whole number."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            single = values.astype("<f4", copy=False)
        exact = values.dtype.itemsize <= 4 or ((single == values) | np.isnan(values)).all()
        return single if exact else values.astype("<f8", copy=False)
    low, high = values.min(), values.max()
    if low == high:
        values = values[:1]
    for kind in ("<i1", "<i2", "<i4", "<i8"):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind, copy=False)
    return values.astype("<u8", copy=False)


def plain_array(array: Any) -> Any:
    """The values as one array of a type that is no extension's and no dictionary's."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
