"""How a pruned dataset's record goes along with its rows, and how it is seen that the rows are still the same.

datasets copies a dataset's description to whatever is made of it, so the description carries the record. It goes
along with other rows, too, as those that `shuffle` or `filter` leave. Therefore the rows are compared where they may
be others.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from datasets import Dataset
from datasets.filesystems import is_remote_filesystem
from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from huggingface_hub import try_to_load_from_cache
from numpy.typing import NDArray

from hf_prune.digest import column_digest
from hf_prune.dynamics.row_digests import column_row_digests
from hf_prune.errors import ArgumentError
from hf_prune.hub.repository import FOLDER, folder_of
from hf_prune.selection.data import SelectionData
from hf_prune.selection.record import JSON, PARQUET, read_record, write_record
from hf_prune.selection.source import Source

S = TypeVar("S", bound=SelectionData)

logger = logging.getLogger(__name__)

ENOUGH_BITS = 64
"""Values that rows in another order would have by a chance of 1 in 2**64 tell that the order is the same."""


LOOKED_AT = 64
"""Rows that are compared before all are."""


class Description(str):
    """A dataset's description that carries a selection, and the pruned rows as they were."""

    selection: SelectionData
    rows: Source

    def __new__(cls, text: str, selection: SelectionData, rows: Source) -> "Description":
        made = super().__new__(cls, text)
        made.selection, made.rows = selection, rows
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> "Description":
        return self  # datasets deep-copies what it copies to another dataset

    def __reduce__(self) -> tuple[Any, ...]:
        return Description, (str(self), self.selection, self.rows)


def kept_in_files(cls: type[S], dataset: Dataset) -> S | None:
    """The selection whose record lies beside the files of a dataset, or in the cache of its repository's files."""
    for folder in _folders(dataset):
        try:
            return read_record(cls, folder)
        except ArgumentError:  # another program's folder, or one that is not there
            continue
    return None


def write_beside(
    selection: SelectionData, path: str | os.PathLike[str], storage_options: dict[str, Any] | None
) -> None:
    """Write a record into the folder `path`, which holds the pruned rows and may be elsewhere, as in a bucket."""
    storage, there = url_to_fs(os.fspath(path), **(storage_options or {}))
    try:
        if not is_remote_filesystem(storage):
            write_record(Path(there) / FOLDER, selection)
            return
    except ArgumentError as error:  # the rows are saved, which is what was asked for
        logger.warning("the record of how these rows were selected is not saved beside them: %s", error)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_record(made := Path(folder) / FOLDER, selection)
        storage.makedirs(f"{there}/{FOLDER}", exist_ok=True)
        for file in made.iterdir():
            storage.put_file(str(file), f"{there}/{FOLDER}/{file.name}")


def _folders(dataset: Dataset) -> Iterator[Path]:
    places = list(dict.fromkeys(Path(file["filename"]).parent for file in dataset.cache_files))
    yield from (place / FOLDER for place in places if (place / FOLDER / JSON).is_file())
    origin = Source.of(dataset).origin if places else {}
    if "repo" in origin:
        inside = folder_of(dataset.info.config_name or "default", str(dataset.split or "train"))
        for name in (JSON, PARQUET):
            file = try_to_load_from_cache(origin["repo"], f"{inside}/{name}", None, origin["revision"], "dataset")
            if not isinstance(file, str):
                return
            folder = Path(file).parent
        yield folder


def are_the_rows(rows: Source, dataset: Dataset) -> bool:
    """Whether a dataset still has these rows in this order, whatever became of some of their columns.

    All columns have the old values; or some have, and no two rows have the same in them; or some are gone, all others
    have the old values, and rows in another order would not have them but by a chance of 1 in 2**64.

    Cost: a pass over the columns, once for each dataset object.
    """
    if len(dataset) != rows.n:
        return False
    old = rows.digests if rows.dataset is None else rows.dataset.column_names
    there = [name for name in dataset.column_names if name in old]
    may_be_same = [name for name in there if _looks_the_same(rows, dataset, name)]
    if there and not may_be_same and len(there) == len(old):
        return False  # as after shuffle, for which nothing needs to be read
    recorded = rows.digests
    same = [name for name in may_be_same if column_digest(dataset, name) == recorded[name]]
    if len(same) == len(recorded):
        return True
    changed = len(same) < len(there)
    gone = {digest for name, digest in recorded.items() if name not in there}
    if gone:
        added = {name: column_digest(dataset, name) for name in dataset.column_names if name not in there}
        renamed = [name for name, digest in added.items() if digest in gone]
        if not changed and gone <= set(added.values()):
            return True
        same += renamed
    return bool(same) and _tell_the_order([column_row_digests(dataset, name) for name in same], certainly=changed)


def _looks_the_same(rows: Source, dataset: Dataset, column: str) -> bool:
    """Whether some rows have the old values in a column: most other rows are told by these."""
    if rows.dataset is None or dataset.list_indexes():  # beside which no row can be selected
        return True
    some = np.unique(np.linspace(0, rows.n - 1, LOOKED_AT, dtype=np.int64))
    old, new = (column_row_digests(whole.select(some), column) for whole in (rows.dataset, dataset))
    return np.array_equal(old, new)


def _tell_the_order(columns: list[NDArray[np.uint64]], *, certainly: bool) -> bool:
    """Whether rows in another order would have other values in these columns: always, or with almost all orders."""
    joint = columns[0].copy()
    for column in columns[1:]:
        joint = joint * np.uint64(0x9E3779B97F4A7C15) + column
    n, counts = len(joint), np.unique_counts(joint).counts
    if len(counts) == n:
        return True
    if certainly:
        return False
    if 1 + np.count_nonzero(joint[1:] != joint[:-1]) == len(counts):  # grouped, as by sorting
        return False
    log_factorials = np.concatenate([[0], np.cumsum(np.log2(np.arange(1, n + 1)))])
    return bool(log_factorials[n] - log_factorials[counts].sum() >= ENOUGH_BITS)
