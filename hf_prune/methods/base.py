"""What every method is: a frozen dataclass that turns signals, a budget and a seed into a Selection."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import one_of, whole_number
from hf_prune.config import Configurable
from hf_prune.dynamics.dynamics import Epochs
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.methods.suspects import Cutoff, checked_cutoff, cutoff_needs, suspects, why_no_cutoff
from hf_prune.selection.evidence import Evidence, put
from hf_prune.selection.selection import Selection
from hf_prune.signals.signals import Signals

Prefer = Literal["hard", "easy", "middle"]


class Method(Configurable):
    """Base of the methods; a subclass has a `name`, says in `reads` which signals it reads, and has `select`."""

    kind = "method"

    def select(self, signals: Signals, budget: int, seed: int) -> Selection:
        """Exactly `budget` of the rows of `signals`, 0 <= budget <= n, as positions in `signals`."""
        raise NotImplementedError


@dataclass(frozen=True)
class PoolMethod(Method):
    """Base of the methods that choose from one pool; a subclass has `raw_scores` and `choose`.

    Args:
        cutoff: which rows are held back because their labels are suspect: a fraction in [0, 1) of the whole dataset,
            lowest AUM first, or "auto", which reads the fraction and the rows from dynamics, labels and a
            nearest-neighbour graph of all rows (methods.suspects has the rule). Held-back rows are taken, least
            suspect first, only where a pool has too few others for its budget. None is "auto" where dynamics
            and labels are passed and `scores=` are not, else 0.
    """

    cutoff: Cutoff = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", checked_cutoff(self.cutoff))

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | cutoff_needs(self.cutoff)

    def resolve(self, available: frozenset[str]) -> Self:
        resolved = super().resolve(available)
        if self.cutoff is not None:
            return resolved
        return replace(resolved, cutoff=0.0 if why_no_cutoff(available) else "auto")

    def notes(self, available: frozenset[str]) -> dict[str, Any]:
        reason = why_no_cutoff(available) if self.cutoff is None else None
        return super().notes(available) | ({"cutoff": {"cutoff": 0.0, "because": reason}} if reason else {})

    def raw_scores(self, signals: Signals, seed: int) -> NDArray[np.float64]:
        """(n,) the method's own score of every row, for the record."""
        raise NotImplementedError

    def choose(self, pool: Signals, budget: int, seed: int) -> Selection:
        """As `select` and with a rank, from rows that may all be kept."""
        raise NotImplementedError

    def select(self, signals: Signals, budget: int, seed: int) -> Selection:
        if not self.cutoff:
            return self.choose(signals, budget, seed)
        place = suspects(signals, self.cutoff)
        rows = np.flatnonzero(place == 0)
        spare = np.argsort(-place, kind="stable")[: len(signals) - len(rows)]
        chosen = self.choose(signals.subset(rows), min(budget, len(rows)), seed)
        order = np.concatenate([rows[chosen.order], spare[: budget - len(chosen)]])
        evidence: Evidence = {"suspect": place > 0}
        put(evidence, chosen.evidence, rows, len(signals))
        scores = self.raw_scores(signals, seed)
        return Selection.from_order(order, scores, at_least=chosen.at_least, details=chosen.details, evidence=evidence)


@dataclass(frozen=True)
class ScoreMethod(PoolMethod):
    """Keeps the rows at one end, or in the middle, of a score.

    A subclass implements `score` in the paper's own units and says which way it points in `higher_is`; sign, ties (the
    lowest row first) and top-k are settled here.

    Args:
        prefer: keep the "hard" end, the "easy" end, or the "middle" (ranks nearest to the median).
        cutoff: as in PoolMethod.
    """

    higher_is: ClassVar[Literal["harder", "easier"]]
    prefer: Prefer = "hard"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("prefer", self.prefer, ("hard", "easy", "middle"))

    def score(self, signals: Signals) -> NDArray[Any]:
        """(n,) score of every row, finite, in the paper's units."""
        raise NotImplementedError

    def scores_of(self, signals: Signals) -> NDArray[np.float64]:
        """`score`, computed once over the whole dataset and checked, for the rows of `signals`."""
        return signals.shared(self, self._checked)

    def difficulty(self, signals: Signals) -> NDArray[np.float64]:
        """The score turned so that higher is harder, and never negative.

        If the lowest oriented score of the whole dataset is negative it is subtracted; others are used as they are.
        """
        return signals.shared(("difficulty", self), self._turned)

    def raw_scores(self, signals: Signals, seed: int) -> NDArray[np.float64]:
        return self.scores_of(signals)

    def choose(self, pool: Signals, budget: int, seed: int) -> Selection:
        scores = self.scores_of(pool)
        hardest_first = -scores if self.higher_is == "harder" else scores
        if self.prefer == "middle":
            place = np.empty(len(scores), dtype=np.int64)
            place[np.argsort(hardest_first, kind="stable")] = np.arange(len(scores))
            key = np.abs(2 * place - (len(scores) - 1))
        else:
            key = hardest_first if self.prefer == "hard" else -hardest_first
        return Selection.from_order(np.argsort(key, kind="stable")[:budget], scores)

    def _checked(self, whole: Signals) -> NDArray[np.float64]:
        scores = np.asarray(self.score(whole), dtype=np.float64)
        if scores.shape != (len(whole),):
            raise ArgumentError(
                f"`{self.name}`: wanted a score for each of {len(whole)} rows, got shape {scores.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            raise ArgumentError(
                f"`{self.name}`: row {bad[0]} has the score {scores[bad[0]]} ({len(bad)} rows not finite)"
            )
        return scores

    def _turned(self, whole: Signals) -> NDArray[np.float64]:
        scores = self.scores_of(whole)
        oriented = scores if self.higher_is == "harder" else -scores
        lowest = oriented.min(initial=0.0)
        return oriented - lowest if lowest < 0 else oriented


@dataclass(frozen=True)
class DynamicsScore(ScoreMethod):
    """A score read from training dynamics.

    Args:
        epochs: the half-open range of epochs to read, as (start, stop); an int means the first so many; None means
            all.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    epochs: Epochs = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "epochs", _epoch_range(self.epochs))


def _epoch_range(epochs: Any) -> Epochs:
    if epochs is None:
        return None
    if isinstance(epochs, list | tuple):
        if len(epochs) != 2:
            raise ArgumentTypeError(f"`epochs`: wanted (start, stop) or a number of epochs, got {epochs!r}")
        start = whole_number("epochs", epochs[0], at_least=0)
        return start, whole_number("epochs", epochs[1], at_least=start + 1)
    return 0, whole_number("epochs", epochs, at_least=1)
