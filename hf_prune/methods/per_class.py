"""Any method, run inside each class on that class's quota."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from datasets.utils import tqdm

from hf_prune.budget import seat_order
from hf_prune.config import checked
from hf_prune.errors import ArgumentTypeError
from hf_prune.groups import Groups
from hf_prune.kernels import Floats
from hf_prune.methods.base import Method
from hf_prune.methods.by_score import as_method
from hf_prune.methods.choice import Choice
from hf_prune.methods.quotas import ProportionalQuotas, Quotas, checked_quotas
from hf_prune.selection.evidence import Evidence, put
from hf_prune.signals.signals import COLUMN, Signals


def _column_names(name: str, by: Any) -> str | tuple[str, ...]:
    names = (by,) if isinstance(by, str) else by
    if not isinstance(names, tuple | list) or not names or not all(isinstance(column, str) for column in names):
        raise ArgumentTypeError(
            "`by`: PerClass takes the name of a column, or a tuple of names; pass an array as prune(..., by=array)"
        )
    return by if isinstance(by, str) else tuple(by)  # a tuple comes back from JSON as a list


@dataclass(frozen=True)
class PerClass(Method):
    """Shares the budget out between classes and lets `within` choose inside each of them.

    `prune(..., quotas=, by=)` makes one around the method it is given.

    The picking order goes round the classes in the order in which they are given their places, so that a smaller
    budget (`selection.at`) has the quotas of that budget.

    Args:
        within: the method that chooses inside a class.
        quotas: "proportional", "equal", "drop", which needs `recalls`, or a Quotas object such as DRoPQuotas().
        by: name of the column to group by, or a tuple of names, whose combinations are the groups; None means `by=` of
            `prune`, or else the label column.

    Cost: that of `within` on each class, and O(n log n).

    >>> from datasets import Dataset
    >>> import hf_prune
    >>> ds = Dataset.from_dict({"label": [0, 0, 0, 0, 0, 0, 1, 1]})
    >>> ds.prune(hf_prune.PerClass(hf_prune.Random(), quotas="equal"), keep=4)["label"]
    Column([0, 0, 1, 1])
    """

    name: ClassVar[str] = "per_class"
    handed_over: ClassVar[frozenset[str]] = frozenset({"quotas", "by"})

    within: Method = field(metadata=checked(as_method))
    quotas: Quotas = field(default_factory=ProportionalQuotas, metadata=checked(checked_quotas))
    by: str | tuple[str, ...] | None = field(default=None, metadata=checked(_column_names))

    @property
    def _columns(self) -> tuple[str, ...]:
        return (self.by,) if isinstance(self.by, str) else self.by or ()

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | ({COLUMN + column for column in self._columns} or {"groups"})

    def groups(self, signals: Signals) -> Groups:
        return signals.groups(*self._columns)

    def select(self, signals: Signals, budget: int, seed: int) -> Choice:
        groups = self.groups(signals)
        weights, details = self.quotas.weigh(groups, signals)
        choice = self.by_weight(groups, weights, signals, budget, seed)
        return replace(choice, details=details | choice.details)

    def by_weight(self, groups: Groups, weights: Floats, signals: Signals, budget: int, seed: int) -> Choice:
        """The choice where the groups have these weights, (groups,) >= 0, whatever `quotas` makes of the signals."""
        at_least = self.quotas.min_per_class
        places = seat_order(weights, groups.sizes, budget, at_least=at_least)
        quotas = np.bincount(places, minlength=len(groups.names))

        order = np.empty(budget, dtype=np.int64)
        # The places of a class, in the order in which it is given them.
        places_of = np.split(np.argsort(places, kind="stable"), np.cumsum(quotas)[:-1])
        scores = np.full(len(signals), np.nan)
        details_within: dict[str, Any] = {}
        evidence: Evidence = {}
        nested, smallest = True, max(1, int(np.minimum(groups.sizes, at_least).sum()))
        for code, rows in enumerate(tqdm(groups.rows(), desc="Pruning classes", unit="class", delay=2)):
            if not len(rows):
                continue
            part = self.within.select(signals.subset(rows), int(quotas[code]), seed)
            scores[rows] = part.scores
            put(evidence, part.evidence, rows, len(signals))
            nested &= part.nested
            if part.at_least > 1:  # the class must not be cut to fewer than its own method allows
                smallest = max(smallest, int(places_of[code][part.at_least - 1]) + 1)
            order[places_of[code]] = rows[part.rows]
            if part.details:
                details_within[groups.names[code]] = part.details
        details = {"within": details_within} if details_within else {}
        return Choice(order, scores, nested, smallest, evidence, details)
