"""The record of a pruning: which rows are kept, by what, from which data; it can be saved, checked and repeated."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from hf_prune.budget import resolve_keep
from hf_prune.digest import column_digest
from hf_prune.errors import AlignmentError, ArgumentError
from hf_prune.groups import Groups

if TYPE_CHECKING:
    from datasets import Dataset

ATTRIBUTE = "_hf_prune_selection"
"""Where a pruned Dataset carries its selection."""


class Source:
    """The data that a selection indexes: row count, name, and one digest per column, computed when first asked for."""

    def __init__(
        self,
        n: int,
        origin: Mapping[str, Any],
        dataset: "Dataset | None" = None,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.n = n
        self.origin = dict(origin)
        self.dataset = dataset
        self._digests = None if digests is None else dict(digests)

    @property
    def digests(self) -> dict[str, str]:
        """Digest by column of the source."""
        if self._digests is None:
            assert self.dataset is not None, "a Source has its dataset or its digests"
            self._digests = {column: column_digest(self.dataset, column) for column in self.dataset.column_names}
        return self._digests

    def check(self, dataset: "Dataset") -> None:
        """Refuse a dataset that is not the source: other row count, a column with other values, nothing in common."""
        if dataset is self.dataset:
            return
        if len(dataset) != self.n:
            raise AlignmentError(f"this selection was made for {self.n} rows, the dataset has {len(dataset)}")
        common = [column for column in self.digests if column in dataset.column_names]
        different = [column for column in common if column_digest(dataset, column) != self.digests[column]]
        if different:
            raise AlignmentError(
                f"this selection was made for other data: of the columns {common} that both have, {different} hold "
                "other values or another row order; load the dataset that was pruned"
            )
        if not common and not self._renamed(dataset):
            raise AlignmentError(
                "this selection can't be checked: the dataset has none of the recorded columns "
                f"{sorted(self.digests)}; its own are {dataset.column_names}"
            )

    def _renamed(self, dataset: "Dataset") -> bool:
        recorded = set(self.digests.values())
        return any(column_digest(dataset, column) in recorded for column in dataset.column_names)


@dataclass(frozen=True)
class Step:
    """One call of `prune`.

    Attributes:
        method: the method and all its options, as `to_config` writes them.
        keep: as the user gave it.
        seed: the seed.
        n: rows that the step saw.
        budget: rows that it kept.
        signals: what was read, by signal.
        versions: of hf_prune and the libraries that decide the result.
    """

    method: dict[str, Any]
    keep: float | int
    seed: int
    n: int
    budget: int
    signals: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Selection:
    """Which rows of a source are kept, and why.

    Attributes:
        indices: (kept,) int64 positions in the source, sorted and unique.
        n: rows in the source.
        scores: (n,) float64, the method's own score of every row; NaN where it gave none.
        rank: (kept,) int64, for each of `indices` its place in the picking order, 0 = first; None if the method has
            no order in which a smaller budget is a prefix.
        groups: the groups that quotas were given to, or None.
        at_least: the smallest budget that `at` can go down to.
        details: what the method reports of its run, as JSON values.
        steps: one entry for each `prune` that led here.
        source: the data that `indices` are positions in.
    """

    indices: NDArray[np.int64]
    n: int
    scores: NDArray[np.float64]
    rank: NDArray[np.int64] | None = None
    groups: Groups | None = None
    at_least: int = 1
    details: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    source: Source | None = None

    @classmethod
    def from_order(cls, order: NDArray[np.int64], scores: NDArray[Any], **rest: Any) -> Self:
        """From rows in picking order (best first), of which every prefix is the selection at that budget.

        Args:
            order: (kept,) int64 positions.
            scores: (n,) score of every row.
        """
        by_row = np.argsort(order, kind="stable")
        return cls(order[by_row], len(scores), np.asarray(scores, dtype=np.float64), by_row.astype(np.int64), **rest)

    def __len__(self) -> int:
        return len(self.indices)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # immutable; `Dataset.filter` and others deep-copy the dataset that carries it

    @property
    def order(self) -> NDArray[np.int64]:
        """(kept,) int64 the kept rows, first picked first."""
        if self.rank is None:
            raise ArgumentError("this method keeps no picking order; prune again at the smaller budget")
        return self.indices[np.argsort(self.rank)]

    def at(self, *, keep: float | int) -> Self:
        """The selection at a smaller budget, without computing anything again.

        Args:
            keep: as in `prune`: a fraction of the rows that the last step saw, or a count.

        Raises:
            ArgumentError: more rows than are kept, or fewer than min_per_class allows.
        """
        last = self.steps[-1] if self.steps else None
        budget = resolve_keep(keep, last.n if last else self.n)
        if not self.at_least <= budget <= len(self):
            raise ArgumentError(
                f"`keep`: {keep!r} means {budget} rows; this selection can be cut to {self.at_least} to {len(self)} "
                "rows, for others prune again"
            )
        order = self.order[:budget]
        smaller = type(self).from_order(order, self.scores, groups=self.groups, at_least=self.at_least)
        steps = (*self.steps[:-1], replace(last, keep=keep, budget=budget)) if last else ()
        return replace(smaller, details=self.details, steps=steps, source=self.source)

    def after(self, first: "Selection") -> Self:
        """This selection, made on the rows that `first` kept, as one of `first`'s source."""
        scores = np.full(first.n, np.nan)
        scores[first.indices] = self.scores
        groups = self.groups
        if groups is not None:
            codes = np.full(first.n, -1, dtype=np.int64)
            codes[first.indices] = groups.codes
            groups = replace(groups, codes=codes)
        return replace(
            self,
            indices=first.indices[self.indices],
            n=first.n,
            scores=scores,
            groups=groups,
            steps=first.steps + self.steps,
            source=first.source,
        )

    def apply(self, dataset: "Dataset") -> "Dataset":
        """The kept rows of `dataset`, which must be the source: row count and column digests are compared.

        Added and dropped columns are fine as long as one recorded column is left.

        Raises:
            AlignmentError: the dataset is not the source; the message says what was compared.
        """
        if self.source is None:
            raise ArgumentError("this selection has no source to compare with; use dataset.select(selection.indices)")
        self.source.check(dataset)
        return self.attach(dataset.select(self.indices))

    def attach(self, pruned: "Dataset") -> "Dataset":
        """Let `pruned`, whose rows these are, carry this selection and say in its description where it comes from."""
        setattr(pruned, ATTRIBUTE, self)
        description = (pruned.info.description or "").partition(RECIPE)[0].strip()
        pruned.info.description = f"{description}\n\n{RECIPE} {self.recipe()}".strip()
        return pruned

    def recipe(self) -> str:
        """One line: what was done to which data."""
        done = "; ".join(
            f"{_one_line(step.method)} kept {step.budget} of {step.n} rows, seed {step.seed}" for step in self.steps
        )
        before = self.source.origin.get("derived") if self.source else None
        return f"{before}; {done}" if before else done

    def group_table(self) -> list[dict[str, Any]]:
        """For each group its name, its rows in the source, the kept ones, and the share kept (NaN without rows)."""
        if self.groups is None:
            return []
        kept = self.groups.take(self.indices).sizes
        return [
            {"group": name, "size": int(size), "kept": int(count), "density": count / size if size else float("nan")}
            for name, size, count in zip(self.groups.names, self.groups.sizes, kept, strict=True)
        ]

    def summary(self) -> str:
        """A few lines to read: every step, and for quotas what each group kept."""
        lines = [f"{len(self):,} of {self.n:,} rows kept ({len(self) / self.n:.1%})"]
        lines += [
            f"  {_one_line(step.method)}: {step.n:,} -> {step.budget:,}, seed {step.seed}" for step in self.steps
        ]
        if self.source is not None and self.source.origin.get("derived"):
            lines.append(f"  the source itself was derived: {self.source.origin['derived']}")
        if table := self.group_table():
            width = max(5, *(len(row["group"]) for row in table))
            lines.append(f"  {'group':<{width}}  {'rows':>9}  {'kept':>9}  density")
            lines += [
                f"  {row['group']:<{width}}  {row['size']:>9,}  {row['kept']:>9,}  {row['density']:>7.3f}"
                for row in table
            ]
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the folder `path` with selection.json and selection.parquet; a folder of ours there is replaced.

        Raises:
            ArgumentError: something else is at `path`.
        """
        from hf_prune.records import write_selection

        write_selection(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Selection":
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            ArgumentError: no such folder, or its files are damaged or contradict each other.
        """
        from hf_prune.records import read_selection

        return read_selection(path)


def selection_of(dataset: "Dataset") -> Selection:
    """The selection that a pruned dataset carries, while it still has the pruned rows.

    Raises:
        AttributeError: there is none, or the rows are others since.
    """
    found: Selection | None = getattr(dataset, ATTRIBUTE, None)
    if found is None:
        raise AttributeError(
            "this dataset carries no selection: it was not pruned, or it was transformed since (map, sort, select, "
            "...); keep it before you transform, as in `sel = coreset.selection`"
        )
    if len(found) != len(dataset):
        raise AttributeError(
            f"this dataset has {len(dataset)} rows but its selection {len(found)}: rows were filtered since the "
            "pruning; keep the selection before you transform, as in `sel = coreset.selection`"
        )
    return found


RECIPE = "Derived with hf_prune:"
"""How the line begins that a pruned dataset's description gets."""


def _one_line(method: Mapping[str, Any]) -> str:
    """A method's config on one line, as in `per_class(within=el2n(...), quotas=equal)`."""
    kind, name = next(iter(method.items()))
    options = ", ".join(
        f"{key}={_one_line(value) if isinstance(value, Mapping) else json.dumps(value)}"
        for key, value in method.items()
        if key != kind
    )
    return f"{name}({options})" if options else str(name)
