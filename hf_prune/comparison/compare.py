"""Comparing pruning methods on the user's own data, in one call."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from datasets.utils import tqdm
from numpy.typing import NDArray

from hf_prune.arguments import whole_number
from hf_prune.comparison.parts import Part, read_parts
from hf_prune.comparison.results import FULL, SHORTER, Comparison
from hf_prune.comparison.runs import Methods, Run, Sizes, check_methods, plain_sizes, prune_all, result_of, train_all
from hf_prune.comparison.trial import Train, Trial
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.labels import find_label_column
from hf_prune.selection.live import live_selection, selection_of
from hf_prune.signals.given import DynamicsLike, EmbeddingsLike, EncoderLike

EVERYWHERE: Methods = {
    "random": {"method": "random"},
    "random, class-balanced": {"method": "random", "quotas": "equal"},
}
"""What no comparison goes without, besides all rows."""

WITH_CUTOFF: Methods = {
    "random, class-balanced, cutoff auto": {"method": "random", "quotas": "equal", "cutoff": "auto"}
}
"""The same where there are dynamics and embeddings."""

BY_DEFAULT: Methods = {
    "D2, class-balanced": {"method": "d2", "quotas": "equal"},
    "D2 within DRoP's quotas": {"method": "d2", "quotas": "drop"},
    "DRoP": {"method": "drop"},
    "AUM": {"method": "aum"},
    "EL2N": {"method": "el2n"},
    "prototypicality": {"method": "prototypicality"},
}
"""What is compared where nothing is named, and there are dynamics, embeddings and recalls."""


def compare(
    dataset: Dataset,
    methods: Methods | Sequence[str] | None = None,
    *,
    keep: Sizes = (0.5, 0.3, 0.1),
    seeds: int = 3,
    embeddings: EmbeddingsLike | None = None,
    encoder: EncoderLike | None = None,
    dynamics: DynamicsLike | None = None,
    test: Dataset | float = 0.2,
    test_embeddings: EmbeddingsLike | None = None,
    train: Train | None = None,
    label_column: str | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Held-out accuracy, average and of the worst class, of models trained on what each method keeps.

    By default a linear classifier of embeddings (softmax regression) stands in for the network: which method it
    prefers need not be what a network prefers. It gives the dynamics and, by cross-validation, the recalls that
    methods prune by, from the training rows alone; the test part takes no part in any selection. Every model takes as
    many optimiser steps as the one on all rows, which is repeated random subsets (RS2), too. Always in it are all rows
    for keep x steps, random and class-balanced random rows, and, where dynamics and embeddings are there, these with
    the cutoff. A method with a picking order prunes once a seed, for all sizes. The best of many lines looks better
    than it is; `recommend` promises what it says on rows that had no say.

    Args:
        dataset: rows with labels.
        methods: names as in `prune`, or for each name in the table the arguments of `prune`, as in
            {"D2": {"method": "d2", "quotas": "equal"}}; by default those that this project's own tables compare.
        keep: sizes, each a fraction or a count of the training rows.
        seeds: how many times all is pruned and trained; a seed settles the order of the rows in training, too.
        embeddings: (n, d) floats of `dataset`, or a column's name.
        encoder: in their place, as in `embed`.
        dynamics: of a run on all of `dataset`, in place of the proxy's; then test= must be rows that it didn't see.
        test: a dataset to test on, or a share of each class of `dataset` that is held out.
        test_embeddings: of a dataset given as test=, where embeddings= is no column's name.
        train: in place of the proxy a function (rows, held_out, seed, share) that trains a new model on `rows`, for
            `share` of a number of steps that is the same for all, and returns its predictions for `held_out`: (m,)
            positions of classes, or (m, classes) logits. Without embeddings methods have no signals but dynamics=.
        label_column: as in `prune`.
        folder: where the predictions of each model are kept, by the content of what made them, so that after Ctrl-C
            the same call goes on where it stopped. Empty it when a `train` changes but not its name.

    Cost: (methods + 1) x keep x seeds trainings, of the proxy O(steps * 128 * d * classes) each, and five more a seed;
    a copy of the embeddings where test= is a share.

    Raises:
        ArgumentError: what `prune` refuses, or embeddings that are missing. ArgumentTypeError: another type.

    >>> from datasets import Dataset
    >>> points = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0, 0], [2, 2]], 100, axis=0)
    >>> data = Dataset.from_dict({"label": ["cat"] * 100 + ["dog"] * 100})
    >>> comparison = compare(data, ["d2"], keep=[0.5, 0.1], seeds=2, embeddings=points)
    >>> comparison.methods[-2:], comparison.accuracy("d2", 0.5).mean > 0.8
    (('random, class-balanced, cutoff auto', 'd2'), True)
    """
    parts = read_parts(
        dataset,
        test,
        embeddings=embeddings,
        encoder=encoder,
        test_embeddings=test_embeddings,
        label_column=label_column,
    )
    check_dynamics(dynamics, test)
    trial = Trial(parts, dynamics, train, folder)
    sizes, count = plain_sizes(keep, len(parts.train.labels)), whole_number("seeds", seeds, at_least=1)
    column = find_label_column(dataset, label_column)
    return compared(trial, parts.held_out, all_methods(methods, trial), sizes, count, column)


def check_dynamics(dynamics: Any, test: Any) -> None:
    """Refuse dynamics of a run that saw the rows that are to be held out."""
    if dynamics is not None and not isinstance(test, Dataset):
        raise ArgumentError(
            "`dynamics`: of a run that trained on the rows to hold out, too; pass as test= a dataset that it didn't "
            "see, or leave dynamics= out: the proxy gives its own"
        )


def all_methods(methods: Any, trial: Trial) -> dict[str, Mapping[str, Any]]:
    """The methods to compare by name: those that are always compared, and the user's or those by default."""
    has_signals = trial.proxy is not None
    always = {**EVERYWHERE, **(WITH_CUTOFF if has_signals else {})}
    if methods is None:
        return {**always, **(BY_DEFAULT if has_signals else {})}
    if isinstance(methods, str) or not isinstance(methods, Mapping | Sequence):
        raise ArgumentTypeError(
            f'`methods`: wanted names, as in ["d2", "el2n"], or arguments of prune by name; got {methods!r}'
        )
    if not isinstance(methods, Mapping):
        methods = {name: {"method": name} for name in methods}
    check_methods(methods)
    if SHORTER in methods:
        raise ArgumentError(f"`methods`: {SHORTER!r} is the name of runs on all rows; take another")
    return {**always, **methods}


def compared(
    trial: Trial,
    held_out: Part,
    methods: Methods,
    keep: Sizes,
    seeds: int,
    label_column: str | None,
    progress: str = "Training on coresets",
) -> Comparison:
    """The comparison on one part of the held-out rows; signals of one seed are in memory at a time.

    Args:
        progress: what the bar says.
    """
    classes, rows = trial.parts.classes, trial.parts.train.rows

    def run(chosen: Dataset, seed: int, share: float = 1.0) -> Run:
        predicted = trial.predictions(chosen, positions_in(rows, chosen), held_out, seed, share)
        return Run(predicted, held_out.labels)

    results, of_all = [], []
    with tqdm(total=seeds * (1 + len(keep) * (1 + len(methods))), desc=progress, unit="model") as bar:
        for seed in range(seeds):
            signals = {"label_column": label_column, **trial.signals(seed)}
            selections = prune_all(rows, methods, keep, seed, signals)  # first, for what it may refuse
            bar.set_postfix_str(f"{FULL}, seed {seed}")
            of_all.append(result_of("train", run(rows, seed), FULL, 1.0, seed, len(rows), classes))
            bar.update()
            unpruned = {SHORTER: run}
            results += train_all(rows, classes, selections, keep, seed, partial(run, share=1.0), unpruned, bar)
    return Comparison(classes.names, (*of_all, *results), (SHORTER,))


def positions_in(rows: Dataset, chosen: Dataset) -> NDArray[np.int64]:
    """Where the rows of a coreset, or all rows themselves, stand among `rows`, which may be a coreset, too."""
    if chosen is rows:
        return np.arange(len(rows))
    indices, earlier = selection_of(chosen).indices, live_selection(rows)
    return indices if earlier is None else np.searchsorted(earlier.indices, indices)
