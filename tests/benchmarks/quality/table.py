"""From the Parquet file of this folder, and nothing else, to the tables and the aims in RESULTS.md."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from tests.benchmarks import report
from tests.benchmarks.report import FULL, accuracy, folded, markdown, standard_error, with_error, worst_class

PARQUET = Path(__file__).parent / "results.parquet"

BALANCED = "random, class-balanced"
BALANCED_AUTO = "random, class-balanced, cutoff auto"
NO_CUTOFF = "D2, no cutoff"
TOLD = "D2, cutoff told the noise"
AUTO = "D2, cutoff auto"

Cell = tuple[str, str, float, float]
"""Network, data, noise and keep."""


class Results(report.Results):
    key = ("network", "data", "noise", "keep")


def text(file: Path = PARQUET) -> str:
    """Markdown of all tables, folded, and of the aims."""
    results = Results(file)
    return folded([table(results, *head) for head in results.heads]) + "\n\n" + aims(results) + "\n"


def table(results: Results, network: str, data: str, noise: float) -> str:
    """A row a method and a column a keep."""
    cells = [cell for cell in results.cells if cell[:3] == (network, data, noise)]
    full = (network, data, noise, 1.0)
    methods, seeds = results.methods(cells[0]), len(results.seeds(full, FULL))
    head = ["method", *(f"keep {cell[3]:.0%} ({results.mean(cell, methods[0], 'kept'):,.0f})" for cell in cells)]
    name = f"{FULL} ({results.mean(full, FULL, 'kept'):,.0f})"
    rows = [[name, *[entry(results, full, FULL)] * len(cells)]]
    rows += [[method, *(entry(results, cell, method) for cell in cells)] for method in methods]
    labels = f"{noise:.0%} of the labels wrong" if noise else "labels as they are"
    cut = [results.mean(cells[0], method, "cut") for method in (AUTO,) if method in methods]
    held = f"; auto held back {cut[0]:.1%} of the rows" if cut else ""
    title = f"**{data}, {labels}**, {network}, {seeds} seeds{held}"
    return "\n".join([title, "", *markdown(head, rows)])


def entry(results: Results, cell: Cell, method: str) -> str:
    average = with_error(results.values(cell, method, accuracy))
    return f"{average} ({results.values(cell, method, worst_class).mean():.0f})"


def aims(results: Results) -> str:
    """What was asked of cutoff="auto", with every cell's numbers.

    The better of no cutoff and told is the one with the higher mean in the cell.
    """
    names, to_better, over_random = [], [], []
    for cell in results.cells:
        if {NO_CUTOFF, TOLD, AUTO, BALANCED} <= set(results.methods(cell)):
            better = max((NO_CUTOFF, TOLD), key=lambda method: results.values(cell, method).mean())
            network, data, noise, keep = cell
            names.append(f"{data}, {network}, {noise:.0%} wrong, keep {keep:.0%}")
            to_better.append(results.gain(cell, AUTO, better).mean())
            over_random.append(results.gain(cell, AUTO, BALANCED))
    low, high = np.transpose([interval(gains) for gains in over_random])
    columns, rows = ("cell", "over the better of no cutoff and told", f"over {BALANCED} (95% interval)"), []
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
    head = f'Points of accuracy that "{AUTO}" gains, paired over the seeds:'
    return "\n".join([head, "", *markdown(columns, rows), "", *lines])


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Student's 95% interval of the mean."""
    if len(values) < 2:
        return -np.inf, np.inf
    half = float(student.ppf(0.975, len(values) - 1)) * standard_error(values)
    return float(values.mean()) - half, float(values.mean()) + half
