"""`prune` for Dataset and DatasetDict: from what the user passes to signals, to the method, to the smaller dataset."""

import contextlib
import functools
import importlib.metadata
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import datasets
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from datasets import ClassLabel, Dataset, DatasetDict, NamedSplit, Value
from numpy.typing import NDArray

from hf_prune.arguments import did_you_mean, whole_number
from hf_prune.budget import plain_keep, resolve_keep
from hf_prune.config import registered
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups
from hf_prune.labels import find_label_column, stored_column
from hf_prune.methods.base import Method
from hf_prune.methods.by_score import as_method, spelled
from hf_prune.methods.choice import Choice
from hf_prune.methods.per_class import PerClass
from hf_prune.methods.quotas import QuotasLike, checked_quotas
from hf_prune.methods.score import Score
from hf_prune.methods.without_suspects import Cutoff, WithoutSuspects, with_cutoff
from hf_prune.selection.data import UNLABELLED
from hf_prune.selection.frames import as_dataset, with_selection
from hf_prune.selection.live import live_selection, selection_of
from hf_prune.selection.selection import Selection
from hf_prune.selection.source import Source
from hf_prune.selection.step import Step
from hf_prune.selection.summary import losses
from hf_prune.signals.given import ByLike, DynamicsLike, EmbeddingsLike, EncoderLike, RecallsOrFunction, ScoresLike
from hf_prune.signals.inputs import Inputs
from hf_prune.signals.unlabelled import Unlabelled, labelled_groups, room_left, unlabelled_in

logger = logging.getLogger(__name__)

MOST_CLASSES = 1000
"""Values of a label column beyond which they are hardly classes."""

D = TypeVar("D", Dataset, DatasetDict, pd.DataFrame)
P = ParamSpec("P")
R = TypeVar("R")


def _naming_keep(prune: Callable[P, R]) -> Callable[P, R]:
    """The function, which says what to write where `keep` is not named."""

    @functools.wraps(prune)
    def named(*args: P.args, **options: P.kwargs) -> R:
        if len(args) > 2 or (len(args) == 2 and "keep" not in options):
            given = repr(args[2]) if len(args) > 2 else "0.3"
            raise ArgumentTypeError(
                f"`keep`: name it, as in prune({args[1]!r}, keep={given}): a fraction of the rows, or a count of them"
            )
        return prune(*args, **options)

    return named


@_naming_keep
def prune(
    dataset: D,
    method: str | Method | Score,
    *,
    keep: float | int,
    seed: int = 0,
    quotas: QuotasLike | None = None,
    by: ByLike | None = None,
    cutoff: Cutoff | None = None,
    label_column: str | None = None,
    scores: ScoresLike | None = None,
    embeddings: EmbeddingsLike | None = None,
    encoder: EncoderLike | None = None,
    dynamics: DynamicsLike | None = None,
    recalls: RecallsOrFunction | None = None,
    unlabelled: Unlabelled | None = None,
    split: str | Sequence[str] | None = None,
    **options: Any,
) -> D:
    """A smaller dataset: the rows of `dataset` that `method` keeps, in their order, with the record in `.selection`.

    Only signals that the method needs are read; others may be passed and are ignored. A pruned dataset can be pruned
    again: its record then has both steps, and positions in the first source.

    Args:
        dataset: a Dataset of n rows, a DatasetDict, of which one split is pruned, or several, or a pandas frame: a
            frame is returned then, with the index of the kept rows, and `hf_prune.selection_of` has its record.
        method: the name of a method ("random", "d2", "drop", ...) or of a score ("el2n", "aum", ...), which then keeps
            rows by itself, or an object of either.
        keep: a count, or a fraction in (0, 1] that means `max(1, round(keep * n))` rows.
        seed: for methods that draw at random, 0 to 2**64 - 1; the same seed keeps the same rows.
        quotas: "proportional", "equal", "drop", which gives more to the groups of lower recall, or a Quotas object:
            run the method inside each group, on its share of the budget.
        by: the groups for quotas: a column's name, a tuple of names, whose combinations are the groups, or (n,) ints,
            strings or bools; the labels by default.
        cutoff: hold back rows whose labels are suspect before anything is chosen: a fraction of all rows, those of
            lowest AUM, "auto", which reads how many and which from dynamics, labels and embeddings, or 0 for none.
            By default "auto" for D2 and DRoP where these are there and no scores= are read, and else 0. See
            WithoutSuspects.
        label_column: by default the only ClassLabel column, else `label`, else `labels`.
        scores: (n,) difficulty of each row, higher = harder, or the name of a column of numbers.
        embeddings: (n, d) floats, a column's name, or the callback that recorded features; by default those in
            `dynamics`. Of features the early ones are read, or the last where a row has no early ones.
        encoder: in place of embeddings: what computes them from the column of texts or images, as in
            `embed(dataset, encoder)`; that function has options. To prune several times, embed once.
        dynamics: TrainingDynamics, the callback that recorded them, or the path of a saved file; of these rows, or
            of the first source of a chain.
        recalls: recall of each class on held-out data: a mapping, a sequence in class order,
            `trainer.predict(validation)` or (predictions, references), for groups that are no classes with those of
            the validation rows, as in (trainer.predict(validation), validation["site"]), or a list of these to average
            over seeds. DRoP with a schedule takes a function from a Dataset to these.
        unlabelled: what becomes of rows without a label, whose class is null or -100, of a ClassLabel any negative
            number, or whose tokens all are -100: "keep" keeps all of them within the budget, before what the method
            chooses among the others, "drop" none. Without it they are an error where labels or dynamics are read.
        split: of a DatasetDict the split to prune, or a list of them, "train" by default.
        options: the method's own, where it is given by name; of a score also `prefer`, the end to keep.

    Raises:
        ArgumentError: also a ValueError: a value that can't be used, a signal that is missing, or rows that don't
            match.
        ArgumentTypeError: also a TypeError: an argument of another type, or an unknown option.

    >>> from datasets import Dataset
    >>> coreset = prune(Dataset.from_dict({"x": range(100)}), "random", keep=0.3)
    >>> len(coreset), coreset.selection.n
    (30, 100)
    """
    passed: dict[str, Any] = {"scores": scores, "embeddings": embeddings, "encoder": encoder}
    passed |= {"dynamics": dynamics, "recalls": recalls}
    modifiers: dict[str, Any] = {"quotas": quotas, "by": by, "cutoff": cutoff}
    if isinstance(dataset, DatasetDict | pd.DataFrame):
        options |= passed | modifiers | {"keep": keep, "seed": seed, "label_column": label_column}
        options["unlabelled"] = unlabelled
        if isinstance(dataset, pd.DataFrame):
            return _prune_frame(dataset, method, options | {"split": split})
        return _prune_splits(dataset, "train" if split is None else split, method, options)
    _check_dataset(dataset)
    if split is not None:
        raise ArgumentError(f"`split`: wanted none for a Dataset, got {split!r}; it names splits of a DatasetDict")
    inputs = Inputs(dataset, label_column, by, passed, unlabelled)
    chosen, notes = _modified(method, options, inputs, **modifiers)
    budget = resolve_keep(keep, len(dataset))
    seed = whole_number("seed", seed, at_least=0)
    if seed >= 2**64:
        raise ArgumentError(f"`seed`: wanted a whole number below 2**64, got {seed}")

    chosen = chosen.resolve(inputs.available)
    signals = inputs.signals(chosen.needs, chosen)
    room = room_left(unlabelled, inputs.without, budget)
    choice = chosen.select(signals, room, seed)
    _check_choice(chosen, choice, room, len(signals))
    notes += inputs.notes
    details = choice.details | ({"notes": notes} if notes else {}) | signals.notes
    record, versions = inputs.record(), _versions(chosen, with_encoder=encoder is not None)
    step = Step(chosen.to_config(), plain_keep(keep), seed, len(dataset), budget, record, details, versions)
    selection = Selection.of_rows(
        choice.rows,
        choice.scores,
        (step,),
        Source.of(dataset),
        groups=chosen.groups(signals),
        at_least=choice.at_least,
        evidence=choice.evidence,
    )
    if not choice.nested:
        selection = replace(selection, rank=None)
    if inputs.without.any():
        selection = _with_unlabelled(selection, inputs.without, keep=unlabelled == "keep")
    selection = replace(selection, classes=_classes(dataset, label_column))
    for warning in losses(selection):
        logger.warning("%s: %s", chosen.name, warning)
    pruned = dataset.select(selection.indices)
    if (earlier := live_selection(dataset)) is not None:  # positions are then those in the first source of the chain
        selection = selection.after(earlier)
    return selection.attach(pruned)


def _with_unlabelled(selection: Selection, without: NDArray[np.bool_], *, keep: bool) -> Selection:
    """The selection that was made of rows with a label, as one of all rows; the others are all kept, or dropped."""
    rows, others = np.flatnonzero(~without), np.flatnonzero(without)
    whole = selection.among(rows, len(without), others if keep else None)
    (step,) = whole.steps
    note = f"{len(others)} rows have no label, of which {'all were' if keep else 'none was'} kept"
    details = step.details | {"notes": [*step.details.get("notes", ()), note]}
    evidence = whole.evidence | {UNLABELLED: without}
    return replace(whole, evidence=evidence, steps=(replace(step, details=details),))


def _classes(dataset: Dataset, label_column: str | None) -> Groups | None:
    """The classes that summaries show, where the labels are such as classes can be made of."""
    column = find_label_column(dataset, label_column)
    if column is None:
        return None
    kind = dataset.features[column]
    if not isinstance(kind, ClassLabel):
        if not isinstance(kind, Value) or kind.dtype.startswith(("float", "double")):
            return None
        if len(stored_column(dataset, column).dictionary_encode().dictionary) > MOST_CLASSES:
            return None
    with contextlib.suppress(ArgumentError, ArgumentTypeError):
        return labelled_groups(dataset, column, unlabelled_in(dataset, column))
    return None


def _prune_frame(frame: pd.DataFrame, method: Any, given: dict[str, Any]) -> pd.DataFrame:
    whole = as_dataset(frame)
    if (earlier := live_selection(frame)) is not None:
        earlier.attach(whole)
    pruned = prune(whole, method, **given)
    return with_selection(frame, selection_of(pruned), pruned, earlier)


def _prune_splits(dataset: DatasetDict, split: Any, method: Any, given: dict[str, Any]) -> DatasetDict:
    if not split or not isinstance(split, str | NamedSplit | list | tuple):
        raise ArgumentTypeError(f"`split`: wanted the name of a split or a list of names, got {split!r}")
    splits = [str(name) for name in (split if isinstance(split, list | tuple) else [split])]
    for name in splits:
        if name not in dataset:
            hint = did_you_mean(name, dataset)
            raise ArgumentError(f"`split`: no split {name!r}.{hint} This DatasetDict has {list(dataset)}; pass split=")
    pruned = {name: prune(dataset[name], method, **given) for name in splits}
    return DatasetDict({name: pruned.get(name, part) for name, part in dataset.items()})


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset, datasets.IterableDataset | datasets.IterableDatasetDict):
        raise ArgumentTypeError(
            "`dataset`: a streaming dataset has no row count and can't be pruned; load it without streaming=True, or "
            "write the part that you want with Dataset.from_generator"
        )
    if not isinstance(dataset, Dataset):
        raise ArgumentTypeError(
            f"`dataset`: wanted a datasets.Dataset, DatasetDict or pandas frame, got {type(dataset).__name__}"
        )
    if indexes := dataset.list_indexes():
        raise ArgumentError(f"`dataset`: rows can't be selected beside the index {indexes[0]!r}; drop_index it first")


def _modified(
    given: Any, options: dict[str, Any], inputs: Inputs, *, quotas: Any, by: Any, cutoff: Any
) -> tuple[Method, list[str]]:
    """The method with the quotas and the cutoff around it that the keywords of `prune` ask for; notes on that."""
    given = spelled(given) if isinstance(given, str) else given
    handed_over = getattr(registered("method").get(given), "handed_over", ()) if isinstance(given, str) else ()
    if "quotas" in handed_over and quotas is not None:
        options, quotas = options | {"quotas": quotas}, None
    if "cutoff" in handed_over and cutoff is not None:
        options, cutoff = options | {"cutoff": cutoff}, None
    method = as_method("method", given, options)
    shares_out = "groups" in method.needs
    if quotas is not None or (by is not None and not shares_out):
        if shares_out or any(isinstance(part, PerClass) for part in method.walk()):
            raise ArgumentError(
                f"`quotas`, `by`: {method.name!r} already shares the budget out between groups; leave them out, or "
                "pass the method that is to run inside each group"
            )
        quotas = checked_quotas("quotas", "proportional" if quotas is None else quotas)
        if isinstance(method, WithoutSuspects):  # quotas are shared out over the rows that it leaves
            method = replace(method, within=PerClass(method.within, quotas))
        else:
            method = PerClass(method, quotas)
    return with_cutoff(method, cutoff, inputs.available, inputs.run)


def _check_choice(method: Method, choice: Choice, budget: int, n: int) -> None:
    """Refuse what a method of another package chose where it isn't the budget, exactly."""
    distinct = np.unique(choice.rows[(choice.rows >= 0) & (choice.rows < n)])
    if len(choice.rows) != budget or len(distinct) != budget or choice.scores.shape != (n,):
        raise ArgumentError(
            f"`method`: wanted of {method!r} {budget} rows, each another of {n}, and {n} scores; got "
            f"{len(choice.rows)} rows, {len(distinct)} of them different and there, and scores of shape "
            f"{choice.scores.shape}; hold it to this with hf_prune.testing.check_method(method)"
        )


def _versions(method: Method, *, with_encoder: bool) -> dict[str, str]:
    libraries = {"hf_prune", "numpy", "datasets", *(name for part in method.walk() for name in part.libraries)}
    if with_encoder:
        libraries |= {"torch", "transformers"}
    versions = {}
    for library in sorted(libraries):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # faiss has other names too
            versions[library] = importlib.metadata.version(library)
    return versions
