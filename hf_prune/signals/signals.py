"""What a method may read of a dataset: row-aligned arrays, the same for all rows or one class of them."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, cast

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.errors import MissingSignalError
from hf_prune.groups import Groups, crossed
from hf_prune.labels import HOW_TO_GIVE as HOW_TO_GIVE_LABELS
from hf_prune.recalls import RecallsLike

HOW_TO_GIVE = {
    "labels": HOW_TO_GIVE_LABELS,
    "groups": "pass by= or label_column= with the name of a column of ints, strings or bools",
    "dynamics": "train with `callbacks=[recorder := hf_prune.PruningTrainerCallback()]` and pass dynamics=recorder "
    "(D2 also takes a difficulty of your own as scores=)",
    "embeddings": "pass embeddings= with an (n, d) array or a column name, or encoder= with a checkpoint's name, or "
    "train with PruningTrainerCallback(features=True) and pass dynamics=",
    "scores": "pass scores= with one number for each row, higher = harder",
    "recalls": "pass recalls=trainer.predict(validation), or a mapping from class to recall on held-out data",
}
"""For each signal the line that tells a user how to give it."""

EARLY_FEATURES, LAST_FEATURES = "early features", "features of the last recorded epoch"
"""The origins of embeddings that are a run's own: from before it memorises labels, and as it left them."""

COLUMN = "column:"
"""Prefix of the name of a signal that is a grouping column of the dataset, as in "column:background"."""


class Signals:
    """The signals of `n` rows, or a view of some of them.

    A method reads what it declared in `reads` and nothing else; `seen` records what was read.

    Args:
        n: rows in the dataset.
        given: signals by name; row-aligned but for "recalls".
        origins: in words where a signal is from, for those of which a method wants to know.

    Attributes:
        seen: names of the signals that were read.
        notes: what methods have to say of the whole dataset, as JSON values for the record; one for all views.

    >>> Signals(3, {"scores": np.array([0.1, 0.2, 0.3])}).subset(np.array([2])).scores
    array([0.3])
    """

    def __init__(self, n: int, given: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> None:
        self._given = dict(given)
        self._rows: NDArray[np.int64] | None = None
        self._n = n
        self._whole = self
        self._shared: dict[Hashable, NDArray[Any]] = {}
        self.seen: set[str] = set()
        self.origins = dict(origins or {})
        self.notes: dict[str, Any] = {}

    def subset(self, rows: NDArray[np.int64]) -> "Signals":
        """A view of `rows`, positions in this one; arrays are cut when they are read."""
        view = Signals.__new__(Signals)
        view.__dict__ |= self.__dict__
        view._rows = rows if self._rows is None else self._rows[rows]
        view._n = len(rows)
        return view

    def __len__(self) -> int:
        return self._n

    @property
    def ids(self) -> NDArray[np.int64]:
        """(n,) int64 positions of these rows in the dataset."""
        return np.arange(self._n) if self._rows is None else self._rows

    @property
    def scores(self) -> NDArray[np.float64]:
        """(n,) difficulty that the user gave, higher = harder."""
        return self._cut(self._read("scores"))

    @property
    def embeddings(self) -> NDArray[Any]:
        """(n, d) floats, one vector a row: those that were passed, else the features that the run recorded."""
        return self._cut(self._read("embeddings"))

    @property
    def dynamics(self) -> TrainingDynamics:
        """Training dynamics of the whole dataset; read them inside `shared`, which cuts the result to these rows."""
        return cast(TrainingDynamics, self._read("dynamics"))

    @property
    def rows(self) -> Dataset:
        """The whole dataset, for scores that read its columns; read it inside `shared`."""
        return cast(Dataset, self._read("rows"))

    @property
    def recalls(self) -> RecallsLike | Callable[[NDArray[np.int64]], RecallsLike]:
        """Recalls as the user gave them, for `read_recalls`, or a function from positions in the dataset to these."""
        return cast(RecallsLike | Callable[[NDArray[np.int64]], RecallsLike], self._read("recalls"))

    @property
    def labels(self) -> Groups:
        """The classes of these rows."""
        return self._groups("labels")

    def groups(self, *columns: str) -> Groups:
        """The groups of a column, or the combinations of several; without one those of `by=`, by default labels."""
        if not columns:
            return self._groups("groups")
        return crossed({column: self._groups(COLUMN + column) for column in columns})

    def shared(self, key: Hashable, compute: Callable[["Signals"], NDArray[Any]]) -> NDArray[Any]:
        """One value a row, computed once over the whole dataset whichever pools ask for it, cut to these rows.

        Args:
            key: what identifies the quantity, such as the score method.
            compute: from the signals of all rows to an (n,) array.
        """
        if key not in self._shared:
            self._shared[key] = compute(self._whole)
        return self._cut(self._shared[key])

    def _read(self, name: str) -> Any:
        self.seen.add(name)
        if name not in self._given:
            raise MissingSignalError(f"{name} were not given: {how_to_give(name)}")
        return self._given[name]

    def _groups(self, name: str) -> Groups:
        groups = cast(Groups, self._read(name))
        return groups if self._rows is None else groups.take(self._rows)

    def _cut(self, array: NDArray[Any]) -> NDArray[Any]:
        return array if self._rows is None else array[self._rows]


def how_to_give(name: str) -> str:
    """The line that tells a user how to give a signal."""
    return HOW_TO_GIVE.get(name, f"the dataset needs a column {name.removeprefix(COLUMN)!r} of ints, strings or bools")
