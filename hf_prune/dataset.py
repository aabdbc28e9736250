"""`prune` for Dataset and DatasetDict: from what the user passes to signals, to the method, to the smaller dataset."""

import contextlib
import importlib.metadata
from dataclasses import replace
from typing import Any, TypeVar

import datasets
from datasets import Dataset, DatasetDict, NamedSplit

from hf_prune.arguments import did_you_mean, whole_number
from hf_prune.budget import plain_keep, resolve_keep
from hf_prune.config import named
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.methods.base import Method
from hf_prune.methods.per_class import PerClass
from hf_prune.selection.selection import Selection, live_selection
from hf_prune.selection.source import Source, Step
from hf_prune.signals.inputs import Inputs

D = TypeVar("D", Dataset, DatasetDict)

_KEYWORDS = ("keep", "seed", "quotas", "by", "label_column", "scores", "embeddings", "encoder", "dynamics", "recalls")
_LIBRARIES = ("hf_prune", "numpy", "datasets", "faiss-cpu")
_STREAMING = (
    "a streaming dataset has no row count and can't be pruned; load it without streaming=True, or write the part that "
    "you want with Dataset.from_generator"
)


def prune(
    dataset: D,
    method: str | Method,
    *,
    keep: float | int,
    seed: int = 0,
    quotas: Any = None,
    by: Any = None,
    label_column: str | None = None,
    scores: Any = None,
    embeddings: Any = None,
    encoder: Any = None,
    dynamics: Any = None,
    recalls: Any = None,
    **options: Any,
) -> D:
    """A smaller dataset: the rows of `dataset` that `method` keeps, in their order, with the record in `.selection`.

    Only signals that the method needs are read; others may be passed and are ignored.

    Args:
        dataset: a Dataset of n rows, or a DatasetDict, of which the split "train" is pruned, or those that `split=`
            names.
        method: the name of a method ("random", "el2n", "d2", "drop", ...), or a method object.
        keep: a count, or a fraction in (0, 1] that means `max(1, round(keep * n))` rows.
        seed: for methods that draw at random, 0 to 2**64 - 1; the same seed keeps the same rows.
        quotas: "proportional", "equal" or a Quotas object: run the method inside each group, on its share of the
            budget.
        by: the groups for quotas: a column's name, a tuple of names, whose combinations are the groups, or (n,) ints,
            strings or bools; the labels by default.
        label_column: by default the only ClassLabel column, else `label`, else `labels`.
        scores: (n,) difficulty of each row, higher = harder, or the name of a column of numbers.
        embeddings: (n, d) floats, a column's name, or the callback that recorded features; by default those in
            `dynamics`.
        encoder: in place of embeddings: what computes them from the column of texts or images, as in
            `embed(dataset, encoder)`; that function has options. To prune several times, embed once.
        dynamics: TrainingDynamics, the callback that recorded them, or the path of a saved file; of these rows, or
            of the first source of a chain.
        recalls: recall of each class on held-out data: a mapping, a sequence in class order,
            `trainer.predict(validation)` or (predictions, references), for groups that are no classes with those of
            the validation rows, as in (trainer.predict(validation), validation["site"]), or a list of these to average
            over seeds. DRoP with a schedule takes a function from a Dataset to these.
        options: the method's own, where it is given by name.

    Raises:
        ArgumentError: also a ValueError: a value that can't be used, a signal that is missing, or rows that don't
            match.
        ArgumentTypeError: also a TypeError: an argument of another type, or an unknown option.

    >>> from datasets import Dataset
    >>> coreset = prune(Dataset.from_dict({"x": range(100)}), "random", keep=0.3)
    >>> len(coreset), coreset.selection.n
    (30, 100)
    """
    signals = {"scores": scores, "embeddings": embeddings, "encoder": encoder}
    signals |= {"dynamics": dynamics, "recalls": recalls}
    if isinstance(dataset, DatasetDict):
        options |= signals | {"seed": seed, "quotas": quotas, "by": by, "label_column": label_column}
        return _prune_splits(dataset, method, keep, options.pop("split", "train"), options)
    _check_dataset(dataset)
    inputs = Inputs(dataset, label_column, by, signals)
    chosen = _with_quotas(_named_method(method, options), quotas, by)
    budget = resolve_keep(keep, len(dataset))
    seed = whole_number("seed", seed, at_least=0)
    if seed >= 2**64:
        raise ArgumentError(f"`seed`: wanted a whole number below 2**64, got {seed}")

    notes = chosen.notes(inputs.available)
    chosen = chosen.resolve(inputs.available)
    read = inputs.signals(chosen.needs, chosen)
    selection = chosen.select(read, budget, seed)
    n, details = len(dataset), selection.details | notes | read.notes
    step = Step(chosen.to_config(), plain_keep(keep), seed, n, budget, inputs.record(), details, _versions())
    return _finish(dataset, replace(selection, details=details, steps=(step,)))


def _prune_splits(dataset: DatasetDict, method: Any, keep: Any, split: Any, given: dict[str, Any]) -> DatasetDict:
    if not split or not isinstance(split, str | NamedSplit | list | tuple):
        raise ArgumentTypeError(f"`split`: wanted the name of a split or a list of names, got {split!r}")
    splits = [str(name) for name in (split if isinstance(split, list | tuple) else [split])]
    for name in splits:
        if name not in dataset:
            hint = did_you_mean(name, dataset)
            raise ArgumentError(f"`split`: no split {name!r}.{hint} This DatasetDict has {list(dataset)}; pass split=")
    pruned = {name: prune(dataset[name], method, keep=keep, **given) for name in splits}
    return DatasetDict({name: pruned.get(name, part) for name, part in dataset.items()})


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset, datasets.IterableDataset | datasets.IterableDatasetDict):
        raise ArgumentTypeError(f"`dataset`: {_STREAMING}")
    if not isinstance(dataset, Dataset):
        raise ArgumentTypeError(f"`dataset`: wanted a datasets.Dataset or DatasetDict, got {type(dataset).__name__}")
    if indexes := dataset.list_indexes():
        raise ArgumentError(f"`dataset`: rows can't be selected beside the index {indexes[0]!r}; drop_index it first")


def _named_method(method: Any, options: dict[str, Any]) -> Method:
    if isinstance(method, str):
        found: Method = named("method", method, options, known=_KEYWORDS)
        return found
    if not isinstance(method, Method):
        raise ArgumentTypeError(f'`method`: wanted a name such as "d2" or an object such as D2(), got {method!r}')
    if options:
        hint = did_you_mean(next(iter(options)), _KEYWORDS)
        raise ArgumentTypeError(
            f"unknown keywords {sorted(options)}.{hint} The method is an object, {method!r}: give its options there"
        )
    return method


def _with_quotas(method: Method, quotas: Any, by: Any) -> Method:
    """`quotas=` and `by=` turned into a PerClass around the method, unless the method has groups itself."""
    groups_itself = "groups" in method.needs
    if quotas is None and (by is None or groups_itself):
        return method
    if groups_itself or isinstance(method, PerClass):
        raise ArgumentError(
            f"`quotas`, `by`: {method.name!r} already shares the budget out between groups; leave them out, or pass "
            "the method that is to run inside each group"
        )
    return PerClass(method, "proportional" if quotas is None else quotas)  # type: ignore[arg-type]


def _finish(dataset: Dataset, selection: Selection) -> Dataset:
    """The kept rows, carrying a selection whose indices are positions in the first source of a chain."""
    pruned = dataset.select(selection.indices)
    earlier = live_selection(dataset)
    selection = selection.after(earlier) if earlier is not None else replace(selection, source=Source.of(dataset))
    return selection.attach(pruned)


def _versions() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # faiss has other names too
            found[library] = importlib.metadata.version(library)
    return found
