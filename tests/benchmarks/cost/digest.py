"""How fast column digests are: `python -m tests.benchmarks cost digest`, half a minute.

Megabytes of Arrow data by CPU seconds, the median of the rounds, of whole columns and of every second row of them
(`select`). Each digest is checked against that of the same rows in many chunks.
"""

import time
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable

from hf_prune.digest import _cache, column_digest
from tests.benchmarks.harness import MEGABYTE

ROUNDS = 5


def columns(scale: float = 1.0) -> dict[str, pa.Array]:
    draw = np.random.default_rng(0)
    many, rows, files = (round(scale * n) for n in (10_000_000, 1_000_000, 20_000))
    words = pa.array([" ".join(f"word{number}" for number in draw.integers(0, 999, 8)) for _ in range(1000)])
    floats = pa.array(draw.normal(size=rows // 5 * 512).astype(np.float32))
    contents = pa.array([draw.bytes(20_000) for _ in range(100)], type=pa.large_binary())
    return {
        "int64, 1,000 classes": pa.array(draw.integers(0, 1000, many)),
        "int8, 100 classes": pa.array(draw.integers(0, 100, many).astype(np.int8)),
        "float64": pa.array(draw.normal(size=many // 2)),
        "texts of 70 bytes": words.take(pa.array(draw.integers(0, 1000, rows))),
        "lists of 512 float32": pa.FixedSizeListArray.from_arrays(floats, 512),
        "files of 20 kB": contents.take(pa.array(draw.integers(0, 100, files))),
    }


def seconds(dataset: Dataset) -> tuple[float, str]:
    _cache.clear()
    start = time.process_time()
    digest = column_digest(dataset, "column")
    return time.process_time() - start, digest


def measured(rounds: int) -> dict[str, Any]:
    """MB/s of each kind of column, whole and selected."""
    speeds = {}
    for name, array in columns().items():
        table = pa.table({"column": array})
        whole = Dataset(InMemoryTable(table))
        half = whole.select(np.arange(0, len(whole), 2))
        chunked = pa.chunked_array([array[start : start + 1000] for start in range(0, len(array), 1000)])
        in_chunks = Dataset(InMemoryTable(pa.table({"column": chunked})))
        assert seconds(in_chunks)[1] == seconds(whole)[1]
        assert seconds(in_chunks.select(np.arange(0, len(whole), 2)))[1] == seconds(half)[1]
        sides = {"whole": (whole, table.nbytes), "selected": (half, table.nbytes / 2)}
        speeds[name] = {
            side: size / MEGABYTE / median(seconds(dataset)[0] for _ in range(rounds))
            for side, (dataset, size) in sides.items()
        }
    return {"rounds": rounds, "speeds": speeds}
