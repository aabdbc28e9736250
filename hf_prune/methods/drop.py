"""DRoP: class quotas from held-out recalls, for the accuracy of the worst class."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import instance_of, one_of, real_number, whole_number
from hf_prune.errors import ArgumentTypeError
from hf_prune.groups import Groups
from hf_prune.methods.base import Method
from hf_prune.methods.per_class import PerClass
from hf_prune.methods.random_ import Random
from hf_prune.quotas import Quotas
from hf_prune.recalls import read_recalls
from hf_prune.selection import Selection
from hf_prune.signals import Signals


@dataclass(frozen=True)
class DRoPQuotas(Quotas):
    """Quotas that grow with a class's error: DRoP's, for any method inside the class.

    Weight of class k with N_k rows and held-out recall r_k: N_k (1 - r_k)^temperature with `allocate="density"` (the
    paper's), (1 - r_k)^temperature with "count" (the authors' program's). They agree where classes are of one size.

    Args:
        allocate: "density" or "count".
        temperature: >= 0; 1 is the paper's, 0 makes all densities (or counts) equal. Ours.
        prior: (a, b) of the Beta prior by which recalls are smoothed where the held-out counts are known. Ours.
        min_per_class: rows that every class keeps at least. Ours.

    Reference: Vysogorets, Ahuja, Kempe, *DRoP: Distributionally Robust Data Pruning* (ICLR 2025), arXiv 2404.05579,
    Algorithm 1. *Deviations*: rounding by Webster's rule, so that the total is the budget and no class loses by a
    larger one.
    """

    name: ClassVar[str] = "drop"
    reads: ClassVar[frozenset[str]] = frozenset({"recalls"})

    allocate: Literal["density", "count"] = "density"
    temperature: float = 1.0
    prior: tuple[float, float] = (1.0, 1.0)
    min_per_class: int = 0

    def __post_init__(self) -> None:
        one_of("allocate", self.allocate, ("density", "count"))
        object.__setattr__(self, "temperature", real_number("temperature", self.temperature, at_least=0))
        object.__setattr__(self, "prior", _pair("prior", self.prior))
        object.__setattr__(self, "min_per_class", whole_number("min_per_class", self.min_per_class, at_least=0))

    def weigh(self, groups: Groups, signals: Signals) -> tuple[NDArray[np.float64], dict[str, Any]]:
        recalls = read_recalls(signals.recalls, groups)
        smoothed = recalls.smoothed(self.prior)
        weights = (1 - smoothed) ** self.temperature
        if self.allocate == "density":
            weights = weights * groups.sizes
        details: dict[str, Any] = {"recalls": recalls.values.tolist(), "recalls_used": smoothed.tolist()}
        if recalls.support is not None:
            details["recall_support"] = recalls.support.tolist()
        return weights, details


@dataclass(frozen=True)
class DRoP(Method):
    """Keeps more of the classes that a trained model gets wrong, and a random subset inside each class.

    The same as `PerClass(within, quotas=DRoPQuotas(...))`. Needs `recalls=`: train on the full data, take the
    checkpoint with the best validation accuracy, and pass `trainer.predict(validation)`; never recalls of training
    rows.

    Args:
        within: the method inside a class; random is the paper's.
        allocate, temperature, prior, min_per_class: as in DRoPQuotas.

    Cost: O(n log n).

    Reference: as DRoPQuotas.

    >>> from datasets import Dataset
    >>> import hf_prune
    >>> ds = Dataset.from_dict({"label": ["cat"] * 50 + ["dog"] * 50})
    >>> coreset = ds.prune("drop", keep=40, recalls={"cat": 0.6, "dog": 0.9})
    >>> [(row["group"], row["kept"]) for row in coreset.selection.group_table()]
    [('cat', 32), ('dog', 8)]
    """

    name: ClassVar[str] = "drop"

    within: Method = field(default_factory=Random)
    allocate: Literal["density", "count"] = "density"
    temperature: float = 1.0
    prior: tuple[float, float] = (1.0, 1.0)
    min_per_class: int = 0

    def __post_init__(self) -> None:
        instance_of("within", self.within, Method, "hf_prune.Random()")
        quotas = self.quotas  # which checks and normalises the options that it shares
        object.__setattr__(self, "temperature", quotas.temperature)
        object.__setattr__(self, "prior", quotas.prior)
        object.__setattr__(self, "min_per_class", quotas.min_per_class)

    @property
    def quotas(self) -> DRoPQuotas:
        return DRoPQuotas(self.allocate, self.temperature, self.prior, self.min_per_class)

    @property
    def needs(self) -> frozenset[str]:
        return PerClass(self.within, self.quotas).needs

    def select(self, signals: Signals, budget: int, seed: int) -> Selection:
        return PerClass(self.within, self.quotas).select(signals, budget, seed)


def _pair(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ArgumentTypeError(f"`{name}`: wanted two numbers >= 0, as in {name}=(1, 1), got {value!r}")
    return real_number(name, value[0], at_least=0), real_number(name, value[1], at_least=0)
