"""Results of trained models, read from their Parquet file, and how their numbers are written."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hf_prune.comparison.results import SHORTER

FULL = "all rows"
"""The method of the models that trained on all rows, for as many steps as those on coresets."""

FEWER = SHORTER
"""The method of the models that trained on all rows, for a coreset's share of these steps."""

Cell = tuple[Any, ...]
"""The values of a table's key columns, of which the last is keep."""

Measure = Callable[[dict[str, Any]], float]
"""A number in percent from a row of a Parquet file."""


def accuracy(row: dict[str, Any]) -> float:
    return 100 * row["accuracy"]


def worst_class(row: dict[str, Any]) -> float:
    return 100 * min(row["recalls"])


class Results:
    """What a Parquet file of write_parquet holds, by cell and method; every array is in the order of its seeds."""

    key: tuple[str, ...] = ("network", "data", "keep")

    def __init__(self, file: Path) -> None:
        table = pq.read_table(file)
        self.about = json.loads(table.schema.metadata[b"hf_prune"])
        self._rows: dict[Cell, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for row in sorted(table.to_pylist(), key=lambda row: row["seed"]):
            self._rows[tuple(row[column] for column in self.key)][row["method"]].append(row)

    @property
    def cells(self) -> list[Cell]:
        """All cells but those of all rows, sorted by their key, the largest keep first."""
        cells = [cell for cell, by_method in self._rows.items() if FULL not in by_method]
        return sorted(cells, key=lambda cell: (*cell[:-1], -cell[-1]))

    @property
    def heads(self) -> list[Cell]:
        """The cells without keep, each once."""
        return list(dict.fromkeys(cell[:-1] for cell in self.cells))

    def methods(self, cell: Cell) -> list[str]:
        return list(self._rows[cell])

    def rows(self, cell: Cell, method: str) -> list[dict[str, Any]]:
        return self._rows[cell][method]

    def seeds(self, cell: Cell, method: str) -> list[int]:
        return [row["seed"] for row in self._rows[cell][method]]

    def values(self, cell: Cell, method: str, of: Measure = accuracy) -> NDArray[np.float64]:
        """(seeds,) in percent."""
        return np.array([of(row) for row in self._rows[cell][method]])

    def mean(self, cell: Cell, method: str, column: str) -> float:
        return float(np.mean([row[column] for row in self._rows[cell][method]]))

    def gain(self, cell: Cell, method: str, over: str, of: Measure = accuracy) -> NDArray[np.float64]:
        """(seeds,) points that `method` is better than `over`, seed by seed."""
        return self.difference((cell, method), (cell, over), of)

    def difference(self, one: tuple[Cell, str], other: tuple[Cell, str], of: Measure) -> NDArray[np.float64]:
        """(seeds,) points between two cells' methods, seed by seed."""
        if self.seeds(*one) != self.seeds(*other):
            raise ValueError(f"{one[1]!r} and {other[1]!r} have other seeds in {one[0]}")
        return self.values(*one, of) - self.values(*other, of)


def standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def with_error(values: NDArray[np.float64], sign: str = "") -> str:
    """Mean ± standard error, where there are several; with `sign` "+" as a difference."""
    error = f" ± {standard_error(values):.1f}" if len(values) > 1 else ""
    return f"{values.mean():{sign}.1f}{error}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def folded(tables: Sequence[str]) -> str:
    return "\n\n".join(["<details>\n<summary>All tables</summary>", *tables, "</details>"])
