"""The record of a pruning: which rows are kept, by what, from which data; it can be saved, checked and repeated."""

import copy
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from datasets import Dataset
from huggingface_hub import CommitInfo

from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.hub.repository import Repository, download, folder_of
from hf_prune.plots import plot_groups
from hf_prune.selection.carried import Description
from hf_prune.selection.data import SelectionData
from hf_prune.selection.explain import explain
from hf_prune.selection.frames import as_dataset, with_selection
from hf_prune.selection.published import SplitRecord, push_records
from hf_prune.selection.record import WRITERS, read_record, write_record
from hf_prune.selection.source import RECIPE, Source
from hf_prune.selection.summary import IN_A_REPR, summary
from hf_prune.selection.table import suspect_table, whole_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = TypeVar("Rows", Dataset, pd.DataFrame)

ATTRIBUTE = "_hf_prune_selection"
"""The attribute in which a pruned Dataset carries its selection; datasets copies it only with the rows."""


@dataclass(frozen=True, eq=False)
class Selection(SelectionData):
    __doc__ = SelectionData.__doc__

    def apply(self, dataset: Rows, *, id_column: str | None = None) -> Rows:
        """The kept rows of `dataset`, which must be the source: row count and column digests are compared.

        Added and dropped columns are fine as long as one recorded column is left.

        Args:
            dataset: a Dataset or a pandas frame.
            id_column: a column with the ids that the record holds (see `save`); they are compared too, and suffice
                where no recorded column is left.

        Raises:
            AlignmentError: the dataset is not the source; the message says what was compared.
        """
        pruned = self._checked(dataset, id_column).select(self.indices)
        return self.attach(pruned) if isinstance(dataset, Dataset) else with_selection(dataset, self, pruned)

    def _checked(self, dataset: Any, id_column: str | None) -> Dataset:
        """The source, which may be given as a frame."""
        whole = as_dataset(dataset) if isinstance(dataset, pd.DataFrame) else dataset
        if not isinstance(whole, Dataset):
            raise ArgumentTypeError(f"`dataset`: wanted a datasets.Dataset, got {type(dataset).__name__}")
        self.source.check(whole, id_column)
        return whole

    def verify(self, pruned: Dataset) -> None:
        """Refuse a dataset that is not what was pushed with this record, such as one of an unfinished push.

        Raises:
            AlignmentError: other row count, or a column with other values; ArgumentError: the record was pushed alone.
        """
        if self.pruned_digests is None:
            raise ArgumentError("this record was saved or pushed without the pruned rows; use apply on the source")
        Source(len(self), {}, recorded=self.pruned_digests).check(pruned)

    def attach(self, pruned: Dataset) -> Dataset:
        """Let `pruned`, whose rows these are, carry this selection and say in its description where it comes from."""
        rows = copy.copy(pruned)
        rows._info = pruned.info.copy()
        rows._info.description = description = (pruned.info.description or "").partition(RECIPE)[0].strip()
        text = f"{description}\n\n{RECIPE} {'; '.join(self.history())}".strip()
        pruned.info.description = Description(text, self, Source(len(self), {}, rows))
        setattr(pruned, ATTRIBUTE, self)
        return pruned

    def __repr__(self) -> str:
        return f"Selection of {summary(self, IN_A_REPR)}"

    def summary(self) -> str:
        """A few lines to read: every step, what its method says, and what each class kept and its recall before.

        Of more than 30 groups or classes those that kept the smallest shares are listed.
        """
        return summary(self)

    @property
    def suspects(self) -> Dataset:
        """The rows that a cutoff found suspect, the most suspect first; empty without one.

        A row for each, with "row", its position in the source; "class"; "kept", whether it had to be kept after all;
        "trust", lowest first: for "auto" from -2 to 2, for a fraction the mean margin; "reason", in words. A record
        that was pushed without explain=True has neither trust nor reason. To look at the rows themselves:
        `ds.select(selection.suspects["row"])`. `find_label_errors` also suggests labels.
        """
        return suspect_table(self)

    def to_dataset(self) -> Dataset:
        """A table of all n rows: "row", "kept", "score", "rank", "class" and "group" where known, and "reason".

        Rank is the place in the picking order, 0 = first, and null for rows that are not kept. The group is that of
        quotas, where it is not the class.
        """
        return whole_table(self)

    def to_pandas(self) -> pd.DataFrame:
        """`to_dataset` as a frame."""
        return self.to_dataset().to_pandas()

    def dropped(self, dataset: Rows, *, id_column: str | None = None) -> Rows:
        """The rows of the source that are not kept, in its order; `dataset` is checked as in `apply`.

        Raises:
            AlignmentError: the dataset is not the source.
        """
        whole, rows = self._checked(dataset, id_column), np.flatnonzero(~self.kept)
        return whole.select(rows) if isinstance(dataset, Dataset) else dataset.iloc[rows]

    def plot(self) -> "Figure":
        """A picture of what each group of quotas kept, or without quotas each class: rows on top, shares below.

        Raises:
            ArgumentError: neither groups nor labels are known. MissingExtraError: matplotlib is not installed.

        >>> from datasets import Dataset, DatasetDict
        >>> import hf_prune
        >>> ds = Dataset.from_dict({"label": ["cat"] * 50 + ["dog"] * 50})
        >>> selection = ds.prune("drop", keep=40, recalls={"cat": 0.9, "dog": 0.6}).selection
        >>> [label.get_text() for label in selection.plot().axes[1].get_xticklabels()]
        ['dog', 'cat']
        """
        return plot_groups(self.group_table())

    def explain(self, i: int) -> str:
        """A few lines to read: why the row at position `i` of the source was kept or dropped.

        Raises:
            ArgumentError: no such row; ArgumentTypeError: no whole number.

        >>> from datasets import Dataset, DatasetDict
        >>> import hf_prune, numpy as np
        >>> points = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> ds = Dataset.from_dict({"x": "abcd"})
        >>> selection = ds.prune("d2", keep=2, k=1, gamma=0.1, scores=[2, 1, 3, 4], embeddings=points).selection
        >>> print(selection.explain(3))
        row 3: kept, picked 1st of 2
          d2(score=given_scores, k=1, gamma=0.1) kept 2 of 4 rows, seed 0
          score 4; its difficulty and that of the rows near it (1.104) add up to 5.104
          5.104 was left when it was picked, more than of any other
        >>> print(selection.explain(2))
        row 2: dropped
          d2(score=given_scores, k=1, gamma=0.1) kept 2 of 4 rows, seed 0
          score 3; its difficulty and that of the rows near it (1.472) add up to 4.472
          row 3 is near it and was picked before, which took most: 4.618 of 4.472
          -0.1464 was left, and the last row picked had 2.368
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
        write_record(path, self, id_column=id_column)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            ArgumentError: no such folder, or its files are damaged or contradict each other.
        """
        return read_record(cls, path)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        config: str = "default",
        split: str | None = None,
        explain: bool = False,
        id_column: str | None = None,
        **options: Any,
    ) -> CommitInfo:
        """Push the record alone, without the data: a few bytes a row. `from_hub` reads it.

        Args:
            repo_id: of a dataset repository, which is made if it isn't there, as in "me/cifar10-d2-30".
            config, split: where `from_hub` finds it; the split is by default that of the source.
            explain, id_column: as in hf_prune.push_to_hub.
            options: `token`, `revision`, `create_pr` and `private` as in Dataset.push_to_hub.
        """
        split = split or self.source.origin.get("split") or "train"
        record = SplitRecord(self, config, split, explain, id_column)
        return push_records(Repository(repo_id, **options), [record])

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        config: str = "default",
        split: str = "train",
        revision: str | None = None,
        *,
        token: str | bool | None = None,
        max_bytes: int = 2**31,
    ) -> Self:
        """Read the record that was pushed, alone or with a dataset; nothing in it is executed.

        Args:
            max_bytes: larger files are not downloaded; a record takes some 4 to 13 bytes a row of the source.

        Raises:
            ArgumentError: no such repository or record, or it is larger, or damaged.
        """
        folder = folder_of(config, split)
        files = download(repo_id, [f"{folder}/{name}" for name in WRITERS], revision, token, max_bytes=max_bytes)
        try:
            return cls.load(files[0].parent)
        except ArgumentError as error:
            raise ArgumentError(f"`repo_id`: the record in {repo_id!r} can't be used; {error}") from error
