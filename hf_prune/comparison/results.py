"""What a comparison of pruning methods gives: a result for each trained model, their table and their picture."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from datasets import Dataset

from hf_prune.errors import ArgumentError
from hf_prune.files import json_digest, whole_file
from hf_prune.plots import Panel, plot_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FULL = "all rows"
"""Name of the runs on the unpruned dataset in a Comparison.

With as many optimiser steps as every coreset gets they are RS2 without replacement, too: each epoch of a coreset's
size takes new random rows until all were seen (Okanovic et al. 2023, arXiv 2305.18424).
"""

SHORTER = "all rows, keep x steps"
"""Name for runs on the unpruned dataset with the steps that a coreset takes in as many epochs."""

_FORMAT = "hf_prune.comparison/3"


@dataclass(frozen=True)
class Result:
    """One trained model on the test part.

    Attributes:
        method: its name in the comparison.
        keep: as the user gave it; 1.0 for all rows.
        seed: of the pruning and of the training.
        kept: rows that were trained on.
        accuracy: share of the test part that is right.
        recalls: recall of each class; None for a class that the test part lacks.
    """

    method: str
    keep: float | int
    seed: int
    kept: int
    accuracy: float
    recalls: tuple[float | None, ...]

    @property
    def worst_class(self) -> float:
        """The lowest recall."""
        return min(recall for recall in self.recalls if recall is not None)


class Spread(NamedTuple):
    """Mean and sample standard deviation over seeds (NaN for a single seed)."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"))

    def __str__(self) -> str:
        """The two in percent, as in `91.2 ± 0.4`."""
        return f"{self.mean:.1%}".rstrip("%") + ("" if np.isnan(self.sd) else f" ± {100 * self.sd:.1f}")


@dataclass(frozen=True)
class Comparison:
    """What `compare` gives: the results of all models, those on all rows first.

    Attributes:
        classes: name of each class, in the order of every result's recalls.
        results: one for each trained model.
        unpruned: the methods among them that train on all rows, once for each size.
    """

    classes: tuple[str, ...]
    results: tuple[Result, ...]
    unpruned: tuple[str, ...] = ()

    def __repr__(self) -> str:
        compared = f"{list(self.methods)} at keep={list(self.keeps)}"
        return (
            f"Comparison of {compared}: {len(self.results)} models, {len(self.classes)} classes; see table(), plot()"
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """What is compared at each size: the unpruned, then the methods that prune; without FULL."""
        names = dict.fromkeys(result.method for result in self.results if result.method != FULL)
        return (*self.unpruned, *(name for name in names if name not in self.unpruned))

    @property
    def keeps(self) -> tuple[float | int, ...]:
        """The sizes, as they were given."""
        return tuple(dict.fromkeys(result.keep for result in self.results if result.method != FULL))

    def of(self, method: str, keep: float | int = 1.0) -> tuple[Result, ...]:
        """The results of one method at one size, one for each seed; `of(FULL)` are those on all rows.

        Raises:
            ArgumentError: there are none.
        """
        results = tuple(result for result in self.results if (result.method, result.keep) == (method, keep))
        if not results:
            raise ArgumentError(
                f"no results of {method!r} at keep={keep!r}; there are {list(self.methods)} at {list(self.keeps)}"
            )
        return results

    def accuracy(self, method: str, keep: float | int = 1.0) -> Spread:
        """Average accuracy on the test part, over seeds."""
        return Spread.of([result.accuracy for result in self.of(method, keep)])

    def worst_class(self, method: str, keep: float | int = 1.0) -> Spread:
        """The lowest class recall of each seed's model, over seeds; each seed may have another worst class.

        The minimum of several noisy recalls lies below the smallest true one, the further the smaller the test part:
        compare it between methods on one test part, not between test parts.
        """
        return Spread.of([result.worst_class for result in self.of(method, keep)])

    def table(self) -> str:
        """Markdown: a row for each method, for each size `accuracy ± sd (worst class ± sd)` in percent."""

        def cell(method: str, keep: float | int = 1.0) -> str:
            return f"{self.accuracy(method, keep)} ({self.worst_class(method, keep)})"

        rows = [
            ["method", *(f"keep {size_text(keep)} ({n:,} rows)" for keep, n in self._sizes().items())],
            ["---"] * (1 + len(self.keeps)),
            [f"{FULL} ({self.of(FULL)[0].kept:,}), as many steps (RS2)"] + [cell(FULL)] * len(self.keeps),
            *([method, *(cell(method, keep) for keep in self.keeps)] for method in self.methods),
        ]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def to_dataset(self) -> Dataset:
        """A table with a row for each trained model.

        Columns: `method`; `keep`, the size as a share of all rows; `seed`; `kept`, the rows that were trained on;
        `accuracy` and `worst_class`; `recalls`, in the order of `classes`, null for a class without test rows.

        >>> results = [Result(FULL, 1.0, 0, 100, 0.9, (0.8, 1.0)), Result("random", 30, 0, 30, 0.7, (0.5, 0.9))]
        >>> Comparison(("cat", "dog"), tuple(results)).to_dataset()["keep"]
        Column([1.0, 0.3])
        """
        n = self.of(FULL)[0].kept
        rows = [
            asdict(result)
            | {"keep": result.keep if isinstance(result.keep, float) else result.keep / n}
            | {"worst_class": result.worst_class, "recalls": list(result.recalls)}
            for result in self.results
        ]
        return Dataset.from_list(rows)

    def plot(self) -> "Figure":
        """Average accuracy on the left and that of the worst class on the right, against the size of the coreset.

        Raises:
            MissingExtraError: matplotlib is not installed.

        >>> results = [Result(FULL, 1.0, 0, 100, 0.9, (0.8, 1.0)), Result("random", 0.3, 0, 30, 0.7, (0.5, 0.9))]
        >>> [axes.get_title() for axes in Comparison(("cat", "dog"), tuple(results)).plot().axes]
        ['Average', 'Worst class']
        """
        kept = self._sizes()
        keeps = sorted(kept, key=kept.__getitem__)
        panels = [
            Panel(title, measure, of(FULL), {method: [of(method, keep) for keep in keeps] for method in self.methods})
            for title, measure, of in (
                ("Average", "test accuracy in %", self.accuracy),
                ("Worst class", "lowest class recall in %", self.worst_class),
            )
        ]
        return plot_panels(panels, [f"{size_text(keep)}\n{kept[keep]:,} rows" for keep in keeps], FULL)

    def _sizes(self) -> dict[float | int, int]:
        """Rows of the coresets of each size."""
        return {keep: self.of(self.methods[-1], keep)[0].kept for keep in self.keeps}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write every result to a JSON file, whole or not at all, replacing one there."""
        values = json.loads(json.dumps(asdict(self) | {"format": _FORMAT}))
        with whole_file(path, suggested="comparison.json") as file:
            file.write_text(json.dumps(values | {"digest": json_digest(values)}, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            ArgumentError: no such file, not one of ours, or a damaged one.
        """
        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
            if saved["format"] != _FORMAT:
                raise ValueError(f"its format is {saved['format']!r}, wanted {_FORMAT!r}")
            if saved["digest"] != json_digest(saved):
                raise ValueError("it is damaged, its values aren't those that were written")
            results = (Result(**row | {"recalls": tuple(row["recalls"])}) for row in saved["results"])
            return cls(tuple(saved["classes"]), tuple(results), tuple(saved["unpruned"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArgumentError(f"`path`: {os.fspath(path)!r} is no file of Comparison.save: {error}") from error


def size_text(keep: float | int) -> str:
    """A size as text: `30%` for a fraction, `1,000` for a count."""
    return f"{100 * keep:g}%" if isinstance(keep, float) else f"{keep:,}"
