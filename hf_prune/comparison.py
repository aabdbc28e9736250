"""Comparing pruning methods by held-out accuracy: train on the coresets of each, at several sizes and seeds."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from datasets import Dataset
from datasets.utils import tqdm
from numpy.typing import ArrayLike

from hf_prune.arguments import whole_number
from hf_prune.dataset import prune
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.files import json_digest, whole_file
from hf_prune.groups import Groups
from hf_prune.labels import label_groups
from hf_prune.plots import Panel, plot_panels
from hf_prune.recalls import count_recalls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FULL = "all rows"
"""Name of the runs on the unpruned dataset in a Comparison.

With as many optimiser steps as every coreset gets they are RS2 without replacement, too: each epoch of a coreset's
size takes new random rows until all were seen (Okanovic et al. 2023, arXiv 2305.18424).
"""

SHORTER = "all rows, keep x steps"
"""Name for runs on the unpruned dataset with the steps that a coreset takes in as many epochs: see `compare`."""

_FORMAT = "hf_prune.comparison/3"


@dataclass(frozen=True, eq=False)
class Run:
    """What one training leaves.

    Attributes:
        predictions: of the trained model on the test part: (m,) class positions, or (m, classes) logits.
        references: (m,) true class positions of the test part.
        signals: keyword arguments of `prune` that this run gives, such as dynamics= and recalls=.
    """

    predictions: ArrayLike
    references: ArrayLike
    signals: Mapping[str, Any] = field(default_factory=dict)


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
    """The results of `compare`, those on all rows first.

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


def compare(
    dataset: Dataset,
    methods: Mapping[str, Mapping[str, Any]],
    *,
    keep: Sequence[float | int],
    full: Mapping[int, Run],
    train: Callable[[Dataset, int], Run],
    unpruned: Mapping[str, Callable[[Dataset, int, float], Run]] | None = None,
    label_column: str | None = None,
) -> Comparison:
    """Held-out accuracy, average and of the worst class, of models trained on coresets.

    Every method prunes with the signals of the same full run, seed by seed. `train` decides what the comparison
    means: let it take as many optimiser steps as the full run whatever the size, which is what the table's first row
    says, and test on rows that neither training nor the signals used. All prunings are made before the first
    training, so a wrong argument costs no training.

    Args:
        dataset: the n training rows.
        methods: for each name in the table the arguments of `prune`, as in {"EL2N": {"method": "el2n"}}.
        keep: sizes, each a fraction or a count as in `prune`.
        full: by seed the run on all of `dataset`; its signals go to `prune`, its accuracy to the table's first row.
        train: (coreset, seed) -> Run, trains a new model on the coreset and predicts the test part.
        unpruned: for each further name in the table (dataset, seed, share) -> Run, which trains a new model on the
            whole dataset and is called with each size as a share of the rows. A `train` that takes share * steps when
            it is given a share serves both: unpruned={SHORTER: train}.
        label_column: as in `prune`.

    Cost: (methods + unpruned) x keep x seeds trainings.

    Raises:
        ArgumentError: what `prune` refuses, an empty argument, a size twice. ArgumentTypeError: something else than a
            Run in `full`, from `train` or from one of `unpruned`.

    >>> from datasets import Dataset
    >>> data = Dataset.from_dict({"label": [0, 0, 0, 1]})
    >>> def train(coreset, seed):  # always says the most frequent class of its training rows
    ...     return Run(predictions=[round(sum(coreset["label"]) / len(coreset))] * 4, references=[0, 0, 1, 1])
    >>> methods, full = {"balanced": {"method": "random", "quotas": "equal"}}, {0: train(data, 0)}
    >>> print(compare(data, methods, keep=[0.5], full=full, train=train).table())
    | method | keep 50% (2 rows) |
    | --- | --- |
    | all rows (4), as many steps (RS2) | 50.0 (0.0) |
    | balanced | 50.0 (0.0) |
    """
    unpruned = {} if unpruned is None else unpruned
    _check_arguments(methods, keep, full, unpruned)
    keep = [size.item() if isinstance(size, np.generic) else size for size in keep]
    labels = label_groups(dataset, label_column)
    results = [_result("full", run, FULL, 1.0, int(seed), len(dataset), labels) for seed, run in full.items()]
    coresets = {
        (seed, name, size): prune(
            dataset, keep=size, seed=seed, **{"label_column": label_column, **full[seed].signals, **methods[name]}
        )
        for seed, name, size in product(full, methods, keep)
    }
    jobs = list(product(full, [*unpruned, *methods], keep))
    with tqdm(jobs, "Training on coresets", unit="model") as progress:
        for seed, name, size in progress:
            progress.set_postfix_str(f"{name}, keep {size_text(size)}, seed {seed}")
            if name in unpruned:
                share = size if isinstance(size, float) else size / len(dataset)
                source, rows, run = "unpruned", dataset, unpruned[name](dataset, seed, share)
            else:
                rows = coresets[seed, name, size]
                source, run = "train", train(rows, seed)
            results.append(_result(source, run, name, size, int(seed), len(rows), labels))
    return Comparison(labels.names, tuple(results), tuple(unpruned))


def size_text(keep: float | int) -> str:
    """A size as text: `30%` for a fraction, `1,000` for a count."""
    return f"{100 * keep:g}%" if isinstance(keep, float) else f"{keep:,}"


def _check_arguments(methods: Any, keep: Any, full: Any, unpruned: Any) -> None:
    arguments = methods.values() if isinstance(methods, Mapping) else ()
    if not arguments or not all(isinstance(given, Mapping) and "method" in given for given in arguments):
        example = '{"EL2N": {"method": "el2n"}}'
        raise ArgumentError(f"`methods`: wanted the arguments of prune by name, as in {example}; got {methods}")
    if FULL in methods:
        raise ArgumentError(f"`methods`: {FULL!r} is the name of the runs on the whole dataset; take another")
    if taken := {"keep", "seed"}.intersection(*arguments):
        raise ArgumentError(f"`methods`: {sorted(taken)} are compare's own; leave them out")
    if not isinstance(keep, Sequence) or not keep or len(set(keep)) < len(keep):
        raise ArgumentError(f"`keep`: wanted sizes that differ, as in keep=[0.3, 0.1], got {keep!r}")
    if not full or not isinstance(full, Mapping):
        raise ArgumentError("`full`: wanted a run on all rows for each seed, as in full={0: train(dataset, 0)}")
    if not isinstance(unpruned, Mapping) or not all(map(callable, unpruned.values())):
        raise ArgumentTypeError(f"`unpruned`: wanted functions by name, as in {{SHORTER: train}}; got {unpruned!r}")
    if taken := {FULL, *methods}.intersection(unpruned):
        raise ArgumentError(f"`unpruned`: {sorted(taken)} are names of other rows of the table; take others")
    for seed in full:
        whole_number("full", seed, at_least=0)


def _result(source: str, run: Any, method: str, keep: float | int, seed: int, kept: int, labels: Groups) -> Result:
    if not isinstance(run, Run):
        raise ArgumentTypeError(f"`{source}`: wanted Run(predictions, references), got {type(run).__name__}")
    counted = count_recalls(run.predictions, run.references, len(labels.names), argument=source)
    assert counted.support is not None, "counted recalls know their counts"
    accuracy = np.nansum(counted.values * counted.support) / counted.support.sum()
    recalls = tuple(None if np.isnan(recall) else recall for recall in counted.values.tolist())
    return Result(method, keep, seed, kept, float(accuracy), recalls)
