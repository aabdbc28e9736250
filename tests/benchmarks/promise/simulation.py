"""How often `recommend` promises too much, and how often it can promise, by models whose true loss is known.

Each of 2,000 draws is a recommendation: from the rates on which two models disagree come the held-out rows that only
one of the two predicts right, and from these the certificates. The rows are those that hf_prune.comparison.certify
names as needed. A normal approximation beside it, the usual interval of a paired difference, shows what an exact test
is for.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from hf_prune.comparison.certify import POWER, most_worse, rows_needed
from hf_prune.recalls import CONFIDENCE

DRAWS = 2_000
LOSSES = (1.0, 0.5, 0.0)
"""True losses, as shares of the limit."""

Test = Callable[[NDArray[np.int64], NDArray[np.int64], int, float], NDArray[np.bool_]]
"""(worse, better, rows, max_loss) -> which draws are certified."""


@dataclass(frozen=True)
class Case:
    """A kind of promise.

    Attributes:
        parts: classes or groups of as many rows, all of which must pass; 1 for the average.
        disagreement: the share of rows that only one of two models predicts right.
        rows: held-out rows of each part; by default as many as are needed.
    """

    what: str
    max_loss: float
    disagreement: float
    parts: int = 1
    rows: int = 0

    @property
    def rows_of_part(self) -> int:
        return self.rows or rows_needed(self.disagreement, self.max_loss, power=POWER ** (1 / self.parts))


CASES = (
    Case("average", 0.02, 0.1),
    Case("average", 0.02, 0.03),
    Case("average", 0.01, 0.05),
    Case("average", 0.05, 0.3),
    Case("average, few rows", 0.05, 0.06, rows=80),
    Case("worst of 10 classes", 0.05, 0.1, parts=10),
    Case("worst of 4 groups", 0.03, 0.06, parts=4),
)
SIZES = 9
"""Sizes that are tested in turn."""

STEPS = (0.125, 0.25, 0.5, 1.0)
"""What each of these loses more than the one before, as shares of the limit."""


def exact(worse: NDArray[np.int64], better: NDArray[np.int64], rows: int, max_loss: float) -> NDArray[np.bool_]:
    return worse <= most_worse(rows, max_loss)[worse + better]


def normal(worse: NDArray[np.int64], better: NDArray[np.int64], rows: int, max_loss: float) -> NDArray[np.bool_]:
    loss = (worse - better) / rows
    error = np.sqrt(((worse + better) / rows - loss**2) / rows)
    return loss + norm.ppf(CONFIDENCE) * error < max_loss


def promised(case: Case, losses: Sequence[float], test: Test, seed: int) -> float:
    """The share of draws in which every part is certified; `losses` are the parts' own."""
    rng, every = np.random.default_rng(seed), np.ones(DRAWS, dtype=bool)
    for loss in losses:
        disagreeing = rng.binomial(case.rows_of_part, case.disagreement, DRAWS)
        worse = rng.binomial(disagreeing, (1 + loss / case.disagreement) / 2)
        every &= test(worse, disagreeing - worse, case.rows_of_part, case.max_loss)
    return float(every.mean())


def falsely_promised_size(case: Case, step: float, seed: int) -> float:
    """The share of draws that promise a size whose loss is the limit or more, of sizes that lose ever more."""
    rng = np.random.default_rng(seed)
    reached, false = np.ones(DRAWS, dtype=bool), np.zeros(DRAWS, dtype=bool)
    for number in range(SIZES):
        loss = min(number * step * case.max_loss, case.disagreement)
        disagreeing = rng.binomial(case.rows_of_part, case.disagreement, DRAWS)
        worse = rng.binomial(disagreeing, (1 + loss / case.disagreement) / 2)
        reached &= exact(worse, disagreeing - worse, case.rows_of_part, case.max_loss)
        false |= reached & (loss >= case.max_loss * (1 - 1e-9))
    return float(false.mean())


def measured(cases: Sequence[Case] = CASES) -> dict[str, Any]:
    """All shares, as JSON values."""
    rows = []
    for seed, case in enumerate(cases):
        # One part loses; the others lose nothing, which lets them pass most often.
        of_loss = {
            str(share): promised(case, [share * case.max_loss] + [0.0] * (case.parts - 1), exact, seed)
            for share in LOSSES
        }
        by_normal = promised(case, [case.max_loss] + [0.0] * (case.parts - 1), normal, seed)
        rows.append(asdict(case) | {"rows": case.rows_of_part, "promised": of_loss, "normal": by_normal})
    sizes = {str(step): falsely_promised_size(CASES[0], step, seed=0) for step in STEPS}
    return {"draws": DRAWS, "confidence": CONFIDENCE, "cases": rows, "sizes": sizes}
