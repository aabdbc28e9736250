"""What hf_prune adds to a training run, to embedding and to the loading of a record, and how the time grows.

    python -m tests.benchmarks cost                             # everything
    python -m tests.benchmarks cost digest --rounds 1           # a small try of one part, printed and not kept

Results go to a JSON file of the part's name in this folder. The figures of digests depend on what else runs, and are
printed only.
"""

import argparse
import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch
from datasets import disable_progress_bars

from tests.benchmarks import tables
from tests.benchmarks.cost.table import TABLES
from tests.benchmarks.harness import machine


def main(argv: Sequence[str] | None = None, folder: Path = Path(__file__).parent) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks cost", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*TABLES, []], help="all by default")
    parser.add_argument("--rounds", type=int, help="in place of the part's own number, for tries")
    options = parser.parse_args(argv)
    disable_progress_bars()
    torch.set_num_threads(1)
    for name in options.part or TABLES:
        part = import_module(f"tests.benchmarks.cost.{name}")
        record = {"machine": machine()} | part.measured(options.rounds or part.ROUNDS)
        print(TABLES[name](record))
        if not options.rounds:
            (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if not options.rounds:
        tables.main()
