"""From the Parquet file of quality.py, and nothing else, to the tables and the aims in the README.

python tests/benchmarks/quality_table.py                    # prints
python tests/benchmarks/quality_table.py --write            # replaces the README's part
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import t as student

PARQUET = Path(__file__).parent / "results" / "d2_quality.parquet"
README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- quality table: begin -->", "<!-- quality table: end -->"

FULL = "all rows"
BALANCED = "random, class-balanced"
BALANCED_AUTO = "random, class-balanced, cutoff auto"
NO_CUTOFF = "D2, no cutoff"
TOLD = "D2, cutoff told the noise"
AUTO = "D2, cutoff auto"

Cell = tuple[str, str, float, float]
"""Network, data, noise and keep."""


class Results:
    """What a Parquet file of write_parquet holds, by cell and method; every array is in the order of its seeds."""

    def __init__(self, file: Path) -> None:
        table = pq.read_table(file)
        self.about = json.loads(table.schema.metadata[b"hf_prune"])
        self._rows: dict[Cell, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for row in sorted(table.to_pylist(), key=lambda row: row["seed"]):
            cell = (row["network"], row["data"], row["noise"], row["keep"])
            self._rows[cell][row["method"]].append(row)

    @property
    def cells(self) -> list[Cell]:
        """Without those of all rows, by network, data and noise, the largest keep first."""
        found = [cell for cell, by_method in self._rows.items() if FULL not in by_method]
        return sorted(found, key=lambda cell: (*cell[:3], -cell[3]))

    def methods(self, cell: Cell) -> list[str]:
        return list(self._rows[cell])

    def seeds(self, cell: Cell, method: str) -> list[int]:
        return [row["seed"] for row in self._rows[cell][method]]

    def accuracy(self, cell: Cell, method: str) -> NDArray[np.float64]:
        """(seeds,) in percent."""
        return np.array([100 * row["accuracy"] for row in self._rows[cell][method]])

    def worst_class(self, cell: Cell, method: str) -> NDArray[np.float64]:
        """(seeds,) lowest recall of each model, in percent."""
        return np.array([100 * min(row["recalls"]) for row in self._rows[cell][method]])

    def mean(self, cell: Cell, method: str, column: str) -> float:
        return float(np.mean([row[column] for row in self._rows[cell][method]]))

    def gain(self, cell: Cell, method: str, over: str) -> NDArray[np.float64]:
        """(seeds,) points of accuracy that `method` is better than `over`, seed by seed."""
        if self.seeds(cell, method) != self.seeds(cell, over):
            raise ValueError(f"{method!r} and {over!r} have other seeds in {cell}")
        return self.accuracy(cell, method) - self.accuracy(cell, over)


def text(file: Path = PARQUET) -> str:
    """Markdown of all tables, folded, and of the aims."""
    results = Results(file)
    heads = list(dict.fromkeys(cell[:3] for cell in results.cells))
    tables = [table(results, *head) for head in heads]
    return "\n\n".join(["<details>\n<summary>All tables</summary>", *tables, "</details>", aims(results)]) + "\n"


def table(results: Results, network: str, data: str, noise: float) -> str:
    """A row a method and a column a keep."""
    cells = [cell for cell in results.cells if cell[:3] == (network, data, noise)]
    full = (network, data, noise, 1.0)
    methods, seeds = results.methods(cells[0]), len(results.seeds(full, FULL))
    head = ["method", *(f"keep {cell[3]:.0%} ({results.mean(cell, methods[0], 'kept'):,.0f})" for cell in cells)]
    name = f"{FULL} ({results.mean(full, FULL, 'kept'):,.0f})"
    rows = [head, ["---"] * len(head), [name, *[entry(results, full, FULL)] * len(cells)]]
    rows += [[method, *(entry(results, cell, method) for cell in cells)] for method in methods]
    labels = f"{noise:.0%} of the labels wrong" if noise else "labels as they are"
    cut = [results.mean(cells[0], method, "cut") for method in (AUTO,) if method in methods]
    held = f"; auto held back {cut[0]:.1%} of the rows" if cut else ""
    title = f"**{data}, {labels}**, {network}, {seeds} seeds{held}"
    return "\n".join([title, "", *(f"| {' | '.join(row)} |" for row in rows)])


def entry(results: Results, cell: Cell, method: str) -> str:
    accuracy = results.accuracy(cell, method)
    error = f" ± {standard_error(accuracy):.1f}" if len(accuracy) > 1 else ""
    return f"{accuracy.mean():.1f}{error} ({results.worst_class(cell, method).mean():.0f})"


def standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def aims(results: Results) -> str:
    """What was asked of cutoff="auto", with every cell's numbers.

    The better of no cutoff and told is the one with the higher mean in the cell.
    """
    names, to_better, over_random = [], [], []
    for cell in results.cells:
        if {NO_CUTOFF, TOLD, AUTO, BALANCED} <= set(results.methods(cell)):
            better = max((NO_CUTOFF, TOLD), key=lambda method: results.accuracy(cell, method).mean())
            network, data, noise, keep = cell
            names.append(f"{data}, {network}, {noise:.0%} wrong, keep {keep:.0%}")
            to_better.append(results.gain(cell, AUTO, better).mean())
            over_random.append(results.gain(cell, AUTO, BALANCED))
    low, high = np.transpose([interval(gains) for gains in over_random])
    rows = [("cell", "over the better of no cutoff and told", f"over {BALANCED} (95% interval)"), ("---",) * 3]
    for i, name in enumerate(names):
        gain = f"{over_random[i].mean():+.1f} ({low[i]:+.1f} to {high[i]:+.1f})"
        rows.append((name, f"{to_better[i]:+.1f}", gain))
    lowest, worst, median = np.argmin(to_better), np.argmin(high), np.median(to_better)
    checks = [
        ("median over the better of no cutoff and told, wanted >= -0.3", median, -0.3),
        (f"the lowest of these ({names[lowest]}), wanted >= -1.5", to_better[lowest], -1.5),
        (f"lowest upper end over {BALANCED} ({names[worst]}), wanted >= -0.5", high[worst], -0.5),
    ]
    lines = [f"- {what}: {got:+.2f}, {'met' if got >= wanted else '**missed**'}" for what, got, wanted in checks]
    table = [f"| {' | '.join(row)} |" for row in rows]
    head = f'Points of accuracy that "{AUTO}" gains, paired over the seeds:'
    return "\n".join([head, "", *table, "", *lines])


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Student's 95% interval of the mean."""
    if len(values) < 2:
        return -np.inf, np.inf
    half = float(student.ppf(0.975, len(values) - 1)) * standard_error(values)
    return float(values.mean()) - half, float(values.mean()) + half


def with_table(readme: str, part: str) -> str:
    """The README with `part` between its markers."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{part}{END}{after}"


def write_readme(file: Path = PARQUET) -> None:
    README.write_text(with_table(README.read_text(encoding="utf-8"), text(file)), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Print the quality table.")
    parser.add_argument("--write", action="store_true", help="write it into the README")
    given = parser.parse_args(argv)
    if given.write:
        write_readme()
    else:
        print(text())


if __name__ == "__main__":
    main()
