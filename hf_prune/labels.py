"""A dataset's columns by name, and the one that holds the labels."""

from typing import Any

import pyarrow as pa
from datasets import ClassLabel, Dataset

from hf_prune.arguments import did_you_mean
from hf_prune.errors import ArgumentError, ArgumentTypeError, MissingSignalError
from hf_prune.groups import Groups, encode

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


def label_groups(dataset: Dataset, label_column: str | None = None) -> Groups:
    """The classes of a dataset's rows.

    Args:
        label_column: as in `prune`.

    Raises:
        MissingSignalError: the dataset has no label column.
    """
    column = find_label_column(dataset, label_column)
    if column is None:
        raise MissingSignalError(
            f"no label column in {dataset.column_names}: wanted one ClassLabel column, `label` or `labels`; "
            f"{HOW_TO_GIVE}"
        )
    return column_groups(dataset, column)
