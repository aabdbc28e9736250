"""The data that a selection indexes, and how they are recognised."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from hf_prune.digest import column_digest, column_digests
from hf_prune.errors import AlignmentError, ArgumentError
from hf_prune.labels import check_column, stored_column

_CACHED = re.compile(r"/([^/]+)___([^/]+)/[^/]+/[\d.]+/([0-9a-f]{40})/[^/]+$")

RECIPE = "Derived with hf_prune:"
"""How the line begins that a pruned dataset's description gets."""


@dataclass(frozen=True, eq=False)
class Source:
    """The data that a selection indexes.

    Attributes:
        n: rows.
        origin: names and where it is from, as JSON values.
        dataset: the data themselves, where they are at hand.
        recorded: the digest of each column, where the data are not.
        ids: the name of a column and its (n,) values, which name the rows, where the record holds some.
    """

    n: int
    origin: dict[str, Any]
    dataset: Dataset | None = None
    recorded: dict[str, str] = field(default_factory=dict)
    ids: tuple[str, pa.Array] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Keeps the dataset where its rows lie in files, else digests of the rows instead of a copy of them."""
        if self.dataset is not None and self.dataset.cache_files:
            return self.__dict__
        return self.__dict__ | {"dataset": None, "recorded": self.digests}

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each column of the source."""
        return self.recorded if self.dataset is None else column_digests(self.dataset)

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """The source that `dataset` is; `origin["derived"]` is its recipe if it was pruned and then transformed."""
        info = dataset.info
        _, derived, recipe = (info.description or "").rpartition(RECIPE)
        known = {
            **_on_the_hub([entry["filename"] for entry in dataset.cache_files]),
            "dataset": info.dataset_name,
            "config": info.config_name,
            "split": None if dataset.split is None else str(dataset.split),
            "fingerprint": dataset._fingerprint,
            "derived": recipe.strip() if derived else None,
        }
        return cls(len(dataset), {name: value for name, value in known.items() if value is not None}, dataset)

    def check(self, dataset: Dataset, id_column: str | None = None) -> None:
        """Refuse a dataset that is not the source: other row count, a column with other values, nothing in common.

        Args:
            id_column: its values are compared with the ids on record, which also decides where nothing is in common.
        """
        if id_column is not None:
            self._check_ids(dataset, id_column)
        if dataset is self.dataset:
            return
        if len(dataset) != self.n:
            raise AlignmentError(f"this selection was made for {self.n} rows, the dataset has {len(dataset)}")
        recorded = self.digests
        common = [column for column in recorded if column in dataset.column_names]
        different = [column for column in common if column_digest(dataset, column) != recorded[column]]
        if different:
            raise AlignmentError(
                f"this selection was made for other data: of the columns {common} that both have, {different} hold "
                "other values or another row order; load the dataset that was pruned"
            )
        renamed = (column_digest(dataset, column) in recorded.values() for column in dataset.column_names)
        if not common and id_column is None and not any(renamed):
            raise AlignmentError(
                "this selection can't be checked: the dataset has none of the recorded columns "
                f"{sorted(recorded)}; its own are {dataset.column_names}"
                + ("" if self.ids is None else "; the record has ids: name their column, as in apply(ds, id_column=)")
            )

    def _check_ids(self, dataset: Dataset, column: str) -> None:
        if self.ids is None:
            raise ArgumentError("`id_column`: this selection's record holds no ids; leave it out")
        recorded, given = self.ids[1].to_pylist(), ids_of(dataset, column).to_pylist()
        if recorded == given:
            return
        missing, more = set(recorded).difference(given), set(given).difference(recorded)
        if missing or more:
            some = [
                f"{len(ids)} {what} ({min(map(str, ids))}, ...)"
                for ids, what in ((missing, "are missing here"), (more, "are not on record"))
                if ids
            ]
            raise AlignmentError(f"`id_column`: of the ids in {column!r} {' and '.join(some)}; load the source")
        row = next(row for row, (one, other) in enumerate(zip(recorded, given, strict=True)) if one != other)
        raise AlignmentError(
            f"`id_column`: the same ids in another order, first at row {row}: {given[row]!r} here, {recorded[row]!r} "
            "on record; bring the rows into the recorded order first"
        )


def _on_the_hub(files: list[str]) -> dict[str, str]:
    """The id and commit of a dataset on the Hub, which `load_dataset` puts into file names; empty for other data."""
    sources = {match.groups() for file in files if (match := _CACHED.search(Path(file).as_posix()))}
    if len(sources) != 1:
        return {}
    namespace, name, revision = sources.pop()
    return {"repo": f"{namespace}/{name}", "revision": revision}


def ids_of(dataset: Dataset, column: str) -> pa.Array:
    """(n,) values of a column that names rows."""
    check_column(dataset, "id_column", column)
    return checked_ids(column, stored_column(dataset, column))


def checked_ids(column: str, ids: pa.Array) -> pa.Array:
    """The values of a column, which must be ints or strings, each another, none null."""
    if pa.types.is_string_view(ids.type):  # which Arrow can't count
        ids = ids.cast(pa.large_string())
    if not (pa.types.is_integer(ids.type) or pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)):
        raise ArgumentError(f"`id_column`: wanted ints or strings, {column!r} holds {ids.type}")
    distinct = pc.count_distinct(ids, mode="all").as_py()
    if ids.null_count or distinct < len(ids):
        raise ArgumentError(
            f"`id_column`: {column!r} has {ids.null_count} nulls and {len(ids) - distinct} repeated ids"
        )
    return ids
