"""pandas frames: as the Dataset that is pruned, and back, with the record in `attrs`."""

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
from datasets import Dataset

from hf_prune.errors import ArgumentError
from hf_prune.selection.carried import Description, are_the_rows
from hf_prune.selection.data import SelectionData
from hf_prune.selection.source import RECIPE, Source

ATTRIBUTE = "hf_prune"
"""The name in a frame's `attrs` of the text that carries the selection."""


def as_dataset(frame: pd.DataFrame) -> Dataset:
    """The rows of a frame without its index; categories become their values.

    Raises:
        ArgumentError: a column's values are of no one type, or two columns have one name.
    """
    try:
        kinds = {name: kind.categories.dtype for name, kind in frame.dtypes.items() if hasattr(kind, "categories")}
        return Dataset.from_pandas(frame.astype(kinds), preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ArgumentError(f"`dataset`: this frame can't be read as a table: {error}") from error


def with_selection(
    frame: pd.DataFrame, selection: SelectionData, pruned: Dataset, earlier: SelectionData | None = None
) -> pd.DataFrame:
    """The kept rows of a frame, with their index, whose `attrs` carry the selection as a text.

    A text, because pandas writes `attrs` as JSON.

    Args:
        pruned: the same rows.
        earlier: the selection that the frame carries.
    """
    kept = selection.indices  # in the first source of a chain
    rows = frame.iloc[kept if earlier is None else np.searchsorted(earlier.indices, kept)]
    text = f"{RECIPE} {'; '.join(selection.history())}"
    rows.attrs[ATTRIBUTE] = Description(text, selection, Source(len(selection), {}, pruned))
    return rows


def carried_by(frame: pd.DataFrame) -> SelectionData | None:
    """The selection that a frame carries, if it still has the pruned rows in their order."""
    carried = frame.attrs.get(ATTRIBUTE)
    if not isinstance(carried, Description) or len(frame) != carried.rows.n:
        return None
    return carried.selection if are_the_rows(carried.rows, as_dataset(frame)) else None
