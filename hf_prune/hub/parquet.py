"""Parquet files of ours: written so that they may be read, and read without more memory than so few bytes may fill.

What a file says of its sizes is anybody's word, and a kilobyte can say a gigabyte or unpack to one. So the pages
themselves are asked, before pyarrow reads any: it takes what they say at their word, and ends the process over some
footers when it is asked what is in them.
"""

from collections.abc import Callable, Collection, Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FREE_BYTES, MOST_UNPACKED = 2**26, 64
"""Memory that any file may take, and how many bytes of it for each of its own a larger one."""

MOST_FOOTER, MOST_VALUES = 2**24, 2**20
"""Bytes of a footer, and numbers, texts and structures in it, beyond which it is taken for made up."""

_INT32, _INT64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
"""Types of Thrift's compact protocol."""

_FOOTER_GROUPS, _FOOTER_ROWS = (4, _LIST), (3, _INT64)
_GROUP_COLUMNS, _COLUMN_METADATA = (1, _LIST), (3, _STRUCT)
_PATH, _PACKED_BYTES, _FIRST_PAGE, _DICTIONARY_PAGE = (3, _LIST), (7, _INT64), (9, _INT64), (11, _INT64)
_PAGE_UNPACKED, _PAGE_PACKED = (2, _INT32), (3, _INT32)
_PAGE_KINDS, _PAGE_VALUES = ((5, _STRUCT), (7, _STRUCT), (8, _STRUCT)), (1, _INT32)
_PAGE_ENCODINGS = ((2, _INT32), (4, _INT32))
"""Fields of parquet.thrift, each by its number and type: of FileMetaData, RowGroup, ColumnMetaData and PageHeader."""

_DELTA_BYTE_ARRAY = 7

_TEXTS = {pa.string(), pa.large_string(), pa.string_view()}


def write_table(table: pa.Table, path: Path, **options: Any) -> None:
    """Write a file that `read_columns` doesn't refuse: uncompressed where the rows are all too alike."""
    pq.write_table(table, path, **options)
    try:
        _check_sizes(path, table.schema, table.column_names)
    except ValueError:
        pq.write_table(table, path, compression="none", use_dictionary=False)


def read_columns(
    path: Path, choose: Callable[[pa.Schema, int], list[str]], *, texts: Collection[str] = ()
) -> tuple[pa.Table, Mapping[bytes, bytes]]:
    """Some columns of a file, and its metadata.

    Args:
        choose: from the schema and the number of rows to the names of the columns; what it raises is passed on.
        texts: columns that may hold texts, which come as a dictionary if they do; the others are numbers and marks,
            or lists of one length of these.

    Raises:
        OSError, ValueError, pa.ArrowException and others: no such file, a damaged one, or one of which the columns
            would take more memory than it may ask for.
    """
    _read_footer(path)
    metadata = pq.read_metadata(path)
    schema = metadata.schema.to_arrow_schema()
    columns = choose(schema, metadata.num_rows)
    as_dictionary = [name for name in columns if name in texts and schema.field(name).type in _TEXTS]
    for name in set(columns).difference(as_dictionary):
        if not pa.types.is_primitive(kind := _of_lists(schema.field(name).type)):
            raise ValueError(f"{name!r} holds {kind}, wanted numbers or marks")
    _check_sizes(path, schema, columns)
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=as_dictionary) as file:
        return file.read(columns=columns), schema.metadata or {}


def _check_sizes(path: Path, schema: pa.Schema, columns: Collection[str]) -> None:
    """Refuse a file of which these columns would take far more memory than it has bytes.

    Raises:
        ValueError: with the two sizes.
    """
    size, footer = path.stat().st_size, _read_footer(path)
    asked = footer[_FOOTER_ROWS] * sum(_width(schema.field(name).type) for name in columns)
    unpacked = 0
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        for group in footer[_FOOTER_GROUPS]:
            for column in (each[_COLUMN_METADATA] for each in group[_GROUP_COLUMNS]):
                name = b".".join(column[_PATH]).decode()
                if any(f"{name}.".startswith(f"{ours}.") for ours in columns):
                    unpacked += _unpacked(content, column)
    if max(asked, unpacked) > (most := max(FREE_BYTES, MOST_UNPACKED * size)):
        raise ValueError(f"{size:,} bytes that would fill {max(asked, unpacked):,} in memory, wanted {most:,} at most")


def _unpacked(content: mmap, column: Mapping[Any, Any]) -> int:
    """The bytes that the pages of a column chunk, or the values in them, fill; ValueError where nobody could tell."""
    first: int = column[_FIRST_PAGE]
    total, at = 0, min(first, column.get(_DICTIONARY_PAGE) or first)
    end = at + column[_PACKED_BYTES]
    while at < end:
        reader = _Thrift(content, at)
        page = reader.struct()
        parts = [page[kind] for kind in _PAGE_KINDS if kind in page]
        if any(part.get(field) == _DELTA_BYTE_ARRAY for part in parts for field in _PAGE_ENCODINGS):
            raise ValueError("texts that are stored as what differs from the one before, which may fill any memory")
        sizes = [page[_PAGE_UNPACKED], page[_PAGE_PACKED], *(part[_PAGE_VALUES] for part in parts)]
        if min(sizes) < 0:
            raise ValueError(f"a page of {min(sizes)} bytes or values")
        total += max(sizes[0], 8 * sum(sizes[2:]))
        at = reader.at + sizes[1]
    return total


def _width(kind: pa.DataType) -> int:
    """Bytes that a value takes at least, a number of its own in 64 bits."""
    return 4 * int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 8


def _of_lists(kind: pa.DataType) -> pa.DataType:
    """The type of the numbers where it is one of lists of one length."""
    return kind.value_type if pa.types.is_fixed_size_list(kind) else kind


def _read_footer(path: Path) -> dict[Any, Any]:
    """The file's FileMetaData by the numbers and types of its fields."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        end = len(content) - 8
        length = int.from_bytes(content[end : end + 4], "little") if end > 0 else 0
        if not 0 < length <= min(MOST_FOOTER, end):
            raise ValueError(f"no footer, or one of {length:,} bytes, wanted {MOST_FOOTER:,} at most")
        return _Thrift(content[end - length : end], 0).struct()


class _Thrift:
    """Reads Thrift's compact protocol, in which a Parquet file says what is in it, from a position on.

    A field that stands twice, which readers join in ways of their own, is an error, as is all that Parquet hasn't got.
    """

    def __init__(self, content: bytes | mmap, at: int) -> None:
        self._content, self.at, self._left = content, at, MOST_VALUES

    def struct(self) -> dict[tuple[int, int], Any]:
        """Values by the numbers and types of their fields."""
        fields: dict[tuple[int, int], Any] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            after = number + step if step else self._signed()
            if after <= number:
                raise ValueError(f"field {after} after field {number}")
            number = after
            fields[number, kind] = kind == 1 if kind in (1, 2) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {MOST_VALUES:,} values of metadata")
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, _INT32, _INT64):
            return self._signed()
        if kind in (7, _BINARY):
            return self._bytes(8 if kind == 7 else self._unsigned())
        if kind == _LIST:
            head = self._byte()
            length = self._unsigned() if head >> 4 == 15 else head >> 4
            return [self._value(head & 15) for _ in range(length)]
        if kind == _STRUCT:
            return self.struct()
        raise ValueError(f"a value of type {kind}, which Parquet hasn't got")

    def _bytes(self, length: int) -> bytes:
        part = self._content[self.at : self.at + length]
        if len(part) < length:
            raise ValueError("metadata that end too early")
        self.at += length
        return part

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")
        return value | byte << shift

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
