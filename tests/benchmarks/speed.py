"""Time and memory of D2: `python -m tests.benchmarks.speed [CASE ...] [--scale S] [--output FILE]`.

Runs the named cases, or all, prints a table, and with --output keeps every repetition in a JSON file, which is written
after each case. Cases of the same scale and machine that the file holds already are kept. `make bench` runs all.
"""

import argparse
import datetime
import json
import time
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars

from tests.benchmarks.cases import CASES
from tests.benchmarks.harness import machine
from tests.benchmarks.table import table


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.speed", description=__doc__)
    parser.add_argument("case", nargs="*", help=f"some of {', '.join(CASES)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full sizes, for tries")
    parser.add_argument("--repeats", type=int, help="rounds of each case, in place of its own number")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.case) - set(CASES))
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")

    record: dict[str, Any] = {
        "command": "python -m tests.benchmarks.speed",
        "scale": options.scale,
        "machine": machine(),
        "cases": {},
    }
    if options.output and options.output.exists():
        before = json.loads(options.output.read_text(encoding="utf-8"))
        if all(before[key] == record[key] for key in ("scale", "machine")):
            record["cases"] = before["cases"]
    for name in options.case or CASES:
        print(f"{name} ...", end=" ", flush=True)
        start = time.perf_counter()
        found = CASES[name].run(options.scale, options.repeats or CASES[name].repeats)
        took = time.perf_counter() - start
        print(f"{took:.0f} s", flush=True)
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        record["cases"][name] = found | {"date": today, "case_seconds": round(took, 1)}
        record["cases"] = {name: record["cases"][name] for name in CASES if name in record["cases"]}
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(record)}")
    return record


if __name__ == "__main__":
    disable_progress_bars()
    main()
