"""The record of a pruning: which rows are kept, by what, from which data; it can be saved, checked and repeated."""

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_prune.budget import plain_keep, resolve_keep
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups
from hf_prune.selection.evidence import Evidence, put
from hf_prune.selection.explain import explain
from hf_prune.selection.files import read_record, write_record
from hf_prune.selection.record import from_record, to_record
from hf_prune.selection.source import RECIPE, Source, Step
from hf_prune.selection.summary import group_table, summary

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo
    from matplotlib.figure import Figure

ATTRIBUTE = "_hf_prune_selection"
"""Where a pruned Dataset carries its selection."""


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
        evidence: (n,) arrays by name, what the last step's method found of every row, kept or not; NaN, -1 or False
            for rows that it didn't see. D2 reports "message", "density", "suppressed_by", "suppression" and "left",
            a cutoff "suspect".
            After `at`, "picked" is the place in the larger selection, whose evidence the rest is.
        pruned: digests by column of the pruned rows that were pushed with the record; see `verify`.
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
    evidence: Evidence = field(default_factory=dict)
    pruned: dict[str, str] | None = None

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
        steps = (*self.steps[:-1], replace(last, keep=plain_keep(keep), budget=budget)) if last else ()
        evidence = self.evidence
        if "picked" not in evidence:
            picked = np.full(self.n, -1, dtype=np.int64)
            picked[self.order] = np.arange(len(self))
            evidence = evidence | {"picked": picked}
        return replace(smaller, details=self.details, steps=steps, source=self.source, evidence=evidence)

    def after(self, first: "Selection") -> Self:
        """This selection, made on the rows that `first` kept, as one of `first`'s source."""
        scores = np.full(first.n, np.nan)
        scores[first.indices] = self.scores
        evidence: Evidence = {}
        put(evidence, self.evidence, first.indices, first.n)
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
            evidence=evidence,
        )

    def apply(self, dataset: Dataset, *, id_column: str | None = None) -> Dataset:
        """The kept rows of `dataset`, which must be the source: row count and column digests are compared.

        Added and dropped columns are fine as long as one recorded column is left.

        Args:
            id_column: a column with the ids that the record holds (see `save`); they are compared too, and suffice
                where no recorded column is left.

        Raises:
            AlignmentError: the dataset is not the source; the message says what was compared.
        """
        if not isinstance(dataset, Dataset):
            raise ArgumentTypeError(f"`dataset`: wanted a datasets.Dataset, got {type(dataset).__name__}")
        if self.source is None:
            raise ArgumentError("this selection has no source to compare with; use dataset.select(selection.indices)")
        self.source.check(dataset, id_column)
        return self.attach(dataset.select(self.indices))

    def verify(self, pruned: Dataset) -> None:
        """Refuse a dataset that is not what was pushed with this record, such as one of an unfinished push.

        Raises:
            AlignmentError: other row count, or a column with other values; ArgumentError: the record was pushed alone.
        """
        if self.pruned is None:
            raise ArgumentError("this record was saved or pushed without the pruned rows; use apply on the source")
        Source(len(self), {}, digests=self.pruned).check(pruned)

    def attach(self, pruned: Dataset) -> Dataset:
        """Let `pruned`, whose rows these are, carry this selection and say in its description where it comes from."""
        setattr(pruned, ATTRIBUTE, self)
        description = (pruned.info.description or "").partition(RECIPE)[0].strip()
        pruned.info.description = f"{description}\n\n{RECIPE} {self.recipe()}".strip()
        return pruned

    def recipe(self) -> str:
        """One line: what was done, first step first."""
        return "; ".join(self.history())

    def history(self) -> list[str]:
        """One line for each step, after what the source itself was derived by."""
        before = self.source.origin.get("derived") if self.source else None
        return [*([before] if before else []), *map(str, self.steps)]

    def group_table(self) -> list[dict[str, Any]]:
        """For each group its name, the rows that the last step saw, the kept ones, their share (NaN without rows), and
        where quotas were made from recalls the "recall" before pruning."""
        return group_table(self)

    def summary(self) -> str:
        """A few lines to read: every step, and for quotas what each group kept and its recall before."""
        return summary(self)

    def plot(self) -> "Figure":
        """A picture of what each group kept; see hf_prune.plots.plot_selection."""
        from hf_prune.plots import plot_selection

        return plot_selection(self)

    def explain(self, i: int) -> str:
        """A few lines to read: why the row at position `i` of the source was kept or dropped.

        Raises:
            ArgumentError: no such row; ArgumentTypeError: no whole number.

        >>> from datasets import Dataset
        >>> import hf_prune, numpy as np
        >>> points = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> ds = Dataset.from_dict({"x": "abcd"})
        >>> selection = ds.prune("d2", keep=2, k=1, gamma=0.1, scores=[2, 1, 3, 4], embeddings=points).selection
        >>> print(selection.explain(3))
        row 3: kept, picked 1st of 2
          d2(score=given_scores, k=1, gamma=0.1, cutoff=0.0) kept 2 of 4 rows, seed 0
          score 4, message 1.104, density 5.104
          5.104 was left when it was picked
        >>> print(selection.explain(2))
        row 2: dropped
          d2(score=given_scores, k=1, gamma=0.1, cutoff=0.0) kept 2 of 4 rows, seed 0
          score 3, message 1.472, density 4.472
          row 3 took most: 4.618 of 4.472
          -0.1464 was left, and the last pick had 2.368
        """
        return explain(self, i)

    def save(self, path: str | os.PathLike[str], *, id_column: str | None = None) -> None:
        """Write the folder `path` with selection.json and selection.parquet; a folder of ours there is replaced.

        Args:
            id_column: a column of the source whose values, ints or strings, name its rows; kept for `apply`. A
                selection that was read with ids keeps them.

        Raises:
            ArgumentError: something else is at `path`, or the column holds nulls or an id twice.
        """
        write_record(path, *to_record(self, id_column=id_column))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            ArgumentError: no such folder, or its files are damaged or contradict each other.
        """
        header, table = read_record(path)
        try:
            loaded = cls(**from_record(header, table))
            loaded.summary()  # reads what no other check does
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise ArgumentError(f"`path`: the selection in {os.fspath(path)!r} is damaged: {error}") from error
        return loaded

    def push_to_hub(self, repo_id: str, **options: Any) -> "CommitInfo":
        """Push the record alone, without the data: a few bytes a row. `from_hub` reads it.

        Args:
            repo_id: of a dataset repository, which is made if it isn't there, as in "me/cifar10-d2-30".
            options: `config`, by default "default"; `split`, that of the source; `token`, `revision`, `create_pr` and
                `private` as in Dataset.push_to_hub; `explain` and `id_column` as in hf_prune.push_to_hub.
        """
        from hf_prune.publish import push_selection

        return push_selection(self, repo_id, **options)

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        config: str = "default",
        split: str = "train",
        revision: str | None = None,
        *,
        token: str | bool | None = None,
    ) -> "Selection":
        """Read the record that was pushed, alone or with a dataset; nothing in it is executed.

        Raises:
            ArgumentError: no such repository or record, or it is damaged.
        """
        from hf_prune.publish import pull_selection

        return pull_selection(repo_id, config, split, revision, token)


def live_selection(dataset: Dataset) -> Selection | None:
    """The selection that a dataset carries, if it still has the pruned rows."""
    found: Selection | None = getattr(dataset, ATTRIBUTE, None)
    return found if found is not None and len(found) == len(dataset) else None


def selection_of(dataset: Dataset) -> Selection:
    """The selection that a pruned dataset carries, while it still has the pruned rows.

    Raises:
        AttributeError: there is none, or the rows are others since.
    """
    if (live := live_selection(dataset)) is not None:
        return live
    stale: Selection | None = getattr(dataset, ATTRIBUTE, None)
    if stale is None:
        raise AttributeError(
            "this dataset carries no selection: it was not pruned, or it was transformed since (map, sort, select, "
            "...); keep it before you transform, as in `sel = coreset.selection`"
        )
    raise AttributeError(
        f"this dataset has {len(dataset)} rows but its selection {len(stale)}: rows were filtered since the pruning; "
        "keep the selection before you transform, as in `sel = coreset.selection`"
    )
