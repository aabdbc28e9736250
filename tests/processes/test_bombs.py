"""Files that ask for far more memory than they have bytes: each is refused within 300 MB, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from hf_prune.selection.header import MOST_JSON
from tests.hub.bombs import say_less
from tests.selection.made import seal

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="where the peak memory of a process is told"),
]

MOST_MB, GROUPS, ROWS = 300, 20, 1_000_000

PLAIN = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}

CODE = """
import re, sys
import hf_prune

def peak():  # in MB; what the system says elsewhere counts the parent in
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

before = peak()
try:
    {read}
except hf_prune.HFPruneError as error:
    print(str(error)[-300:], file=sys.stderr)
    print(before, peak())
"""


def alike(path, lying, **columns):
    """A table of 20 million rows that are all alike."""
    table = pa.table(columns)
    with pq.ParquetWriter(
        path, table.schema, compression="zstd", use_dictionary=False, write_statistics=False
    ) as file:
        for _ in range(GROUPS):
            file.write_table(table)
    if lying:
        metadata = pq.read_metadata(path)
        for size in {metadata.row_group(0).column(at).total_uncompressed_size for at in range(metadata.num_columns)}:
            say_less(path, size)


def record(folder):
    ds = Dataset.from_dict({"label": [0, 1] * 30, "uid": [f"row {row}" for row in range(60)]})
    ds.prune("random", keep=9, quotas="equal").selection.save(folder, id_column="uid")


def many_rows(folder, lying=False):
    record(folder)
    columns = {"kept": np.zeros(ROWS, dtype=bool), "score": np.zeros(ROWS), "rank": pa.nulls(ROWS, pa.int64())}
    alike(folder / "selection.parquet", lying, **columns)
    seal(folder, rows=GROUPS * ROWS, kept=0, id_column=None, group_values=None, group_names=None)


def many_rows_that_it_denies(folder):
    many_rows(folder, lying=True)


def long_ids(folder):
    """60 names that fill 4 MB each, which the footer denies."""
    record(folder)
    file = folder / "selection.parquet"
    table = pq.read_table(file)
    at = table.column_names.index("id")
    ids = pa.array([f"{row:08}" * 500_000 for row in range(60)])
    pq.write_table(
        table.set_column(at, "id", ids), file, compression="zstd", use_dictionary=False, write_statistics=False
    )
    del ids
    group = pq.read_metadata(file).row_group(0)
    say_less(file, group.column(at).total_uncompressed_size)
    seal(folder)


def texts_for_scores(folder):
    """A text of 1 MB that stands in 6,000 rows, once in the file."""
    record(folder)
    texts = pa.DictionaryArray.from_arrays(np.zeros(6_000, np.int32), ["x" * 1_000_000])
    table = pa.table({"kept": np.zeros(6_000, dtype=bool), "score": texts})
    pq.write_table(table, folder / "selection.parquet", store_schema=False)
    seal(folder, rows=6_000, kept=0, id_column=None, group_values=None, group_names=None)


def header_of(item):
    def write(folder):
        record(folder)
        text = (folder / "selection.json").read_text()
        extra = "[" + item * ((MOST_JSON - len(text) - 100) // len(item)) + "0]"
        (folder / "selection.json").write_text(text.replace("{", '{"more": ' + extra + ", ", 1))

    write.__name__ = f"header of {item}"
    return write


def long_name(folder):
    """One name of 90 kB, and 100,000 short ones, that a table of groups would put below each other."""
    record(folder)
    names = ["x" * 90_000, *map(str, range(100_000))]
    seal(folder, group_names=names, group_values=[*range(len(names))])


def many_epochs(path, lying=False):
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(3 * ROWS, np.float32)), 3)
    alike(path, lying, row=np.zeros(ROWS, np.int64), label=np.zeros(ROWS, np.int64), loss=lists)


def many_epochs_that_it_denies(path):
    many_epochs(path, lying=True)


def long_task(path):
    n = 6_000
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(n, np.float32)), 1)
    task = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["x" * 1_000_000])
    table = pa.table({"row": np.arange(n), "label": np.zeros(n, np.int64), "task": task, "loss": lists})
    pq.write_table(table, path, store_schema=False)


def many_tensors(path):
    header = {f"{at:x}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for at in range(100_000)}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)


READERS = {
    "hf_prune.Selection.load({path!r})": [
        many_rows,
        many_rows_that_it_denies,
        long_ids,
        texts_for_scores,
        header_of("[],"),
        header_of("1.5,"),
        header_of('"ab",'),
        long_name,
    ],
    "hf_prune.TrainingDynamics.from_parquet({path!r})": [many_epochs, many_epochs_that_it_denies, long_task],
    "hf_prune.TrainingDynamics.load({path!r})": [many_tensors],
}


@pytest.mark.parametrize(
    ("read", "write"),
    [pytest.param(read, write, id=write.__name__) for read, writers in READERS.items() for write in writers],
)
def test_a_refused_load_takes_little_memory(read, write, tmp_path):
    path = tmp_path / "bomb"
    write(path)
    code = CODE.format(read=read.format(path=str(path)))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert ended.stdout, f"it was read, or {ended.stderr}"
    before, peak = map(float, ended.stdout.split())
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
    print(f"{write.__name__}: {size:,} bytes, peak {peak:.0f} MB, {before:.0f} before\n  {ended.stderr.strip()[:230]}")
    assert peak < MOST_MB
