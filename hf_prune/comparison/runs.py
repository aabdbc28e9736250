"""Training on the coresets of each method, at several sizes and seeds, by functions that train one model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from datasets import Dataset
from datasets.utils import tqdm
from numpy.typing import ArrayLike

from hf_prune.arguments import whole_number
from hf_prune.budget import resolve_keep
from hf_prune.comparison.results import FULL, Comparison, Result, size_text
from hf_prune.dataset import prune
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups
from hf_prune.labels import label_groups
from hf_prune.recalls import count_recalls
from hf_prune.selection.live import live_selection, selection_of
from hf_prune.selection.selection import Selection

Methods: TypeAlias = Mapping[str, Mapping[str, Any]]
"""For each name in the table the arguments of `prune`, as in {"EL2N": {"method": "el2n"}}."""

Sizes: TypeAlias = Sequence[float | int]


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


def compare_runs(
    dataset: Dataset,
    methods: Methods,
    *,
    keep: Sizes,
    full: Mapping[int, Run],
    train: Callable[[Dataset, int], Run],
    unpruned: Mapping[str, Callable[[Dataset, int, float], Run]] | None = None,
    label_column: str | None = None,
) -> Comparison:
    """Held-out accuracy, average and of the worst class, of models trained on coresets of runs that were made.

    `hf_prune.compare` makes the parts, the runs and the signals itself; this is for recipes with parts, networks and
    signals of their own. Every method prunes with the signals of the same full run, seed by seed. `train` decides
    what the comparison means: let it take as many optimiser steps as the full run whatever the size, which is what
    the table's first row says, and test on rows that neither training nor the signals used. All prunings are made
    before the first training, so a wrong argument costs no training.

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
    >>> print(compare_runs(data, methods, keep=[0.5], full=full, train=train).table())
    | method | keep 50% (2 rows) |
    | --- | --- |
    | all rows (4), as many steps (RS2) | 50.0 (0.0) |
    | balanced | 50.0 (0.0) |
    """
    unpruned = {} if unpruned is None else unpruned
    check_methods(methods)
    keep = plain_sizes(keep, len(dataset))
    _check_runs(methods, full, unpruned)
    labels = label_groups(dataset, label_column)
    results = [result_of("full", run, FULL, 1.0, int(seed), len(dataset), labels) for seed, run in full.items()]
    coresets = {
        seed: prune_all(dataset, methods, keep, seed, {"label_column": label_column, **full[seed].signals})
        for seed in full
    }
    with tqdm(
        total=len(full) * len(keep) * (len(methods) + len(unpruned)), desc="Training on coresets", unit="model"
    ) as bar:
        for seed in full:
            results += train_all(dataset, labels, coresets[seed], keep, int(seed), train, unpruned, bar)
    return Comparison(labels.names, tuple(results), tuple(unpruned))


def prune_all(
    dataset: Dataset, methods: Methods, keep: Sizes, seed: int, signals: Mapping[str, Any]
) -> dict[tuple[str, float | int], Selection]:
    """The selection of each method at each size, by both.

    Where a method has a picking order it runs once, at the largest size, of which the others are prefixes.

    Args:
        signals: keyword arguments of `prune`; a method's own come first.
    """
    largest = max(keep, key=lambda size: resolve_keep(size, len(dataset)))
    selections: dict[tuple[str, float | int], Selection] = {}
    for name, options in methods.items():
        given = {**signals, **options, "seed": seed}
        whole = selection_of(prune(dataset, keep=largest, **given))
        for size in keep:
            if whole.rank is not None and whole.at_least <= resolve_keep(size, len(dataset)):
                selections[name, size] = whole.at(keep=size)
            else:
                selections[name, size] = selection_of(prune(dataset, keep=size, **given))
    return selections


def train_all(
    dataset: Dataset,
    labels: Groups,
    selections: Mapping[tuple[str, float | int], Selection],
    keep: Sizes,
    seed: int,
    train: Callable[[Dataset, int], Run],
    unpruned: Mapping[str, Callable[[Dataset, int, float], Run]],
    progress: Any,
) -> list[Result]:
    """The results of one seed: those of `unpruned` first, then of each selection.

    Args:
        progress: a bar of tqdm, which goes on by one for each model.
    """
    results = []
    jobs = [*product(unpruned, keep), *selections]
    for name, size in jobs:
        progress.set_postfix_str(f"{name}, keep {size_text(size)}, seed {seed}")
        if name in unpruned:
            source, rows, run = "unpruned", dataset, unpruned[name](dataset, seed, share_of(size, len(dataset)))
        else:
            rows = rows_of(dataset, selections[name, size])
            source, run = "train", train(rows, seed)
        results.append(result_of(source, run, name, size, seed, len(rows), labels))
        progress.update()
    return results


def rows_of(dataset: Dataset, selection: Selection) -> Dataset:
    """The rows that a selection of `dataset` keeps, with the selection; its positions may be in an earlier source."""
    earlier = live_selection(dataset)
    rows = selection.indices if earlier is None else np.searchsorted(earlier.indices, selection.indices)
    return selection.attach(dataset.select(rows))


def share_of(keep: float | int, n: int) -> float:
    """A size as a share of n rows."""
    return keep if isinstance(keep, float) else keep / n


def check_methods(methods: Any) -> None:
    """Refuse what is not the arguments of `prune` by name, less those that the comparison gives itself."""
    arguments = methods.values() if isinstance(methods, Mapping) else ()
    if not arguments or not all(isinstance(given, Mapping) and "method" in given for given in arguments):
        example = '{"EL2N": {"method": "el2n"}}'
        raise ArgumentError(f"`methods`: wanted the arguments of prune by name, as in {example}; got {methods}")
    if FULL in methods:
        raise ArgumentError(f"`methods`: {FULL!r} is the name of the runs on the whole dataset; take another")
    if taken := {"keep", "seed"}.intersection(*arguments):
        raise ArgumentError(f"`methods`: {sorted(taken)} are compare's own; leave them out")


def plain_sizes(keep: Any, n: int) -> list[float | int]:
    """Sizes that differ, each as `prune` takes it, without numpy's types."""
    if not isinstance(keep, Sequence) or not keep or len(set(keep)) < len(keep):
        raise ArgumentError(f"`keep`: wanted sizes that differ, as in keep=[0.3, 0.1], got {keep!r}")
    for size in keep:
        resolve_keep(size, n)
    return [size.item() if isinstance(size, np.generic) else size for size in keep]


def _check_runs(methods: Any, full: Any, unpruned: Any) -> None:
    if not full or not isinstance(full, Mapping):
        raise ArgumentError("`full`: wanted a run on all rows for each seed, as in full={0: train(dataset, 0)}")
    if not isinstance(unpruned, Mapping) or not all(map(callable, unpruned.values())):
        raise ArgumentTypeError(f"`unpruned`: wanted functions by name, as in {{SHORTER: train}}; got {unpruned!r}")
    if taken := {FULL, *methods}.intersection(unpruned):
        raise ArgumentError(f"`unpruned`: {sorted(taken)} are names of other rows of the table; take others")
    for seed in full:
        whole_number("full", seed, at_least=0)


def result_of(source: str, run: Any, method: str, keep: float | int, seed: int, kept: int, labels: Groups) -> Result:
    """A run as a line of the comparison; `source` is the argument that it is from, for messages."""
    if not isinstance(run, Run):
        raise ArgumentTypeError(f"`{source}`: wanted Run(predictions, references), got {type(run).__name__}")
    counted = count_recalls(run.predictions, run.references, len(labels.names), argument=source)
    assert counted.support is not None, "counted recalls know their counts"
    accuracy = np.nansum(counted.values * counted.support) / counted.support.sum()
    recalls = tuple(None if np.isnan(recall) else recall for recall in counted.values.tolist())
    return Result(method, keep, seed, kept, float(accuracy), recalls)
