"""Whether held-out rows show that a loss of accuracy stays within a limit: an exact test of paired predictions.

Two models predict the same m held-out rows, which are independent draws. On a share p of all rows only the first is
right, on a share r only the second, and the loss of the second is p - r. Of the m rows `worse` and `better` are those
two counts. The hypothesis is that the loss is the limit L or more, and it is rejected where

    T = (worse - better - m L) / sqrt(max(worse + better, m L))

is so small that no such p and r would give it with a probability above 1 - confidence. For every share d = p + r of
rows on which the models disagree, the number of these N is binomial (m, d), and `worse` among them is binomial
(N, p / d). T grows with `worse` where N is fixed, so that of all losses of at least L the loss L itself makes a small
T most probable. What is left is the largest probability over d, which is taken over a grid as fine as N's own spread,
and finer where it is large. So the test holds its level at every m and d, not only where m is large, and costs some
tenth more rows than one that trusts the normal distribution.

Reference: Hsueh, Liu and Chen, *Unconditional exact tests for equivalence or noninferiority for paired binary
endpoints*, Biometrics 57 (2001), with another statistic; McNemar, *Note on the sampling error of the difference
between correlated proportions or percentages*, Psychometrika 12 (1947).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hf_prune.recalls import CONFIDENCE

FINEST = 1e-4
"""Steps in which the limit that rows could certify is sought."""

POWER = 0.8
"""The probability with which rows that are named as enough do certify, where nothing is lost in truth."""

SPREAD = 6.0
"""Standard deviations of N around its mean that are summed; what lies beyond has a probability of some 1e-8."""

PRICE = 1.1
"""Rows of the exact test for one of a test that trusts the normal distribution, for the same power."""

HIGHEST = 8
"""Places of the coarse grid around which a finer one is laid."""

TIES = 1e-9
"""What a bound on a count may miss by rounding; it lets ties count, which errs on the careful side."""


@dataclass(frozen=True)
class Certificate:
    """Whether held-out rows show that the second of two models loses at most `max_loss` accuracy against the first.

    Attributes:
        name: what the rows are of: a class, a group or all.
        rows: held-out rows that both predicted.
        worse: those that only the first predicts right.
        better: those that only the second predicts right.
        max_loss: the limit, a share of the rows in [0, 1).
        confidence: the probability with which a loss of the limit or more is found out, whatever the models.
        p_value: the largest probability, over all models that lose the limit or more, of rows that speak as clearly
            for less.
    """

    name: str
    rows: int
    worse: int
    better: int
    max_loss: float
    confidence: float
    p_value: float

    @property
    def passed(self) -> bool:
        """Whether the promise can be given."""
        return self.p_value <= 1 - self.confidence

    @property
    def loss(self) -> float:
        """The loss on these rows, a share of them; below 0 where the second model is the better."""
        return (self.worse - self.better) / self.rows if self.rows else math.nan

    @property
    def disagreement(self) -> float:
        """The share of the rows that only one of the two predicts right."""
        return (self.worse + self.better) / self.rows if self.rows else math.nan

    @property
    def is_refuted(self) -> bool:
        """Whether these rows lose more than the limit, and would not if it were chance: the opposite of a promise.

        Either McNemar's exact test shows at the same confidence that something is lost (of two models that lose
        nothing each disagreement is as likely to be either), or there are as many rows as should have been enough.
        """
        from scipy.stats import binom

        if not self.worse or self.loss <= self.max_loss:
            return False
        chance = binom.sf(self.worse - 1, self.worse + self.better, 0.5)
        return bool(chance <= 1 - self.confidence or self.rows >= self._rows_for(0.0, POWER))

    @cached_property
    def limit(self) -> float:
        """About the smallest limit that these rows could certify with this confidence; see `upper_limit`.

        A limit that is chosen after it was seen is worth less than one that was named before.
        """
        limit = upper_limit(self.worse, self.better, self.rows, self.confidence)
        return min(limit, self.max_loss) if self.passed else limit

    def rows_for(self, power: float = POWER) -> int:
        """About how many rows certify with this probability, if models that disagree as often lose nothing.

        Where there are as many already, if they lose what they lost here; as many as for no loss where that is more
        than the limit.
        """
        needed = self._rows_for(0.0, power)
        lost = self.loss if self.rows >= needed and self.loss < self.max_loss else 0.0
        return self._rows_for(max(0.0, lost), power)

    def _rows_for(self, loss: float, power: float) -> int:
        # Of models that never disagreed on m rows all that is known is that they do on fewer than 1 in m.
        seen = (self.worse + self.better + 1) / (self.rows + 1)
        return rows_needed(seen, self.max_loss, self.confidence, power, loss=loss)


def certify(
    full_right: NDArray[np.bool_],
    coreset_right: NDArray[np.bool_],
    max_loss: float,
    *,
    confidence: float = CONFIDENCE,
    name: str = "all rows",
) -> Certificate:
    """The certificate of one pair of models, which these rows had no say in.

    Args:
        full_right: (m,) which held-out rows the model of all rows predicts right.
        coreset_right: (m,) the same of the coreset's model, for the same rows.
        max_loss: the largest loss to promise, a share of the rows.

    >>> full, coreset = np.ones(1000, dtype=bool), np.arange(1000) >= 5
    >>> result = certify(full, coreset, 0.02)
    >>> result.passed, result.loss, round(result.limit, 3)
    (True, 0.005, 0.011)
    """
    worse, better = int(np.sum(full_right & ~coreset_right)), int(np.sum(~full_right & coreset_right))
    p = p_value(worse, better, len(full_right), max_loss)
    return Certificate(name, len(full_right), worse, better, max_loss, confidence, p)


def certify_groups(
    full_right: NDArray[np.bool_],
    coreset_right: NDArray[np.bool_],
    codes: NDArray[np.int64],
    names: Sequence[str],
    max_loss: float,
    *,
    confidence: float = CONFIDENCE,
) -> tuple[Certificate, ...]:
    """A certificate for each group; that no group loses more may be promised where all have passed.

    Each is tested at the full level: where one group does lose the limit or more, all pass at most as often as that
    one (an intersection-union test, Berger, *Multiparameter hypothesis testing and acceptance sampling*, Technometrics
    24, 1982). A group without rows doesn't pass.

    Args:
        codes: (m,) position in `names` of the group that each row is in.
    """
    return tuple(
        certify(full_right[codes == code], coreset_right[codes == code], max_loss, confidence=confidence, name=name)
        for code, name in enumerate(names)
    )


def p_value(worse: int, better: int, rows: int, max_loss: float) -> float:
    """The largest probability of a T as small as that of these counts, over all models that lose `max_loss` or more.

    >>> round(p_value(0, 0, 200, 0.02), 3), round(p_value(4, 0, 200, 0.02), 3)
    (0.051, 0.629)
    """
    scale = math.sqrt(max(worse + better, rows * max_loss))
    if scale == 0:  # no rows, or no disagreement and no loss to rule out
        return 1.0
    return _largest_tail((worse - better - rows * max_loss) / scale, rows, max_loss)


def upper_limit(worse: int, better: int, rows: int, confidence: float = CONFIDENCE) -> float:
    """The smallest `max_loss` that passes, in [0, 1], sought by halving from above.

    Counts are whole numbers, so that next to it smaller ones may pass, and larger ones fail.
    """
    if not rows:
        return 1.0
    low = max(0.0, (worse - better) / rows)
    if low == 0 and p_value(worse, better, rows, 0.0) <= 1 - confidence:
        return 0.0
    high, step = low, 2 * math.sqrt(worse + better + 1) / rows
    while high < 1 and p_value(worse, better, rows, high) > 1 - confidence:
        low, high, step = high, min(1.0, high + step), 2 * step
    while high - low > FINEST:
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(worse, better, rows, middle) <= 1 - confidence else (middle, high)
    return high


@lru_cache(maxsize=1024)
def most_worse(rows: int, max_loss: float, confidence: float = CONFIDENCE) -> NDArray[np.int64]:
    """(rows + 1,) for each number of disagreements the most of them that may be `worse` in a test that passes; or -1.

    For many tests of as many rows; one test takes its p-value.
    """
    low, high = -2.0 * math.sqrt(rows) - 1, 0.0  # T is never as small, and at 0 half of the tests would pass
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _largest_tail(middle, rows, max_loss) <= 1 - confidence else (low, middle)
    disagreements = np.arange(rows + 1)
    most = _most_worse(low, disagreements, rows, max_loss)
    return np.clip(most, -1, disagreements).astype(np.int64)


def rows_needed(
    disagreement: float, max_loss: float, confidence: float = CONFIDENCE, power: float = POWER, *, loss: float = 0.0
) -> int:
    """About how many held-out rows certify the limit with probability `power`.

    d ((z_confidence + z_power) / (max_loss - loss))^2 by the normal approximation, and what the exact test takes more,
    which is a tenth and a quarter of the limit's share. Models that disagree on fewer rows than the limit save none.

    Args:
        disagreement: d, the share of rows that only one of the two models predicts right.
        loss: what is lost in truth, below the limit.

    >>> rows_needed(0.1, 0.02), rows_needed(0.1, 0.02, loss=0.01)
    (1786, 7141)
    """
    from scipy.stats import norm

    varying = max(disagreement, max_loss) + max_loss / 4
    needed = PRICE * varying * ((norm.ppf(confidence) + norm.ppf(power)) / (max_loss - loss)) ** 2
    return math.ceil(float(needed))


def fewest_rows(max_loss: float, confidence: float = CONFIDENCE) -> int:
    """With fewer held-out rows no test can certify the limit, even if the models agreed on each of them.

    Models that lose the limit and gain nothing agree on m rows with the probability (1 - max_loss)^m.

    >>> fewest_rows(0.02)
    149
    """
    return math.ceil(math.log(1 - confidence) / math.log1p(-max_loss))


def _most_worse(t: float, disagreements: NDArray[np.int64], rows: int, max_loss: float) -> NDArray[np.float64]:
    """The largest `worse` of which T is at most t, for each number of disagreements; below 0 where there is none."""
    scale = np.sqrt(np.maximum(disagreements, rows * max_loss))
    most = np.floor((disagreements + rows * max_loss + t * scale) / 2 + TIES)
    return np.where(scale == 0, np.where(t < 0, -1.0, 0.0), most)


def _largest_tail(t: float, rows: int, max_loss: float) -> float:
    """The largest probability of T <= t over all disagreements d, at a loss of exactly `max_loss`."""
    # Even steps of the arcsine of the root of d are steps of one standard deviation of N / m, for every d.
    first, step = math.asin(math.sqrt(max_loss)), 0.5 / math.sqrt(rows)
    places = np.linspace(first, math.pi / 2, max(64, math.ceil((math.pi / 2 - first) / step)))
    tails = _tails(t, rows, max_loss, places)
    highest = places[np.argsort(-tails)[:HIGHEST]]
    between = (highest[:, None] + np.linspace(-0.75, 0.75, 7) * (places[1] - places[0])).ravel()
    finer = _tails(t, rows, max_loss, np.clip(between, first, math.pi / 2))
    return min(1.0, float(max(tails.max(), finer.max())))


def _tails(t: float, rows: int, max_loss: float, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of T <= t for each d, given by the arcsine of its root, at a loss of exactly `max_loss`."""
    from scipy.stats import binom

    shares = np.maximum(np.sin(places) ** 2, max(max_loss, 1e-9))
    reach = SPREAD * np.sqrt(rows * shares * (1 - shares)) + SPREAD
    lowest = np.maximum(0, np.floor(rows * shares - reach)).astype(np.int64)
    counts = np.minimum(rows, np.ceil(rows * shares + reach)).astype(np.int64) - lowest + 1
    starts = np.cumsum(counts) - counts
    disagreements = np.arange(counts.sum()) - np.repeat(starts - lowest, counts)
    of_share = np.repeat(shares, counts)
    most = _most_worse(t, disagreements, rows, max_loss)
    reached = np.flatnonzero(most >= 0)
    n, d = disagreements[reached], of_share[reached]
    tail = np.zeros(len(disagreements))
    tail[reached] = binom.pmf(n, rows, d) * binom.cdf(np.minimum(most[reached], n), n, (1 + max_loss / d) / 2)
    summed: NDArray[np.float64] = np.add.reduceat(tail, starts)
    return summed
