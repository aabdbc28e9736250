"""A table's command: its parts as jobs that may be interrupted, and what becomes of their results."""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from tests.benchmarks import tables
from tests.benchmarks.cells import write_parquet
from tests.benchmarks.jobs import PROCESSES, Work, run
from tests.benchmarks.real_data import CACHE, load


class Part(Protocol):
    """Cells that are run together; a frozen dataclass."""

    data: str
    seeds: int

    def setup(self) -> dict[str, Any]:
        """What the results of one seed depend on, as JSON values; with another setup no finished job is used."""

    def cases(self) -> Iterable[tuple[Any, ...]]:
        """What `work` is given for each job, between the part and the cache."""


def run_parts(
    table: str, parts: Mapping[str, Part], work: Work, schema: pa.Schema, cache: Path, processes: int, file: Path
) -> None:
    """Run what is missing, and write everything to `file`.

    Args:
        table: name of the folder of finished jobs.
        work: from (part, *case, cache) to rows.
    """
    jobs, setups = {}, {}
    for name, part in parts.items():
        data = load(part.data, cache)  # fetched once, before several processes want it
        setup = json.dumps(part.setup(), sort_keys=True)
        folder = cache / table / f"{name}-{hashlib.sha256(setup.encode()).hexdigest()[:8]}"
        for case in part.cases():
            jobs[folder / f"{'-'.join(str(value) for value in case)}.json"] = (part, *case, cache)
        setups[name] = part.setup() | {"seeds": part.seeds, "classes": data.classes, "groups": data.group_names}
    write_parquet(file, run(work, jobs, processes), setups, schema)


def main(
    name: str,
    parts: Mapping[str, Part],
    run_parts: Callable[[Mapping[str, Part], Path, int, Path], None],
    parquet: Path,
    text: Callable[[Path], str],
    argv: Sequence[str] | None = None,
) -> None:
    """The command line.

    Args:
        name: of the benchmark.
        parts: all of them; only with all are results and RESULTS.md written.
        run_parts: from (parts, cache, processes, file) to a file.
        parquet: where the results go.
        text: the part of RESULTS.md, from such a file.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {name}", description="Run what is missing.")
    parser.add_argument("--only", nargs="+", choices=parts, help="these parts; the result is printed and not kept")
    parser.add_argument("--seeds", type=int, help="fewer seeds; the result is printed and not kept")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of data and finished jobs")
    given = parser.parse_args(argv)
    wanted = {chosen: parts[chosen] for chosen in given.only or parts}
    if given.seeds:
        wanted = {chosen: replace(part, seeds=min(given.seeds, part.seeds)) for chosen, part in wanted.items()}
    complete = wanted == parts
    file = parquet if complete else given.cache / "try.parquet"
    try:
        run_parts(wanted, given.cache, given.processes, file)
    except KeyboardInterrupt:
        sys.exit("\nStopped; the same line goes on from here.")
    print(text(file))
    if complete:
        tables.main()
