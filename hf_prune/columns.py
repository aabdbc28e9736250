"""A dataset's column by its name: that it is there, and its stored values."""

from typing import Any

import pyarrow as pa
from datasets import Dataset

from hf_prune.arguments import did_you_mean
from hf_prune.errors import ArgumentError, ArgumentTypeError


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
