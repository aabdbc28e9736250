"""Any method, run without the rows whose labels are suspect."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import did_you_mean, real_number
from hf_prune.config import checked
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.errors import ArgumentError
from hf_prune.groups import NAMED
from hf_prune.methods.base import Method
from hf_prune.methods.by_score import as_method
from hf_prune.methods.choice import Choice
from hf_prune.methods.suspects import judged
from hf_prune.selection.evidence import Evidence, put
from hf_prune.selection.explain import Row
from hf_prune.selection.table import doubts_of_a_label
from hf_prune.signals.signals import Signals

logger = logging.getLogger(__name__)

Cutoff = float | Literal["auto"]

MANY = 0.15
"""Share of contradicted labels from which on the user is told that nothing is held back."""


def checked_cutoff(name: str, cutoff: Any) -> Cutoff:
    """The cutoff that users mean, which must be a fraction in [0, 1) or "auto"."""
    if not isinstance(cutoff, str):
        return real_number(name, cutoff, at_least=0, below=1)
    if cutoff != "auto":
        hint = did_you_mean(cutoff, ["auto"])
        raise ArgumentError(f'`{name}`: wanted a fraction in [0, 1) or "auto", got {cutoff!r}.{hint}')
    return "auto"


@dataclass(frozen=True)
class WithoutSuspects(Method):
    """Holds back the rows whose labels are suspect, and lets `within` choose among the others.

    `prune(..., cutoff=)` makes one around the method that it is given, quotas included: these are shared out over the
    rows that are not held back. Rows that are held back are taken, the least suspect first, only where all others are
    too few for the budget.

    Args:
        within: the method that chooses.
        cutoff: which rows are suspect: a fraction in [0, 1) of the whole dataset, those of lowest AUM, or "auto",
            which reads the fraction and the rows from dynamics, labels and a nearest-neighbour graph of all rows
            (`hf_prune.methods.suspects` has the rule). 0 holds nothing back.

    Cost: that of `within`, O(epochs * n), and for "auto" the O(n^2 d) of the graph.

    >>> from datasets import Dataset
    >>> import hf_prune
    >>> ds = Dataset.from_dict({"label": [0, 0, 0, 0]})
    >>> run = hf_prune.TrainingDynamics.from_logits([[[2.0, 0.0], [-3.0, 0.0], [1.0, 0.0], [4.0, 0.0]]], [0, 0, 0, 0])
    >>> ds.prune("el2n", keep=2, cutoff=0.25, dynamics=run).selection.indices  # not row 1, whose margin is the lowest
    array([0, 2])
    """

    name: ClassVar[str] = "without_suspects"
    handed_over: ClassVar[frozenset[str]] = frozenset({"cutoff"})

    within: Method = field(metadata=checked(as_method))
    cutoff: Cutoff = field(default="auto", metadata=checked(checked_cutoff))

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(isinstance(part, WithoutSuspects) for part in self.within.walk()):
            raise ArgumentError(f"`within`: {self.within!r} has a cutoff of its own; leave one of the two out")

    @property
    def needs(self) -> frozenset[str]:
        if self.cutoff == "auto":
            return super().needs | {"dynamics", "labels", "embeddings"}
        return super().needs | ({"dynamics"} if self.cutoff else frozenset())

    def select(self, signals: Signals, budget: int, seed: int) -> Choice:
        if not self.cutoff:
            return self.within.select(signals, budget, seed)
        rating = judged(signals, self.cutoff)
        place = rating["place"]
        rows = np.flatnonzero(place == 0)
        spare = np.argsort(-place, kind="stable")[: len(signals) - len(rows)]
        inside = self.within.select(signals.subset(rows), min(budget, len(rows)), seed)
        evidence: Evidence = {"suspect": place > 0, "trust": np.where(place > 0, rating["trust"], np.nan)}
        if self.cutoff == "auto":
            evidence["neighbors"] = np.where(place > 0, rating["neighbors"], np.nan)
        put(evidence, inside.evidence, rows, len(signals))
        order = np.concatenate([rows[inside.rows], spare[: budget - len(inside.rows)]])
        scores = self.scores(signals, seed).copy()  # of the rows held back too, where the method can score them
        scores[rows] = inside.scores
        return Choice(order, scores, inside.nested, inside.at_least, evidence, inside.details)

    def explain(self, row: Row) -> list[str]:
        if not row.marked("suspect"):
            return self.within.explain(row)
        kept = "kept although suspect" if row.is_kept else "left out as suspect or unlearnable (cutoff)"
        why = doubts_of_a_label(row.amount("trust"), row.amount("neighbors"))
        return [f"{kept}: {why}" if why else kept, *self.within.explain(row)]

    def reasons(self, kept: NDArray[np.bool_], evidence: Evidence) -> dict[str, NDArray[np.bool_]]:
        suspect = evidence.get("suspect", np.zeros(len(kept), dtype=bool))
        own = {"suspect or unlearnable": suspect & ~kept, "kept although suspect": suspect & kept}
        return self.within.reasons(kept, evidence) | own

    def summarise(self, details: Mapping[str, Any]) -> list[str]:
        try:
            own = _lines(details["cutoff"]) if self.cutoff else []
        except KeyError as error:
            raise ValueError(f"the details of the cutoff lack {error}") from error
        return [*own, *self.within.summarise(details)]


def with_cutoff(
    method: Method, cutoff: Cutoff | None, available: frozenset[str], run: Callable[[], TrainingDynamics]
) -> tuple[Method, list[str]]:
    """The method with the rows held back that `cutoff=` of `prune` means, and notes for the record.

    Args:
        cutoff: None means "auto" for methods that ask for it (`cutoff_by_default`), where the signals for it are
            there, and else 0.
        available: names of the signals that were passed.
        run: gives the dynamics; asked only where they are there.
    """
    inside = any(isinstance(part, WithoutSuspects) for part in method.walk())
    if cutoff is None:
        if inside or not any(getattr(part, "cutoff_by_default", False) for part in method.walk()):
            return method, []
        if reason := _why_not(method, available, run):
            return method, [f"cutoff 0: {reason}"]
        return WithoutSuspects(method), []
    if inside:
        raise ArgumentError(f"`cutoff`: {method!r} has a cutoff of its own; leave one of the two out")
    return (WithoutSuspects(method, cutoff) if checked_cutoff("cutoff", cutoff) else method), []


def _why_not(method: Method, available: frozenset[str], run: Callable[[], TrainingDynamics]) -> str | None:
    """Why nothing is held back with these signals; None where "auto" has what it reads."""
    if "scores" in available and "scores" in method.resolve(available).needs:
        return "scores= were passed"
    if "dynamics" not in available:
        return "no dynamics were passed"
    if "labels" not in available:
        return "there is no label column"
    dynamics = run()
    if dynamics.task != "single-label":
        return f"a row has no single label in dynamics of the task {dynamics.task!r}"
    if "embeddings" in available or dynamics.features:
        return None
    reason, wrong = "no embeddings were passed, and the dynamics hold no features", _share_mostly_wrong(dynamics)
    if wrong < MANY:
        return reason
    reason += (
        f"; in half of its epochs or more the run contradicts {wrong:.0%} of the labels, and where these are wrong a "
        "low recall is no difficulty: record with PruningTrainerCallback(features=True), or pass embeddings=, for "
        'cutoff="auto"'
    )
    logger.warning("cutoff 0: %s", reason)
    return reason


def _share_mostly_wrong(dynamics: TrainingDynamics) -> float:
    """The share of rows that were predicted wrong in half of the epochs that showed them, or in more; 0 if unknown."""
    if "correct" not in dynamics.signals:
        return 0.0
    wrong, right = (np.zeros(len(dynamics), dtype=np.int64) for _ in range(2))
    for correct in dynamics["correct"]:
        wrong += correct == 0
        right += correct == 1
    return float(np.mean((wrong >= right) & (wrong > 0)))


def _lines(note: Mapping[str, Any]) -> list[str]:
    """What a summary says of the rows that were held back."""
    taken = f"{note['cut']:,} of {note['rows']:,} rows held back"
    if note["cutoff"] != "auto":
        return [f"cutoff {note['cutoff']}: {taken}, those with the lowest AUM"]
    found = f"suspect or unlearnable fraction {note['fraction']:.3f}, {taken}"
    if (meant := round(note["fraction"] * note["rows"])) > note["cut"]:
        found += f" and not {meant:,}: of the others labels are upheld, or their class may lose no more"
    if note["doubt"]:
        found = f"nothing held back, whatever the estimate of {note['estimate']:.3f}: {note['doubt']}"
    lines = [f"cutoff auto: {found}"]
    classes = note["classes"]
    losing = [row for row in zip(classes["name"], classes["rows"], classes["cut"], strict=True) if row[2]]
    losing.sort(key=lambda row: -row[2])
    lines += [f"  {name}: {cut:,} of {rows:,}" for name, rows, cut in losing[:NAMED]]
    if len(losing) > NAMED:
        lines.append(f"  and {len(losing) - NAMED} more classes")
    return lines + [f"warning: {warning}" for warning in note["warnings"]]
