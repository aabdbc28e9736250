"""A dataset's columns by name, and the one that holds the labels."""

from typing import Any

import pyarrow as pa
from datasets import ClassLabel, Dataset, Value

from hf_prune.arguments import did_you_mean
from hf_prune.errors import ArgumentError, ArgumentTypeError, MissingSignalError
from hf_prune.groups import Groups, encode

OFTEN_CALLED = ("label", "class", "categor", "target", "intent", "sentiment", "topic", "genre", "species")
"""Words in the names of columns that often hold classes."""

LOOKED_AT = 1000
"""Rows of which the distinct values are counted."""

HOW_TO_GIVE = "pass label_column= with the name of a column of ints, strings or bools"


def check_column(dataset: Dataset, argument: str, column: Any) -> None:
    """Refuse what is no column's name; the error names the closest."""
    if not isinstance(column, str):
        raise ArgumentTypeError(f"`{argument}`: wanted the name of a column, got {column!r}")
    if column not in dataset.column_names:
        hint = did_you_mean(column, dataset.column_names)
        raise ArgumentError(f"`{argument}`: no column {column!r}.{hint} Columns: {dataset.column_names}")


def stored_column(dataset: Dataset, column: str) -> pa.Array:
    """The stored values of a column, whatever the dataset's format is."""
    return dataset.select_columns([column]).with_format("arrow")[:].column(0).combine_chunks()


def column_groups(dataset: Dataset, column: str) -> Groups:
    """The groups that the values of a column make; a ClassLabel's keep its order and names."""
    feature = dataset.features[column]
    return encode(column, stored_column(dataset, column), feature.names if isinstance(feature, ClassLabel) else None)


def find_label_column(dataset: Dataset, label_column: str | None) -> str | None:
    """The column that was asked for, which must exist, else the only ClassLabel column, else `label` or `labels`."""
    if label_column is not None:
        check_column(dataset, "label_column", label_column)
        return label_column
    class_labels: list[str] = [name for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)]
    if len(class_labels) == 1:
        return class_labels[0]
    return next((name for name in ("label", "labels") if name in dataset.column_names), None)


def likely_label_column(dataset: Dataset) -> str | None:
    """A column that seems to hold classes though it is not called so: by its type, its name, or how few values it has.

    >>> likely_label_column(Dataset.from_dict({"text": ["a", "b"], "category": ["x", "y"]}))
    'category'
    """
    kinds = dataset.features
    values = {name: kind for name, kind in kinds.items() if isinstance(kind, Value)}
    whole: list[str] = [name for name, kind in values.items() if _may_name_classes(kind.dtype)]
    named = [name for name in whole if any(word in name.casefold() for word in OFTEN_CALLED)]
    typed: list[str] = [name for name, kind in kinds.items() if isinstance(kind, ClassLabel)]
    if typed or named:
        return (typed or named)[0]
    first = dataset.select(range(min(len(dataset), LOOKED_AT)))
    distinct = {name: len(stored_column(first, name).unique()) for name in whole}
    few = [name for name, count in distinct.items() if 1 < count <= len(first) ** 0.5]
    return few[0] if few else None


def _may_name_classes(dtype: str) -> bool:
    return dtype.startswith(("int", "uint", "string", "large_string", "bool"))


def label_groups(dataset: Dataset, label_column: str | None = None) -> Groups:
    """The classes of a dataset's rows.

    Args:
        label_column: as in `prune`.

    Raises:
        MissingSignalError: the dataset has no label column.
    """
    column = find_label_column(dataset, label_column)
    if column is None:
        proposed = likely_label_column(dataset)
        raise MissingSignalError(
            f"no label column in {dataset.column_names}: wanted one ClassLabel column, `label` or `labels`; "
            f"{HOW_TO_GIVE}" + (f", perhaps label_column={proposed!r}" if proposed else "")
        )
    return column_groups(dataset, column)
