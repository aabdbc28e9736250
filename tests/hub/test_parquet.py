"""Parquet files that ask for more memory than their bytes may, or that only seem to be some: each is refused."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_prune.hub.parquet import FREE_BYTES, read_columns, write_table
from tests.hub.bombs import say_less

MANY = 12_000_000
"""Numbers that fill more than any small file may."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.parquet"


def read(path, *columns, texts=()):
    return read_columns(path, lambda schema, rows: [*columns], texts=texts)[0]


def refused(path, message, *columns, texts=()):
    before = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match=message):
        read(path, *columns, texts=texts)
    assert pa.total_allocated_bytes() - before < 2**20


def test_what_is_written_is_read(path):
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 2)
    table = pa.table({"a": [1, 2, 3], "b.c": lists, "id": ["x", "y", "z"], "mark": [True, False, True]})
    write_table(table, path)
    assert read(path, "a", "b.c", "mark") == table.select(["a", "b.c", "mark"])
    assert read(path, "id", texts=["id", "missing"]).column("id").to_pylist() == ["x", "y", "z"]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_rows_that_are_all_alike_are_read_again(path, version):
    table = pa.table({"x": np.zeros(MANY), "y": np.zeros(MANY, dtype=bool)})
    pq.write_table(table, path, compression="zstd", data_page_version=version)
    assert path.stat().st_size < FREE_BYTES / 500
    refused(path, "bytes that would fill 192,000,", "x", "y")
    write_table(table, path, compression="zstd", data_page_version=version)
    assert read(path, "x", "y") == table


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_pages_are_believed_and_not_the_footer(path, version):
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table({"x": ["\0" * 80_000_000]}), path, data_page_version=version, **options)
    say_less(path, pq.read_metadata(path).row_group(0).total_byte_size)
    assert pq.read_metadata(path).row_group(0).total_byte_size == 1000
    refused(path, "bytes that would fill 80,000,0", "x", texts=["x"])


def test_texts_are_read_once_each_or_not_at_all(path):
    """A text of a megabyte that stands in every row would fill one for each."""
    pq.write_table(pa.table({"x": ["x" * 1_000_000] * 200}), path)
    refused(path, "'x' holds string, wanted numbers or marks", "x")
    assert read(path, "x", texts=["x"]).nbytes < 2_000_000


def test_texts_that_are_stored_as_differences(path):
    pq.write_table(pa.table({"x": ["x" * 9]}), path, use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"})
    refused(path, "stored as what differs from the one before", "x", texts=["x"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"PAR1", "no footer"),
        (b"PAR1PAR1PAR1", "no footer, or one of 827,474,256 bytes"),
        (b"PAR1\0\xff\xff\xff\x7fPAR1", "no footer, or one of 2,147,483,647 bytes"),
        (b"PAR1" + b"\x19" * 40 + b"\x28\0\0\0PAR1", "metadata that end too early|value of type|field"),
        (
            b"PAR1" + b"\x19\xf1\xff\xff\xff\x7f" + b"\1" * 2_000_000 + b"\x86\x84\x1e\0PAR1",
            "more than 1,048,576 values",
        ),
        (b"PAR1\x15\x02\x05\x02\x02\0\x06\0\0\0PAR1", "field 1 after field 1"),
    ],
)
def test_files_that_only_seem_to_be_some(path, content, message):
    path.write_bytes(content)
    refused(path, message, "x")


def test_no_footer_ends_the_process(path):
    """pyarrow ends it over some footers, when it is asked for the metadata of a column."""
    pq.write_table(pa.table({"x": [1, 2, 3], "y": [1.0, 2.0, 3.0]}), path)
    code = f"""
from pathlib import Path
import numpy as np
from hf_prune.hub.parquet import read_columns

path, rng, refused = Path({str(path)!r}), np.random.default_rng(0), 0
whole = path.read_bytes()
for _ in range(3000):
    changed = bytearray(whole)
    for at in len(whole) - rng.integers(9, 8 + int.from_bytes(whole[-8:-4], "little"), rng.integers(1, 3)):
        changed[at] = rng.integers(256)
    path.write_bytes(changed)
    try:
        read_columns(path, lambda schema, rows: schema.names)
    except Exception:
        refused += 1
assert refused > 1000, refused
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
