"""From the Parquet file of this folder, and nothing else, to the table of found label errors in RESULTS.md."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.report import Cell, Results, folded, markdown, standard_error, with_error

PARQUET = Path(__file__).parent / "results.parquet"

OURS = "hf_prune"
AUM = "AUM"
CLEANLAB = "cleanlab"
BOTH = "cleanlab, network and neighbours"
LINEAR = "cleanlab, logistic regression"
RIVALS = (CLEANLAB, BOTH, LINEAR)

NONE = "none"
RATERS = "one rater's label"
NOISES = (NONE, "5%", "20%", "20% to the next class", RATERS)
RANKS = (0.25, 0.5, 1.0, 2.0)
"""How many rows are looked at, in units of the rows whose label is wrong."""


class Rankings(Results):
    key = ("data", "noise")

    @property
    def cells(self) -> list[Cell]:
        return sorted(self._rows, key=lambda cell: (cell[0], NOISES.index(cell[1])))


def average_precision(row: dict[str, Any]) -> float:
    return 100 * row["average_precision"]


def found_precision(row: dict[str, Any]) -> float:
    return 100 * row["right"] / max(row["found"], 1)


def found_recall(row: dict[str, Any]) -> float:
    return 100 * row["right"] / row["wrong"]


def found_share(row: dict[str, Any]) -> float:
    return 100 * row["found"] / row["rows"]


def text(file: Path = PARQUET) -> str:
    results = Rankings(file)
    cells = [cell for cell in results.cells if cell[1] != NONE]
    parts = [compared(results, cells), clean(results), folded([table(results, cell) for cell in cells])]
    return "\n\n".join(parts) + "\n"


def compared(results: Rankings, cells: list[Cell]) -> str:
    """The average precision of every ranking, and by how much ours is ahead of cleanlab's."""
    methods = (OURS, AUM, *RIVALS)
    rows, lost = [], []
    for cell in cells:
        gains = {rival: results.gain(cell, OURS, rival, average_precision) for rival in RIVALS}
        precisions = {method: results.values(cell, method, average_precision) for method in methods}
        best = max(values.mean() for values in precisions.values())
        shown = [with_error(values) for values in precisions.values()]
        bold = [f"**{of}**" if v.mean() == best else of for of, v in zip(shown, precisions.values(), strict=True)]
        rows.append([*cell, f"{wrong_share(results, cell):.1f}%", *bold])
        lost += [
            f"{cell[0]}, {cell[1]}: {rival} by {with_error(-gain)}" for rival, gain in gains.items() if behind(gain)
        ]
    head = "**Average precision of the ranking, in %**, mean ± standard error over the seeds, the best bold:"
    lines = [head, "", *markdown(["data", "changed labels", "wrong", *methods], rows), ""]
    lines += [
        f"hf_prune's ranking is behind cleanlab's by more than the standard error in {len(lost)} of "
        f"{len(cells) * len(RIVALS)} comparisons{':' if lost else '.'}"
    ]
    return "\n".join([*lines, *([""] if lost else []), *(f"- {line}" for line in lost)])


def behind(gain: Any) -> bool:
    return bool(gain.mean() < -(standard_error(gain) if len(gain) > 1 else 0))


def wrong_share(results: Rankings, cell: Cell) -> float:
    return 100 * float(np.mean([row["wrong"] / row["rows"] for row in results.rows(cell, OURS)]))


def clean(results: Rankings) -> str:
    """What is found where nothing was changed."""
    cells = [cell for cell in results.cells if cell[1] == NONE]
    methods = (OURS, *RIVALS)
    rows = [[cell[0], *(with_error(results.values(cell, of, found_share)) for of in methods)] for cell in cells]
    head = "**Labels as they are**: the share of all rows that is called suspect, in %:"
    return "\n".join([head, "", *markdown(["data", *methods], rows)])


def table(results: Rankings, cell: Cell) -> str:
    """A row a method: precision by rank, and what it finds by itself."""
    ranks = [f"precision after {rank:g} N" for rank in RANKS[:-1]] + [f"recall after {RANKS[-1]:g} N"]
    rows = []
    for method in results.methods(cell):
        at = [with_error(results.values(cell, method, precision_at(i))) for i in range(len(RANKS) - 1)]
        at.append(with_error(RANKS[-1] * results.values(cell, method, precision_at(len(RANKS) - 1))))
        measures = (found_share, found_precision, found_recall)
        none = results.rows(cell, method)[0]["found"] is None
        found = [""] * 3 if none else [with_error(results.values(cell, method, of)) for of in measures]
        rows.append([method, *at, *found])
    head = ["method", *ranks, "found", "precision", "recall"]
    seeds = len(results.seeds(cell, OURS))
    title = (
        f"**{cell[0]}**, {cell[1]}: N = {wrong_share(results, cell):.1f}% of the labels are wrong, {seeds} seeds, in %"
    )
    return "\n".join([title, "", *markdown(head, rows)])


def precision_at(rank: int) -> Any:
    return lambda row: 100 * row["precision"][rank]
