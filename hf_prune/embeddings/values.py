"""The column that an encoder reads: which one, what it holds, and its values row by row."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Image, Value
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError, MissingExtraError

Kind = Literal["text", "image"]
SHOWN = 3
"""Rows that a message names."""


def column_kind(dataset: Dataset, column: str) -> Kind | None:
    """Returns what a column holds, and None where it is neither texts nor images."""
    feature = dataset.features[column]
    if isinstance(feature, Value) and feature.dtype in ("string", "large_string"):
        return "text"
    return "image" if isinstance(feature, Image) else None


def default_column(dataset: Dataset) -> str:
    """Returns the only column of texts or images, else the one called `text` or `image`.

    Raises:
        ArgumentError: there are none, or several that may be meant.
    """
    usable: list[str] = [column for column in dataset.column_names if column_kind(dataset, column)]
    if len(usable) > 1:
        usable = [column for column in usable if column in ("text", "image")] or usable
    if len(usable) != 1:
        columns = {column: str(dataset.features[column]) for column in dataset.column_names}
        which = f"{usable} are" if usable else "no column is"
        raise ArgumentError(
            f"`column`: {which} of texts or images; name the one to embed, as in "
            f"hf_prune.embed(ds, encoder, column=...). Columns: {columns}"
        )
    return usable[0]


def check_values(dataset: Dataset, column: str, kind: Kind | None) -> None:
    """Refuses rows of texts or images with nothing in them, before anything is computed."""
    if kind is None:
        return
    stored = dataset.select_columns([column]).with_format("arrow")
    empty: list[int] = []
    for start, part in zip(range(0, len(dataset), 2**16), stored.iter(batch_size=2**16), strict=True):
        array = part.column(0)
        nothing = pc.is_null(array)
        if kind == "text":
            nothing = pc.or_kleene(nothing, pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(array)), 0))
        empty += (start + np.flatnonzero(nothing.to_numpy())).tolist()
    if empty:
        rows = ", ".join(map(str, empty[:SHOWN])) + (", ..." if len(empty) > SHOWN else "")
        raise ArgumentError(
            f"`column`: {len(empty)} rows of {column!r} hold no {kind} (rows {rows}); leave them out first, as in "
            f"ds = ds.filter(lambda row: row[{column!r}])"
        )


class Rows(NamedTuple):
    """Holds the positions of some rows and the values that an encoder reads."""

    positions: list[int]
    values: list[Any]


class Values:
    """Gives a DataLoader the rows of a dataset as an encoder takes them, a batch at a time.

    Args:
        dataset: the rows, with no more columns than are read.
        column: the one to read, or None for whole rows as dictionaries.
    """

    def __init__(self, dataset: Dataset, column: str | None) -> None:
        self._dataset, self._column = dataset, column
        self._image: Image | None = None
        if column is not None:
            self._dataset, feature = dataset.with_format(None), dataset.features[column]
            if isinstance(feature, Image):  # decoded below, so that a broken one can be named
                self._image, self._dataset = feature, self._dataset.cast_column(column, Image(decode=False))

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, rows: NDArray[np.int64]) -> Rows:
        values: list[Any] = self._dataset.__getitems__(rows.tolist())
        if self._column is not None:
            values = [row[self._column] for row in values]
        if self._image is not None:
            values = [_decoded(self._image, row, value) for row, value in zip(rows, values, strict=True)]
        return Rows(rows.tolist(), values)


def _decoded(feature: Image, row: int, value: dict[str, Any]) -> Any:
    try:
        from PIL.Image import DecompressionBombError
    except ImportError as error:
        raise MissingExtraError('images need pillow: pip install "hf_prune[images]"') from error
    path, stored = value["path"], value["bytes"]
    try:
        if stored is None and path and Path(path).is_file():  # datasets leaves broken files open
            stored = Path(path).read_bytes()
        return feature.decode_example({"path": path, "bytes": stored})
    except (OSError, ValueError, SyntaxError, DecompressionBombError) as error:
        where = path or f"{len(stored or b'')} bytes in the dataset"
        raise ArgumentError(f"`column`: the image of row {row} ({where}) can't be read: {error}") from error
