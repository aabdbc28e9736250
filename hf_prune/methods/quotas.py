"""How a budget is shared out between groups: each rule gives weights, `budget.seat_order` makes them whole numbers."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from hf_prune.arguments import did_you_mean
from hf_prune.config import Configurable, named, registered
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups
from hf_prune.kernels import Floats
from hf_prune.signals.signals import Signals


class Quotas(Configurable):
    """Base of the rules; a subclass is a frozen dataclass with a `name` and `weigh`."""

    kind = "rule"
    min_per_class: int = 0
    """Rows that every group keeps at least."""

    def weigh(self, groups: Groups, signals: Signals) -> tuple[Floats, dict[str, Any]]:
        """Weight of each group, (groups,) float64 >= 0, and what led to it as JSON values for the record."""
        raise NotImplementedError


@dataclass(frozen=True)
class ProportionalQuotas(Quotas):
    """Every group keeps the same share of its rows."""

    name: ClassVar[str] = "proportional"

    def weigh(self, groups: Groups, signals: Signals) -> tuple[Floats, dict[str, Any]]:
        return groups.sizes.astype(np.float64), {}


@dataclass(frozen=True)
class EqualQuotas(Quotas):
    """Every group keeps the same number of rows, up to its size: class-balanced."""

    name: ClassVar[str] = "equal"

    def weigh(self, groups: Groups, signals: Signals) -> tuple[Floats, dict[str, Any]]:
        return np.ones(len(groups.names)), {}


QuotasLike: TypeAlias = Quotas | Literal["proportional", "equal", "drop"]
"""How a budget is shared out: the same share of each group, the same number of rows, more where recalls are lower, or
by a rule of one's own."""


def checked_quotas(name: str, value: Any) -> Quotas:
    """`quotas=` as users pass it: the name of a rule, or a Quotas object."""
    if isinstance(value, Quotas):
        return value
    if not isinstance(value, str):
        raise ArgumentTypeError(f'`{name}`: wanted "proportional", "equal", "drop" or a Quotas object, got {value!r}')
    rules = registered("rule")
    if value not in rules:
        raise ArgumentError(f"`{name}`: unknown {value!r}.{did_you_mean(value, rules)} Available: {sorted(rules)}")
    rule: Quotas = named("rule", value, {})
    return rule
