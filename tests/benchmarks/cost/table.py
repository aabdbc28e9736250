"""From the results of this folder to the tables of costs in RESULTS.md."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.report import markdown

Record = dict[str, Any]

SIDES = ("recorded", "predicted")


def recording(record: Record) -> str:
    """CPU time of training beside that of a run without a recorder, and of the bookkeeping alone."""
    trained = [
        [
            name,
            *(f"{sides[side]['ratio']:.3f} (up to {sides[side]['upper']:.3f})" for side in SIDES),
        ]
        for name, sides in record["models"].items()
    ]
    alone = [
        [size, f"{took['ms_a_step']:.3f}", f"{took['us_a_row']:.2f}"] for size, took in record["bookkeeping"].items()
    ]
    lines = markdown(["model", "recorded, ratio", "all rows predicted after the epoch instead, ratio"], trained)
    return "\n".join([*lines, "", *markdown(["bookkeeping in batches of", "ms a step", "µs a row"], alone)]) + "\n"


def embedding(record: Record) -> str:
    """CPU time of `embed` beside a bare loop, where it finds its vectors, and of bfloat16 beside float32."""
    ratios = {f"{name}: `embed` / a bare loop": case["ratios"] for name, case in record["cases"].items()}
    for name, sides in record["found"].items():
        ratios[f"{name}: `embed` that finds its vectors / that computes them"] = sides["probed"]
        ratios[f"{name}: the same with `cache_key=`"] = sides["by key"]
    ratios["MiniLM: bfloat16 / float32"] = record["precisions"]["ratios"]
    rows = [[name, _ratio(sides["cpu"]), _ratio(sides["wall"])] for name, sides in ratios.items()]
    neighbors = record["precisions"]["neighbors"]
    same = f"Of each row's 10 nearest neighbours {neighbors:.1%} are the same in both precisions."
    return "\n".join([*markdown(["what", "CPU, ratio", "wall, ratio"], rows), "", same]) + "\n"


def digest(record: Record) -> str:
    """Megabytes a second of CPU time."""
    rows = [[name, *(f"{speed:,.0f}" for speed in sides.values())] for name, sides in record["speeds"].items()]
    return "\n".join(markdown(["column", "whole, MB/s", "every second row, MB/s"], rows)) + "\n"


def growth(record: Record) -> str:
    """CPU seconds at n and 4n rows, and the second by the first."""
    rows = [
        [name, f"{case['n']:,}", *(f"{seconds:.3f}" for seconds in case["seconds"].values()), _ratio(case["ratio"])]
        for name, case in record["cases"].items()
    ]
    return "\n".join(markdown(["what", "n", "n rows, CPU s", "4n rows, CPU s", "ratio"], rows)) + "\n"


TABLES: dict[str, Callable[[Record], str]] = {
    "recording": recording,
    "embedding": embedding,
    "digest": digest,
    "growth": growth,
}


def text(name: str, folder: Path = Path(__file__).parent) -> str:
    """Markdown of what `run.py` wrote for this part."""
    return TABLES[name](json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))


def _ratio(of: list[float]) -> str:
    middle, least, largest = (f"{ratio:.2f}" if of[0] > 0.1 else f"{ratio:.4f}" for ratio in of)
    return f"**{middle}** ({least} to {largest})"
