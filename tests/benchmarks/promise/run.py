"""How often is a promise of `recommend` broken, and how often can it be given?

    python -m tests.benchmarks promise                                # everything
    python -m tests.benchmarks promise --only digits --splits 2       # a small try of the real data, printed, not kept

The simulation takes a few seconds and goes to simulation.json in this folder. The real data go to real.parquet; a
finished split leaves a file in outputs/benchmarks/promise, so after Ctrl-C the same line goes on where it stopped.
Delete that folder when methods or data change.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tests.benchmarks import tables
from tests.benchmarks.cells import write_parquet
from tests.benchmarks.jobs import PROCESSES, run
from tests.benchmarks.promise import simulation
from tests.benchmarks.promise.real import KEEPS, MAX_LOSS, METHODS, PARTS, SCHEMA, Part, pool, work
from tests.benchmarks.promise.table import REAL, SIMULATED, real, simulated
from tests.benchmarks.real_data import CACHE


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks promise", description="Run what is missing.")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these data sets; printed and not kept")
    parser.add_argument("--splits", type=int, help="fewer splits; printed and not kept")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of data and finished jobs")
    given = parser.parse_args(argv)
    wanted = {name: PARTS[name] for name in given.only or PARTS}
    if given.splits:
        wanted = {name: replace(part, splits=min(given.splits, part.splits)) for name, part in wanted.items()}
    complete = wanted == PARTS
    file = REAL if complete else given.cache / "try.parquet"
    if complete:
        SIMULATED.write_text(json.dumps(simulation.measured(), indent=1) + "\n", encoding="utf-8")
        print(simulated())
    try:
        run_parts(wanted, given.cache, given.processes, file)
    except KeyboardInterrupt:
        sys.exit("\nStopped; the same line goes on from here.")
    print(real(file))
    if complete:
        tables.main()


def run_parts(parts: Mapping[str, Part], cache: Path, processes: int, file: Path) -> None:
    """Run what is missing, and write everything to `file`."""
    jobs, setups = {}, {}
    for name, part in parts.items():
        pool(name, cache)  # fetched once, before several processes want it
        setup = {"train": part.train, "held_out": part.held_out, "max_loss": MAX_LOSS, "keep": KEEPS}
        setup |= {"methods": METHODS}
        key = hashlib.sha256(json.dumps(setup, sort_keys=True).encode()).hexdigest()[:8]
        for split in range(part.splits):
            jobs[cache / "promise" / f"{name}-{key}" / f"{split}.json"] = (part, split, cache)
        setups[name] = asdict(part) | setup
    write_parquet(file, run(work, jobs, processes), setups, SCHEMA)
