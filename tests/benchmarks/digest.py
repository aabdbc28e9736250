"""How fast column digests are: `python -m tests.benchmarks.digest [--rounds N] [--scale S]`, half a minute.

Megabytes of Arrow data by CPU seconds, the median of the rounds, of whole columns and of every second row of them
(`select`). Each digest is checked against that of the same rows in many chunks.
"""

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable

from hf_prune.digest import _cache, column_digest
from tests.benchmarks.harness import MEGABYTE


def columns(scale: float) -> dict[str, pa.Array]:
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
    found = column_digest(dataset, "column")
    return time.process_time() - start, found


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.digest", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args(argv)
    speeds = {}
    for name, array in columns(options.scale).items():
        table = pa.table({"column": array})
        whole = Dataset(InMemoryTable(table))
        half = whole.select(np.arange(0, len(whole), 2))
        chunked = pa.chunked_array([array[start : start + 1000] for start in range(0, len(array), 1000)])
        in_chunks = Dataset(InMemoryTable(pa.table({"column": chunked})))
        assert seconds(in_chunks)[1] == seconds(whole)[1]
        assert seconds(in_chunks.select(np.arange(0, len(whole), 2)))[1] == seconds(half)[1]
        sides = {"whole": (whole, table.nbytes), "selected": (half, table.nbytes / 2)}
        for side, (dataset, size) in sides.items():
            took = median(seconds(dataset)[0] for _ in range(options.rounds))
            speeds[f"{name}, {side}"] = size / MEGABYTE / took
            print(f"{name}, {side}: {speeds[f'{name}, {side}']:,.0f} MB/s")
    return speeds


if __name__ == "__main__":
    main()
