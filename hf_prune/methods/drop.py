"""DRoP: class quotas from held-out recalls, for the accuracy of the worst class."""

import logging
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import real_number, whole_number
from hf_prune.config import Configurable, checked, options_of
from hf_prune.dynamics.rows import check_finite
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups, listed
from hf_prune.kernels import Floats
from hf_prune.methods.base import Method
from hf_prune.methods.by_score import as_method
from hf_prune.methods.choice import Choice
from hf_prune.methods.per_class import PerClass
from hf_prune.methods.quotas import Quotas
from hf_prune.methods.random_ import Random
from hf_prune.recalls import Recalls, read_recalls
from hf_prune.selection.evidence import Evidence, put
from hf_prune.signals.signals import Signals

logger = logging.getLogger(__name__)

PAPER = "Vysogorets, Ahuja, Kempe, DRoP: Distributionally Robust Data Pruning (ICLR 2025), arXiv 2404.05579"


def _pair(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ArgumentTypeError(f"`{name}`: wanted two numbers >= 0, as in {name}=(1, 1), got {value!r}")
    return real_number(name, value[0], at_least=0), real_number(name, value[1], at_least=0)


@dataclass(frozen=True, kw_only=True)
class _Options(Configurable):
    """What DRoPQuotas and DRoP share."""

    cutoff_by_default: ClassVar[bool] = True  # the recall of a class is low where its labels are wrong, too

    allocate: Literal["density", "count"] = "density"
    temperature: float = field(default=1.0, metadata=checked(real_number, at_least=0))
    prior: tuple[float, float] = field(default=(1.0, 1.0), metadata=checked(_pair))
    min_per_class: int = field(default=0, metadata=checked(whole_number, at_least=0))
    missing: Literal["error", "pooled"] = "error"
    recalls_from: Literal["held-out", "train"] = "held-out"


@dataclass(frozen=True, kw_only=True)
class DRoPQuotas(_Options, Quotas):
    """Quotas that grow with a class's error: DRoP's, for any method inside the class; `quotas="drop"` is short for it.

    Weight of class k with N_k rows and held-out recall r_k: N_k (1 - r_k)^temperature with `allocate="density"` (the
    paper's), (1 - r_k)^temperature with "count" (the authors' program's). They agree where classes are of one size.
    A class of recall 1 has the weight 0 and gets rows when all others are full; where every recall is 1, quotas are
    proportional to the classes' sizes.

    Args:
        allocate: "density" or "count".
        temperature: >= 0; 1 is the paper's, 0 makes all densities (or counts) equal. Ours. The paper's overshoots
            where classes are unequally hard; 0.5, the default here, costs less average accuracy (RESULTS.md). The
            method DRoP has the paper's by default.
        prior: (a, b) of the Beta prior by which recalls are smoothed where the held-out counts are known. Ours.
        min_per_class: rows that every class keeps at least; all where it has fewer, or a cutoff leaves fewer. Ours.
        missing: what becomes of a class without a recall: "error", or "pooled", with a warning the recall of all
            classes together. Ours.
        recalls_from: "held-out" reads `recalls=`. "train" takes the share of each class's rows that `dynamics` has
            right in the last epoch, with a warning: a model is right on rows that it has learnt by heart, and most of
            all on the rare ones. Ours.

    Reference: Vysogorets, Ahuja and Kempe (2025), Algorithm 1. *Deviations*: rounding by Webster's rule, so that the
    total is the budget and no class loses by a larger one.
    """

    name: ClassVar[str] = "drop"
    reference: ClassVar[str] = PAPER

    temperature: float = field(default=0.5, metadata=checked(real_number, at_least=0))

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | {"dynamics" if self.recalls_from == "train" else "recalls"}

    def weigh(self, groups: Groups, signals: Signals) -> tuple[Floats, dict[str, Any]]:
        errors, details = self.errors(groups, signals)
        return self.weights(errors, groups), details

    def weights(self, errors: Floats, groups: Groups) -> Floats:
        """The rule itself, from (groups,) errors in [0, 1]."""
        # By the largest, because a small number to a high power is 0; only ratios matter.
        weights = (errors / (errors.max(initial=0) or 1)) ** self.temperature
        return weights * groups.sizes if self.allocate == "density" else weights

    def errors(self, groups: Groups, signals: Signals) -> tuple[Floats, dict[str, Any]]:
        """1 - recall of each group, (groups,), smoothed; and what led to it."""
        recalls, warnings = self._recalls(groups, signals)
        smoothed = recalls.smoothed(self.prior)
        by_group = {"recall": recalls.values.tolist(), "recall_used": smoothed.tolist()}
        if recalls.support is not None and (intervals := recalls.intervals()) is not None:
            by_group |= {"recall_support": recalls.support.tolist(), "recall_interval": intervals.tolist()}
        for warning in warnings:
            logger.warning("drop: %s", warning)
        return 1 - smoothed, {"by_group": by_group} | ({"warnings": warnings} if warnings else {})

    def _recalls(self, groups: Groups, signals: Signals) -> tuple[Recalls, list[str]]:
        if self.recalls_from == "train":
            warning = (
                "the recalls are those of training rows, which the model may know by heart; pass "
                "recalls=trainer.predict(validation)"
            )
            return _of_training_rows(groups, signals), [warning]
        given = signals.recalls
        recalls = read_recalls(given(signals.ids) if callable(given) else given, groups, missing=self.missing)
        if recalls.pooled is None or not recalls.pooled.any():
            return recalls, []
        names = [name for name, pooled in zip(groups.names, recalls.pooled, strict=True) if pooled]
        return recalls, [f"no recall for {listed(names)}: that of all classes together is used"]


@dataclass(frozen=True)
class DRoP(_Options, Method):
    """Keeps more of the classes that a trained model gets wrong, and a random subset inside each class.

    It is short for `PerClass(within, quotas=DRoPQuotas(temperature=1.0, ...))`. Needs `recalls=`: train on the full
    data, take the checkpoint with the best validation accuracy, and pass `trainer.predict(validation)`; never recalls
    of training rows.

    Args:
        within: the method inside a class; random is the paper's.
        allocate, temperature, prior, min_per_class, missing, recalls_from: see DRoPQuotas.
        schedule: number of rounds. 1 is the paper's. With more, `recalls=` is a function from a Dataset to recalls,
            which trains a model on those rows and predicts the validation data. Each round prunes what the one before
            has kept, by the same factor, and multiplies a class's weight by the error, to the power of temperature,
            that was measured on it: classes whose errors are equal keep their shares. Ours, experimental; costs
            `schedule` trainings. With two Gaussians and a threshold, 3 rounds at temperature 0.5 come nearer to the
            minimax risk than 1 (tests/methods/test_drop_theory.py).

    Where labels are wrong, recalls are low for that reason, and DRoP keeps more of these classes. So `prune` holds
    rows with suspect labels back by default (`cutoff="auto"`) where dynamics and embeddings are there, and shares the
    budget out over the others; `cutoff=0` is the paper's.

    Cost: O(n log n).

    Reference: Vysogorets, Ahuja and Kempe (2025), Algorithm 1. *Deviations*: those of DRoPQuotas.

    >>> from datasets import Dataset
    >>> import hf_prune
    >>> ds = Dataset.from_dict({"label": ["cat"] * 50 + ["dog"] * 50})
    >>> coreset = ds.prune("drop", keep=40, recalls={"cat": 0.6, "dog": 0.9})
    >>> [(row["group"], row["kept"]) for row in coreset.selection.group_table()]
    [('cat', 32), ('dog', 8)]
    >>> def measured(rows):  # a stand-in for training on them
    ...     return {name: rows["label"].count(name) / 100 for name in ("cat", "dog")}
    >>> coreset = ds.prune("drop", keep=40, schedule=2, recalls=measured)
    >>> [(row["group"], row["kept"]) for row in coreset.selection.group_table()]
    [('cat', 20), ('dog', 20)]
    """

    name: ClassVar[str] = "drop"
    reference: ClassVar[str] = PAPER

    within: Method = field(default_factory=Random, metadata=checked(as_method))
    schedule: int = field(default=1, metadata=checked(whole_number, at_least=1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule > 1 and self.recalls_from == "train":
            raise ArgumentError("`schedule`: rounds measure recalls again; they can't be those of one recorded run")

    @property
    def quotas(self) -> DRoPQuotas:
        return DRoPQuotas(**{option: getattr(self, option) for option in options_of(DRoPQuotas)})

    @property
    def needs(self) -> frozenset[str]:
        return PerClass(self.within, self.quotas).needs

    def groups(self, signals: Signals) -> Groups:
        return signals.groups()

    def select(self, signals: Signals, budget: int, seed: int) -> Choice:
        if self.schedule == 1:
            return PerClass(self.within, self.quotas).select(signals, budget, seed)
        return self._in_rounds(signals, budget, seed)

    def _in_rounds(self, signals: Signals, budget: int, seed: int) -> Choice:
        if not callable(signals.recalls):
            raise ArgumentError(
                f"`recalls`: schedule={self.schedule} measures them {self.schedule} times; wanted a function from a "
                f"Dataset to recalls, got {type(signals.recalls).__name__}"
            )
        groups, n, rule = signals.groups(), len(signals), self.quotas
        per_class = PerClass(self.within, rule)
        rows, errors, scores = np.arange(n), np.ones(len(groups.names)), np.full(n, np.nan)
        evidence: Evidence = {}
        rounds: list[dict[str, Any]] = []
        for number in range(1, self.schedule + 1):
            pool, left = signals.subset(rows), groups.take(rows)
            measured, details = rule.errors(left, pool)
            errors = errors * measured
            size = max(budget, round(n * (budget / n) ** (number / self.schedule)))
            part = per_class.by_weight(left, rule.weights(errors, groups), pool, size, seed)
            rounds.append({"rows": len(rows)} | details | part.details)
            scores[rows] = part.scores
            put(evidence, part.evidence, rows, n)
            rows = rows[part.indices]
        # Not nested: a smaller budget would have had other rounds.
        return Choice(rows, scores, nested=False, evidence=evidence, details=rounds[0] | {"rounds": rounds})


def _of_training_rows(groups: Groups, signals: Signals) -> Recalls:
    correct = signals.shared(("correct", "last"), _last_correct)
    seen = ~np.isnan(correct)
    support = np.bincount(groups.codes[seen], minlength=len(groups.names)).astype(np.float64)
    right = np.bincount(groups.codes[seen], weights=correct[seen], minlength=len(groups.names))
    if (unshown := (groups.sizes > 0) & (support == 0)).any():
        name = groups.names[int(unshown.argmax())]
        raise ArgumentError(f"`dynamics`: the last epoch showed no row of class {name!r}")
    return Recalls(np.divide(right, support, out=np.ones(len(support)), where=support > 0), support)


def _last_correct(whole: Signals) -> NDArray[np.float32]:
    last: NDArray[np.float32] = whole.dynamics.recorded("correct")[-1]
    check_finite(last, "correct", whole.dynamics.epochs - 1)
    return last
