"""Time and memory of D2 and of DRoP's quotas, beside other programs.

    python -m tests.benchmarks speed                            # everything; `make bench` does the same
    python -m tests.benchmarks speed selection --scale 0.1      # one case at a tenth of its size, printed and not kept

At full size the results, with every repetition, go to results.json in this folder, case by case. A single case joins
the others there where it ran on the same machine, and is printed and not kept elsewhere.
"""

import argparse
import datetime
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars

from tests.benchmarks import tables
from tests.benchmarks.harness import machine
from tests.benchmarks.speed.cases import CASES
from tests.benchmarks.speed.table import RESULTS, table


def main(argv: Sequence[str] | None = None, file: Path = RESULTS) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks speed", description=__doc__)
    parser.add_argument("case", nargs="*", help=f"some of {', '.join(CASES)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full sizes, for tries")
    parser.add_argument("--repeats", type=int, help="rounds of each case, in place of its own number, for tries")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.case) - set(CASES))
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")

    disable_progress_bars()
    record: dict[str, Any] = {"scale": options.scale, "machine": machine(), "cases": {}}
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else record
    same_machine = before["machine"] == record["machine"]
    kept = options.scale == 1 and not options.repeats and (same_machine or not options.case)
    if kept and same_machine:
        record["cases"] = before["cases"]
    for name in options.case or CASES:
        print(f"{name} ...", end=" ", flush=True)
        start = time.perf_counter()
        measured = CASES[name].run(options.scale, options.repeats or CASES[name].repeats)
        took = time.perf_counter() - start
        print(f"{took:.0f} s", flush=True)
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        record["cases"][name] = measured | {"date": today, "case_seconds": round(took, 1)}
        record["cases"] = {name: record["cases"][name] for name in CASES if name in record["cases"]}
        if kept:
            file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(record)}")
    if kept:
        tables.main()
    return record
