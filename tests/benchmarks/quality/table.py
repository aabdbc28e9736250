"""From the Parquet file of this folder, and nothing else, to the tables and the aims in RESULTS.md."""

from pathlib import Path
from typing import Any

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
DROP = "DRoP"
D2_WITHIN = "D2 within DRoP's quotas"

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
    head = ["method", *(f"keep {cell[3]:.0%} ({results.mean(cell, methods[-1], 'kept'):,.0f})" for cell in cells)]
    name = f"{FULL} ({results.mean(full, FULL, 'kept'):,.0f})"
    rows = [[name, *[entry(results, full, FULL)] * len(cells)]]
    rows += [[method, *(entry(results, cell, method) for cell in cells)] for method in methods]
    labels = f"{noise:.0%} of the labels wrong" if noise else "labels as they are"
    cut = [results.mean(cells[0], method, "cut") for method in (AUTO,) if method in methods]
    held = f"; auto held back {cut[0]:.1%} of the rows" if cut else ""
    title = f"**{data}, {labels}**, {network}, {seeds} seeds{held}"
    return "\n".join([title, "", *markdown(head, rows)])


def entry(results: Results, cell: Cell, method: str) -> str:
    """Accuracy, in parentheses the worst class, and where labels are wrong their share of the rows trained on."""
    average = with_error(results.values(cell, method, accuracy))
    shown = f"{average} ({results.values(cell, method, worst_class).mean():.0f})"
    return f"{shown}, {results.values(cell, method, wrong).mean():.1f}% wrong" if cell[2] else shown


def wrong(row: dict[str, Any]) -> float:
    return 100 * row["mislabelled"]


def aims(results: Results) -> str:
    """What was asked of D2 with cutoff="auto", with every cell's numbers.

    The better of no cutoff and told is the one with the higher mean in the cell. In no cell is the budget so large
    that wrong labels would have to be kept.
    """
    cells = [cell for cell in results.cells if {NO_CUTOFF, TOLD, AUTO, BALANCED_AUTO} <= set(results.methods(cell))]
    names, rows, to_better, high, kept_wrong = [], [], [], [], []
    for cell in cells:
        network, data, noise, keep = cell
        names.append(f"{data}, {network}, {noise:.0%} wrong, keep {keep:.0%}")
        better = max((NO_CUTOFF, TOLD), key=lambda method: results.values(cell, method).mean())
        to_better.append(results.gain(cell, AUTO, better).mean())
        over, same_cutoff = (results.gain(cell, AUTO, random) for random in (BALANCED, BALANCED_AUTO))
        high.append(interval(same_cutoff)[1])
        kept_wrong.append(results.values(cell, AUTO, wrong).mean())
        at_worst = results.gain(cell, AUTO, BALANCED_AUTO, worst_class)
        shown = [f"{to_better[-1]:+.1f}", *map(with_interval, (over, same_cutoff, at_worst)), f"{kept_wrong[-1]:.1f}%"]
        rows.append([names[-1], *(shown if noise else [*shown[:-1], ""])])
    lowest, worst, most, median = np.argmin(to_better), np.argmin(high), np.argmax(kept_wrong), np.median(to_better)
    checks = [
        ("median over the better of no cutoff and told, wanted >= 0", median, median >= 0),
        (f"the lowest of these ({names[lowest]}), wanted >= -1.5", to_better[lowest], to_better[lowest] >= -1.5),
        (f"lowest upper end over {BALANCED_AUTO} ({names[worst]}), wanted >= 0", high[worst], high[worst] >= 0),
        (f"largest share of wrong labels kept ({names[most]}), wanted <= 5", kept_wrong[most], kept_wrong[most] <= 5),
    ]
    lines = [f"- {what}: {got:+.2f}, {'met' if reached else '**missed**'}" for what, got, reached in checks]
    head = f'Points of accuracy that "{AUTO}" gains, paired over the seeds, with 95% intervals:'
    columns = (
        "cell",
        "over the better of no cutoff and told",
        f"over {BALANCED}",
        f"over {BALANCED_AUTO}",
        "worst class over the same",
        "wrong labels kept",
    )
    return "\n".join([head, "", *markdown(columns, rows), "", *lines])


def with_interval(values: NDArray[np.float64]) -> str:
    low, high = interval(values)
    return f"{values.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Student's 95% interval of the mean."""
    if len(values) < 2:
        return -np.inf, np.inf
    half = float(student.ppf(0.975, len(values) - 1)) * standard_error(values)
    return float(values.mean()) - half, float(values.mean()) + half
