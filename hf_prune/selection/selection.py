"""The record of a pruning: which rows are kept, by what, from which data; it can be saved, checked and repeated."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from datasets import Dataset

from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.selection.explain import explain
from hf_prune.selection.files import read_record, write_record
from hf_prune.selection.published import pull_selection, push_selection
from hf_prune.selection.record import from_record, to_record
from hf_prune.selection.selected import Selected
from hf_prune.selection.source import RECIPE, Source
from hf_prune.selection.summary import summary

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo
    from matplotlib.figure import Figure

ATTRIBUTE = "_hf_prune_selection"
"""The attribute in which a pruned Dataset carries its selection."""


@dataclass(frozen=True, eq=False)
class Selection(Selected):
    __doc__ = Selected.__doc__

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

    def summary(self) -> str:
        """A few lines to read: every step, and for quotas what each group kept and its recall before."""
        return summary(self)

    def plot(self) -> "Figure":
        """A picture of what each group kept: rows before and after on top, the kept share below.

        Raises:
            ArgumentError: the selection has no groups. MissingExtraError: matplotlib is not installed.

        >>> from datasets import Dataset
        >>> import hf_prune
        >>> ds = Dataset.from_dict({"label": ["cat"] * 50 + ["dog"] * 50})
        >>> selection = ds.prune("drop", keep=40, recalls={"cat": 0.9, "dog": 0.6}).selection
        >>> [label.get_text() for label in selection.plot().axes[1].get_xticklabels()]
        ['dog', 'cat']
        """
        from hf_prune.plots import plot_groups

        return plot_groups(self.group_table())

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
          d2(score=given_scores, k=1, gamma=0.1) kept 2 of 4 rows, seed 0
          score 4, message 1.104, density 5.104
          5.104 was left when it was picked
        >>> print(selection.explain(2))
        row 2: dropped
          d2(score=given_scores, k=1, gamma=0.1) kept 2 of 4 rows, seed 0
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
            return cls(**from_record(header, table))
        except (ValueError, KeyError, TypeError) as error:
            raise ArgumentError(f"`path`: the selection in {os.fspath(path)!r} is damaged: {error}") from error

    def push_to_hub(self, repo_id: str, **options: Any) -> "CommitInfo":
        """Push the record alone, without the data: a few bytes a row. `from_hub` reads it.

        Args:
            repo_id: of a dataset repository, which is made if it isn't there, as in "me/cifar10-d2-30".
            options: `config`, by default "default"; `split`, that of the source; `token`, `revision`, `create_pr` and
                `private` as in Dataset.push_to_hub; `explain` and `id_column` as in hf_prune.push_to_hub.
        """
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
    ) -> Self:
        """Read the record that was pushed, alone or with a dataset; nothing in it is executed.

        Raises:
            ArgumentError: no such repository or record, or it is damaged.
        """
        return pull_selection(cls.load, repo_id, config, split, revision, token)


def live_selection(dataset: Dataset) -> Selection | None:
    """The selection that a dataset carries, if it still has the pruned rows."""
    found: Selection | None = getattr(dataset, ATTRIBUTE, None)
    return found if found is not None and len(found) == len(dataset) else None


def selection_of(dataset: Dataset) -> Selection:
    """The selection that a pruned dataset carries, while it still has the pruned rows.

    Keep it before `map`, `filter` or `sort`, as in `sel = coreset.selection`; what these return carries none.

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
