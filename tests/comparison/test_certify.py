"""The test of paired predictions: by hand, against a slow reference, and in 2,000 draws at the limit and around it."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from hf_prune.comparison.certify import (
    Certificate,
    certify,
    certify_groups,
    fewest_rows,
    most_worse,
    p_value,
    rows_needed,
    upper_limit,
)

DRAWS = 2_000
LEVEL = 0.05
MOST_FALSE = binom.ppf(0.999, DRAWS, LEVEL)
"""So many false promises of 2,000 are still compatible with a level of 5%."""


def slow_p_value(worse, better, rows, max_loss, steps=400):
    """The tail of T summed over all outcomes, for each of `steps` shares on which the models disagree."""

    def t(worse, better):
        scale = math.sqrt(max(worse + better, rows * max_loss))
        return (worse - better - rows * max_loss) / scale if scale else math.inf

    outcomes = [(b, c) for b in range(rows + 1) for c in range(rows + 1 - b)]
    beyond = [(b, c) for b, c in outcomes if t(b, c) <= t(worse, better) + 1e-9]
    largest = 0.0
    for d in np.linspace(max_loss, 1, steps):
        p, r = (d + max_loss) / 2, (d - max_loss) / 2
        chances = [
            math.comb(rows, b) * math.comb(rows - b, c) * p**b * r**c * (1 - d) ** (rows - b - c) for b, c in beyond
        ]
        largest = max(largest, sum(chances))
    return largest


@pytest.mark.parametrize(("worse", "better", "max_loss"), [(0, 0, 0.2), (1, 3, 0.1), (2, 6, 0.0), (3, 1, 0.4)])
def test_p_values_are_those_of_a_sum_over_all_outcomes(worse, better, max_loss):
    slow = slow_p_value(worse, better, 14, max_loss)
    assert p_value(worse, better, 14, max_loss) == pytest.approx(slow, rel=0.02)


def test_by_hand():
    # One row, on which only the second is right: where nothing is gained half of all rows are of this kind at most.
    assert p_value(0, 1, 1, 0.0) == pytest.approx(0.5)
    # Nothing seen says nothing of a loss of 0, nor do no rows of any.
    assert p_value(0, 0, 10, 0.0) == p_value(0, 0, 0, 0.3) == 1
    # Nothing speaks more for a loss than that all rows are worse.
    assert p_value(10, 0, 10, 0.5) == pytest.approx(1)
    # All 5 rows better where the loss is 0.2 at least: no other outcome has as small a T, and d = 1 gives it most.
    assert p_value(0, 5, 5, 0.2) == pytest.approx(0.4**5)


def test_more_rows_that_are_worse_never_help():
    for rows, max_loss in ((40, 0.1), (300, 0.02)):
        values = [p_value(worse, 5, rows, max_loss) for worse in range(12)]
        assert values == sorted(values)


@pytest.mark.parametrize(("rows", "max_loss"), [(60, 0.1), (250, 0.03)])
def test_the_table_of_many_tests_is_that_of_single_ones(rows, max_loss):
    most = most_worse(rows, max_loss)
    for n in (0, 1, 7, 20, rows):
        passing = [b for b in range(n + 1) if p_value(b, n - b, rows, max_loss) <= LEVEL]
        assert most[n] == max(passing, default=-1)


@pytest.mark.parametrize(
    ("rows", "worse", "better"), [(200, 0, 0), (500, 20, 25), (300, 40, 5), (50, 49, 0), (80, 0, 30)]
)
def test_the_limit_is_where_tests_begin_to_pass(rows, worse, better):
    limit = upper_limit(worse, better, rows)
    assert p_value(worse, better, rows, limit) <= LEVEL
    smaller = 0.8 * limit
    assert limit == 0 or smaller <= (worse - better) / rows or p_value(worse, better, rows, smaller) > LEVEL


def test_certificates():
    full = np.array([True] * 300 + [False] * 100)
    coreset = np.array([True] * 290 + [False] * 10 + [True] * 8 + [False] * 92)
    result = certify(full, coreset, 0.1, name="cats")
    assert (result.name, result.rows, result.worse, result.better) == ("cats", 400, 10, 8)
    assert result.loss == pytest.approx(0.005)
    assert result.disagreement == pytest.approx(0.045)
    assert result.passed
    assert result.loss < result.limit < 0.1
    assert not certify(full, coreset, 0.01).passed
    assert not certify(full, coreset, 0.1, confidence=1 - 1e-9).passed


def test_every_group_is_tested_and_one_without_rows_fails():
    full, coreset = np.ones(400, dtype=bool), np.ones(400, dtype=bool)
    codes = np.repeat([0, 2], 200)
    coreset[200:230] = False
    a, b, c = certify_groups(full, coreset, codes, ["a", "b", "c"], 0.05)
    assert (a.name, a.rows, a.passed) == ("a", 200, True)
    assert (b.name, b.rows, b.passed, b.limit) == ("b", 0, False, 1.0)
    assert (c.name, c.worse, c.passed) == ("c", 30, False)


def test_fewest_rows():
    for max_loss in (0.3, 0.02):
        fewest = fewest_rows(max_loss)
        assert (1 - max_loss) ** fewest <= LEVEL < (1 - max_loss) ** (fewest - 1)
        assert p_value(0, 0, fewest - 1, max_loss) > LEVEL


@pytest.mark.parametrize(
    ("disagreement", "max_loss"), [(0.1, 0.02), (0.05, 0.02), (0.3, 0.1), (0.02, 0.02), (0.01, 0.02)]
)
def test_as_many_rows_as_are_named_certify_in_four_of_five_tries(disagreement, max_loss):
    rows = rows_needed(disagreement, max_loss)
    n = np.arange(rows + 1)
    chance = binom.pmf(n, rows, disagreement) @ binom.cdf(most_worse(rows, max_loss), n, 0.5)
    assert 0.8 < chance < 0.97
    assert Certificate("", 999, 50, 49, 0.02, 0.95, 1.0).rows_for() == rows_needed(0.1, 0.02)


def passes(rng, rows, max_loss, disagreement, loss):
    """Of 2,000 pairs of models with this loss whether each passes the test on as many rows."""
    n = rng.binomial(rows, disagreement, DRAWS)
    worse = rng.binomial(n, (1 + loss / disagreement) / 2)
    return worse <= most_worse(rows, max_loss)[n]


@pytest.mark.parametrize(
    ("rows", "max_loss", "disagreement"),
    [(150, 0.05, 0.05), (150, 0.05, 0.08), (400, 0.02, 0.03), (400, 0.05, 0.3), (1500, 0.02, 0.1), (1500, 0.01, 1.0)],
)
def test_false_promises_of_the_average_keep_the_level(rows, max_loss, disagreement):
    rng = np.random.default_rng(0)
    false = passes(rng, rows, max_loss, disagreement, max_loss).sum()
    # Not by refusing always: models that lose nothing pass more often.
    assert MOST_FALSE >= false < passes(rng, rows, max_loss, disagreement, 0.0).sum()


@pytest.mark.parametrize("others", [0.0, 0.045])
def test_false_promises_of_the_worst_class_or_group_keep_the_level(others):
    """Of ten groups, one of them rare, one loses the limit; the others lose nothing, or almost as much."""
    rng = np.random.default_rng(1)
    promised = np.ones(DRAWS, dtype=bool)
    for group, rows in enumerate([150, *[400] * 9]):
        promised &= passes(rng, rows, 0.05, 0.1, 0.05 if group == 0 else others)
    assert promised.sum() <= MOST_FALSE


@pytest.mark.parametrize("losses", [(0.0, 0.01, 0.02, 0.03), (0.0, 0.02, 0.0, 0.05), (0.02, 0.02, 0.02, 0.02)])
def test_false_promises_of_sizes_that_are_tested_in_turn_keep_the_level(losses):
    """The sizes share rows and the model of all rows, so that their tests depend on each other."""
    rng, rows, max_loss = np.random.default_rng(2), 1000, 0.02
    # Where all coresets differ from the model of all rows, and in which direction; the rest is each one's own.
    shared = rng.binomial(rows, 0.04, DRAWS)
    shared_worse = rng.binomial(shared, 0.5)
    reached, false = np.ones(DRAWS, dtype=bool), np.zeros(DRAWS, dtype=bool)
    for loss in losses:
        own_worse = rng.binomial(rows - shared, (0.03 + loss) / 0.96)
        own_better = rng.binomial(rows - shared - own_worse, 0.03 / (0.93 - loss))
        worse, better = shared_worse + own_worse, shared - shared_worse + own_better
        reached &= worse <= most_worse(rows, max_loss)[worse + better]
        false |= reached & (loss >= max_loss)
    assert false.sum() <= MOST_FALSE


def test_certificates_hold_the_level_and_the_limit_with_exact_counts():
    """The probability of a false promise, summed and not drawn, is at most 5% for every disagreement."""
    for (rows, max_loss), d in product([(100, 0.1), (333, 0.03)], np.linspace(0.03, 1, 77)):
        if d >= max_loss:
            n = np.arange(rows + 1)
            chance = binom.pmf(n, rows, d) @ binom.cdf(most_worse(rows, max_loss), n, (1 + max_loss / d) / 2)
            assert chance <= LEVEL + 2e-5
