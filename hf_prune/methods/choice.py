"""What a method returns: a small, complete result that knows nothing of records and files."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Ints
from hf_prune.selection.evidence import Evidence


@dataclass(frozen=True, eq=False)
class Choice:
    """The rows that a method chose among the n that it was shown.

    Attributes:
        rows: (kept,) int64 positions, the first picked first.
        scores: (n,) the method's own score of every row; NaN where it gave none.
        nested: whether `rows[:b]` is the choice at the smaller budget b.
        at_least: the smallest budget of which that is true.
        evidence: (n,) arrays by name, what the method learnt of every row, kept or not; see selection.evidence.
        details: what it reports of its run, as JSON values. Under "by_group" lie lists with a value for each group,
            under "warnings" texts.
    """

    rows: Ints
    scores: NDArray[Any]
    nested: bool = True
    at_least: int = 1
    evidence: Evidence = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def indices(self) -> Ints:
        """(kept,) int64 the rows, ascending."""
        return np.sort(self.rows)
