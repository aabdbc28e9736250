"""From the Parquet file of this folder, and nothing else, to the tables and the aims in RESULTS.md."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.report import FULL, Cell, Results, accuracy, folded, markdown, standard_error, with_error

PARQUET = Path(__file__).parent / "results.parquet"

RANDOM = "random"
BALANCED = "random, class-balanced"
GROUP_BALANCED = "random, group-balanced"
DROP = "DRoP"
DROP_HALF = "DRoP, temperature 0.5"
ROUNDS = "DRoP, temperature 0.5, 3 rounds"
BY_GROUP = "DRoP by group"
BY_GROUP_HALF = "DRoP by group, temperature 0.5"
OVER_MIXTURE = "DRoP over Mixture, temperature 0.5"
D2 = "D2"
D2_BALANCED = "D2, class-balanced"
D2_WITHIN = "D2 within DRoP quotas, temperature 0.5"

PAPERS = (DROP, BY_GROUP)
HALF = (DROP_HALF, BY_GROUP_HALF)
WORST_KEEPS = (0.5, 0.3)
AVERAGE_LOSS = 0.5
"""Points of average accuracy that temperature 0.5 may lose against random."""


def worst(row: dict[str, Any]) -> float:
    """The worst group, which is the worst class where there are no other groups."""
    return 100 * min(row["group_accuracies"])


def gap(row: dict[str, Any]) -> float:
    return 100 * (max(row["group_accuracies"]) - min(row["group_accuracies"]))


def text(file: Path = PARQUET) -> str:
    """Markdown of all tables, folded, and of the aims."""
    results = Results(file)
    tables = folded([table(results, *head) for head in results.heads])
    return "\n\n".join([tables, worst_aim(results), average_aim(results), balancing(results)]) + "\n"


def table(results: Results, network: str, data: str) -> str:
    """A row a method and keep."""
    full = (network, data, 1.0)
    cells = [full, *(cell for cell in results.cells if cell[:2] == (network, data))]
    head = ["keep", "method", "average", f"worst {kind(results, data)}", "gap"]
    rows = []
    for cell in cells:
        for method in results.methods(cell):
            figures = [with_error(results.values(cell, method, of)) for of in (accuracy, worst, gap)]
            rows.append([f"{cell[2]:.0%} ({results.mean(cell, method, 'kept'):,.0f})", method, *figures])
    seeds = len(results.seeds(full, FULL))
    title = f"**{data}**, {network}, {seeds} seeds; {worst_names(results, full)}"
    return "\n".join([title, "", *markdown(head, rows)])


def kind(results: Results, data: str) -> str:
    return "group" if setup(results, data)["groups"] else "class"


def setup(results: Results, data: str) -> dict[str, Any]:
    return next(part for part in results.about["setup"].values() if part["data"] == data)


def worst_names(results: Results, full: Cell) -> str:
    """Which group is the worst of a model that trained on all rows, and in how many seeds."""
    about = setup(results, full[1])
    names = about["groups"] or about["classes"]
    numbers = results.rows(full, FULL)
    counts = Counter(names[int(np.argmin(row["group_accuracies"]))] for row in numbers)
    counted = "; ".join(f"{name} in {count}" for name, count in counts.most_common())
    return f"worst with all rows: {counted}"


def worst_aim(results: Results) -> str:
    """DRoP's worst class against that of all rows."""

    def over_all_rows(cell: Cell, method: str) -> NDArray[np.float64]:
        return results.difference((cell, method), ((*cell[:2], 1.0), FULL), worst)

    cells = [cell for cell in results.cells if cell[2] in WORST_KEEPS]
    head = (
        f"**The worst class (of dominoes: group) at or above that of all rows**, at keep {named(WORST_KEEPS)}; points "
        "above it, paired over the seeds:"
    )
    return aim(results, head, cells, (*PAPERS, *HALF), over_all_rows, 0)


def average_aim(results: Results) -> str:
    """What temperature 0.5 costs."""

    def over_random(cell: Cell, method: str) -> NDArray[np.float64]:
        return results.gain(cell, method, RANDOM)

    head = (
        f"**The average at temperature 0.5 at most {AVERAGE_LOSS} points below random's**; points above it, paired "
        "over the seeds:"
    )
    return aim(results, head, results.cells, HALF, over_random, -AVERAGE_LOSS)


def aim(
    results: Results,
    head: str,
    cells: Sequence[Cell],
    methods: Sequence[str],
    points: Callable[[Cell, str], NDArray[np.float64]],
    wanted: float,
) -> str:
    """A row a cell and a column a method, with what it gains and whether that is at least what was wanted."""
    rows, met = [], {method: [] for method in methods}
    for cell in cells:
        row = [title(cell)]
        for method in methods:
            if method not in results.methods(cell):
                row.append("")
                continue
            gains = points(cell, method)
            met[method].append(bool(gains.mean() >= wanted))
            row.append(f"{with_error(gains, '+')}, {'met' if met[method][-1] else '**missed**'}")
        rows.append(row)
    met = {method: reached for method, reached in met.items() if reached}
    shown = [0, *(i for i, method in enumerate(methods, start=1) if method in met)]
    table = markdown(["cell", *met], [[row[i] for i in shown] for row in rows])
    lines = [f"- {method}: met in {sum(reached)} of {len(reached)} cells" for method, reached in met.items()]
    return "\n".join([head, "", *table, "", *lines])


def balancing(results: Results) -> str:
    """Every DRoP whose worst class is behind that of balanced random rows, by more than the standard error."""
    lines, compared, better = [], 0, 0
    for cell in results.cells:
        methods = results.methods(cell)
        drops = [method for method in methods if method.startswith(DROP)]
        for balanced in (BALANCED, GROUP_BALANCED):
            if balanced not in methods:
                continue
            gains = {drop: results.gain(cell, balanced, drop, worst) for drop in drops}
            ahead = [f"{drop} by {with_error(points)}" for drop, points in gains.items() if clearly(points)]
            compared, better = compared + len(gains), better + len(ahead)
            if ahead:
                lines.append(f"- {title(cell)}: {balanced} beats {'; '.join(ahead)}")
    head = (
        f"**Where balancing wins**: in {better} of {compared} comparisons balanced random rows have the better worst "
        "class (of dominoes: group) by more than the standard error of the paired difference, in points:"
    )
    return "\n".join([head, "", *lines]) if lines else head


def clearly(gains: NDArray[np.float64]) -> bool:
    """True where the mean is above 0 by more than its standard error."""
    return bool(gains.mean() > (standard_error(gains) if len(gains) > 1 else 0))


def title(cell: Cell) -> str:
    network, data, keep = cell
    return f"{data}, {network}, keep {keep:.0%}"


def named(keeps: Sequence[float]) -> str:
    return " and ".join(f"{keep:.0%}" for keep in keeps)
