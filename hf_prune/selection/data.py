"""The fields of a Selection, and what follows from them alone."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hf_prune.budget import plain_keep, resolve_keep
from hf_prune.errors import ArgumentError
from hf_prune.groups import Groups
from hf_prune.selection.evidence import Evidence, put
from hf_prune.selection.source import Source
from hf_prune.selection.step import Step

UNLABELLED = "unlabelled"
"""The evidence that marks rows without a label."""

UNKNOWN = "the method is of a package that is not imported here: what only it can tell is left out"
"""What summaries and explanations say in its place."""


@dataclass(frozen=True, eq=False)
class SelectionData:
    """Which rows of a source are kept, by what, and why.

    Attributes:
        indices: (kept,) int64 positions in the source, sorted and unique.
        n: rows in the source.
        scores: (n,) float64, the method's own score of every row; NaN where it gave none.
        steps: one entry for each `prune` that led here, at least one.
        source: the data that `indices` are positions in.
        rank: (kept,) int64, for each of `indices` its place in the picking order, 0 = first; None if the method has
            no order in which a smaller budget is a prefix.
        groups: the groups that quotas were given to, or None.
        classes: the classes of the source's rows, quotas or not; None where labels are not known.
        at_least: the smallest budget that `at` can go down to.
        evidence: (n,) arrays by name, what the last step's method learnt of every row, kept or not; NaN, -1 or False
            for rows that it didn't see. D2 reports "message", "density", "suppressed_by", "suppression" and "left",
            a cutoff "suspect" and why, see `suspects`.
        picked: after `at`, (n,) int64 place of each row in the picking order of the larger selection, whose evidence
            `evidence` is, and -1 for rows that it didn't keep; else None.
        pruned_digests: digest by column of the pruned rows that were pushed with the record; see `Selection.verify`.
    """

    indices: NDArray[np.int64]
    n: int
    scores: NDArray[np.float64]
    steps: tuple[Step, ...]
    source: Source
    rank: NDArray[np.int64] | None = None
    groups: Groups | None = None
    classes: Groups | None = None
    at_least: int = 1
    evidence: Evidence = field(default_factory=dict)
    picked: NDArray[np.int64] | None = None
    pruned_digests: dict[str, str] | None = None

    @classmethod
    def of_rows(
        cls, rows: NDArray[np.int64], scores: NDArray[Any], steps: tuple[Step, ...], source: Source, **rest: Any
    ) -> Self:
        """The selection of rows in picking order, of which every prefix is the selection at that budget."""
        by_row = np.argsort(rows, kind="stable")
        scores = np.asarray(scores, dtype=np.float64)
        return cls(rows[by_row], len(scores), scores, steps, source, by_row.astype(np.int64), **rest)

    def __len__(self) -> int:
        return len(self.indices)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # immutable; `Dataset.filter` and others deep-copy the dataset that carries it

    @property
    def details(self) -> dict[str, Any]:
        """What the last step's method reports of its run, as JSON values."""
        return self.steps[-1].details

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(n,) whether each row of the source is kept."""
        kept = np.zeros(self.n, dtype=bool)
        kept[self.indices] = True
        return kept

    @property
    def order(self) -> NDArray[np.int64]:
        """(kept,) int64 the kept rows, first picked first."""
        if self.rank is None:
            raise ArgumentError("this method keeps no picking order; prune again at the smaller budget")
        return self.indices[np.argsort(self.rank)]

    @property
    def places(self) -> NDArray[np.int64]:
        """(n,) int64 place of each row in the picking order of the run that the evidence is of; -1 if not picked."""
        if self.picked is not None:
            return self.picked
        places = np.full(self.n, -1, dtype=np.int64)
        if self.rank is not None:
            places[self.indices] = self.rank
        return places

    @property
    def dropped_before(self) -> NDArray[np.bool_]:
        """(n,) whether an earlier step dropped the row; False for all where the last one didn't score all it saw."""
        unscored = np.isnan(self.scores) & ~self.unlabelled
        unseen = self.n - self.steps[-1].n
        return unscored if np.count_nonzero(unscored) == unseen else np.zeros(self.n, dtype=bool)

    @property
    def unlabelled(self) -> NDArray[np.bool_]:
        """(n,) whether each row had no label, and so was not among those that the last step's method chose from."""
        return self.evidence.get(UNLABELLED, np.zeros(self.n, dtype=bool))

    def at(self, *, keep: float | int) -> Self:
        """The selection at a smaller budget, without computing anything again.

        Args:
            keep: the size, a fraction of the rows that the last step saw, or a count, as `prune` takes it.

        Raises:
            ArgumentError: more rows than are kept, or fewer than min_per_class allows.
        """
        *earlier, last = self.steps
        budget = resolve_keep(keep, last.n)
        if not self.at_least <= budget <= len(self):
            raise ArgumentError(
                f"`keep`: {keep!r} means {budget} rows; this selection can be cut to {self.at_least} to {len(self)} "
                "rows, for others prune again"
            )
        steps = (*earlier, replace(last, keep=plain_keep(keep), budget=budget))
        rest = {name: getattr(self, name) for name in ("groups", "classes", "at_least", "evidence")}
        return self.of_rows(self.order[:budget], self.scores, steps, self.source, picked=self.places, **rest)

    def among(self, rows: NDArray[np.int64], n: int, always: NDArray[np.int64] | None = None) -> Self:
        """This selection, made of `rows` alone, as one of all `n` rows, and `always` are kept besides and first."""
        scores = np.full(n, np.nan)
        scores[rows] = self.scores
        evidence: Evidence = {}
        put(evidence, self.evidence, rows, n)
        groups, classes = (None if part is None else part.spread(rows, n) for part in (self.groups, self.classes))
        whole = replace(
            self,
            indices=rows[self.indices],
            n=n,
            scores=scores,
            groups=groups,
            classes=classes,
            evidence=evidence,
            picked=None,
        )
        if always is None or not len(always):
            return whole
        order = whole.indices if self.rank is None else whole.order
        kept = np.concatenate([always, order])
        places = np.argsort(kept, kind="stable")
        rank = None if self.rank is None else places.astype(np.int64)
        at_least = len(always) + (self.at_least if self.at_least > 1 else 0)
        return replace(whole, indices=kept[places], rank=rank, at_least=at_least)

    def after(self, first: "SelectionData") -> Self:
        """This selection, made on the rows that `first` kept, as one of `first`'s source."""
        whole = self.among(first.indices, first.n)
        classes = first.classes or whole.classes
        return replace(whole, steps=first.steps + self.steps, source=first.source, classes=classes)

    def history(self) -> list[str]:
        """One line for each step, after what the source itself was derived by."""
        before = self.source.origin.get("derived")
        return [*([before] if before else []), *map(str, self.steps)]

    def group_table(self) -> list[dict[str, Any]]:
        """For each group its name, the rows that the last step saw, the kept ones, and their share (NaN without rows).

        The groups are those that quotas were given to, else the classes of the whole source. Where quotas were made
        from recalls, also the "recall" before pruning and what else was measured of each group.
        """
        if self.groups is None:
            return self.class_table()
        table = self._table_of(self.groups)
        for column, values in self.details.get("by_group", {}).items():
            for row, value in zip(table, values, strict=True):
                row.setdefault(column, value)  # what a rule of another package calls "kept" is not what was kept
        return table

    def class_table(self) -> list[dict[str, Any]]:
        """As `group_table`, of the classes of the whole source; empty where labels are not known."""
        return [] if self.classes is None else self._table_of(self.classes)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """`group_table` and `class_table` under "group" and "class", without what is not there or the same."""
        return {kind: self.group_table() if kind == "group" else self.class_table() for kind in self.groupings}

    @property
    def groupings(self) -> dict[str, Groups]:
        """The "group" that quotas were given to, and the "class" where labels are known and not these groups."""
        groups, classes = self.groups, self.classes
        if groups is None or classes is None:
            found = {"group": groups, "class": classes}
            return {kind: those for kind, those in found.items() if those is not None}
        same = groups.names == classes.names and np.array_equal(groups.codes, classes.codes)
        return {"group": groups} if same else {"group": groups, "class": classes}

    def _table_of(self, groups: Groups) -> list[dict[str, Any]]:
        kept = groups.take(self.indices).sizes
        return [
            {"group": name, "size": int(size), "kept": int(count), "density": count / size if size else float("nan")}
            for name, size, count in zip(groups.names, groups.sizes, kept, strict=True)
        ]
