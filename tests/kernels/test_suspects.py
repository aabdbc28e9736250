"""The array part of cutoff="auto" against loops."""

import math
from fractions import Fraction

import numpy as np
import pytest

from hf_prune.kernels.suspects import (
    Votes,
    chance_of_no_less,
    chance_of_no_more,
    halves,
    most_of,
    most_suspect,
    suspect_fraction,
    votes,
)


def slow_votes(neighbors, labels):
    rows = []
    for own, near in zip(labels.tolist(), neighbors.tolist(), strict=True):
        count = {own: 0}
        for other in near:
            count[labels[other]] = count.get(labels[other], 0) + 1
        winner = min(count, key=lambda label: (-count[label], label))
        lead = count[winner] - max((count[c] for c in count if c != winner), default=0)
        support = count[own] - max((count[c] for c in count if c != own), default=0)
        rows.append((winner, lead, support))
    return np.array(rows).T


def slow_fraction(vote, labels):
    n, epsilon, core = len(labels), 0.0, np.zeros(len(labels), dtype=bool)
    m = max(n / 8, min(n / 2, 256))
    for a in set(vote.winner.tolist()):
        rows = [i for i in range(n) if vote.winner[i] == a]
        leads = sorted((vote.lead[i] for i in rows), reverse=True)
        least = leads[math.ceil(m * len(rows) / n) - 1]
        rows_of_core = [i for i in rows if vote.lead[i] >= least]
        core[rows_of_core] = True
        epsilon += len(rows) / n * np.mean([labels[i] != a for i in rows_of_core])
    return epsilon, core


def slow_suspects(trust, labels, count, fraction):
    taken = [i for i in sorted(range(len(trust)), key=lambda i: (trust[i], i))[:count] if trust[i] < 0]
    kept = []
    for c in set(labels.tolist()):
        size, classes = sum(labels == c), len(set(labels.tolist()))
        evenly = fraction * Fraction(int(len(labels) - size), max(1, classes - 1))
        most = math.floor(min(max(2 * evenly, Fraction(int(size), 4)), Fraction(2 * int(size), 3)))
        kept += [i for i in taken if labels[i] == c][:most]
    return sorted(kept)


def slow_halves(vote, core, labels):
    rows, wrong = [0, 0], [0, 0]
    for a in set(vote.winner[core].tolist()):
        leads = [int(vote.lead[i]) for i in np.flatnonzero(core) if vote.winner[i] == a]
        for i in np.flatnonzero(core):
            if vote.winner[i] == a:
                before, tied = sum(lead > vote.lead[i] for lead in leads), leads.count(int(vote.lead[i]))
                second = int(before + tied / 2 > len(leads) / 2)
                rows[second] += 1
                wrong[second] += int(labels[i] != a)
    return rows, wrong


def problem(seed):
    draw = np.random.default_rng(seed)
    n, classes = int(draw.integers(2, 60)), int(draw.integers(1, 8))
    k = int(draw.integers(1, min(10, n - 1) + 1))
    labels = draw.integers(0, classes, n)
    neighbors = np.array([draw.choice(np.delete(np.arange(n), i), k, replace=False) for i in range(n)])
    return draw, labels, neighbors


@pytest.mark.parametrize("seed", range(40))
def test_kernels_are_what_the_loops_say(seed):
    draw, labels, neighbors = problem(seed)
    vote = votes(neighbors, labels)
    np.testing.assert_array_equal(np.stack(vote), slow_votes(neighbors, labels))

    fraction, core = suspect_fraction(vote, labels)
    slow, slow_core = slow_fraction(vote, labels)
    assert fraction == pytest.approx(slow, abs=1e-12)
    np.testing.assert_array_equal(core, slow_core)
    np.testing.assert_array_equal(halves(vote, core, labels), slow_halves(vote, core, labels))

    trust = draw.integers(-4, 3, len(labels)).astype(float)  # with ties
    for count in (0, 1, len(labels) // 2, len(labels)):
        for share in (Fraction(0), Fraction(1, 16), Fraction(1, 2)):
            most = most_of(np.bincount(labels), float(share))
            cut = most_suspect(trust, labels, count, most)
            assert cut.tolist() == slow_suspects(trust, labels, count, share)


def test_more_rows_than_a_tile(monkeypatch):
    _, labels, neighbors = problem(3)
    whole = votes(neighbors, labels)
    monkeypatch.setattr("hf_prune.kernels.suspects.ROWS_AT_A_TIME", 7)
    np.testing.assert_array_equal(np.stack(votes(neighbors, labels)), np.stack(whole))


def test_votes_by_hand():
    labels = np.array([5, 5, 2, 2, 9])
    neighbors = np.array([[1, 2, 3], [0, 2, 4], [0, 1, 3], [0, 1, 2], [0, 1, 2]])
    vote = votes(neighbors, labels)
    # Row 1 sees one each of 5, 2 and 9: the lowest label wins a tie. Row 4's own label has no vote.
    assert vote.winner.tolist() == [2, 2, 5, 5, 5]
    assert vote.lead.tolist() == [1, 0, 1, 1, 1]
    assert vote.support.tolist() == [-1, 0, -1, -1, -2]


def test_labels_may_be_many_and_neighbours_none():
    vote = votes(np.empty((2, 0), dtype=np.int64), np.array([20_999, 3]))
    assert vote.winner.tolist() == [20_999, 3]
    assert vote.lead.tolist() == vote.support.tolist() == [0, 0]
    assert suspect_fraction(vote, np.array([20_999, 3]))[0] == 0


def test_the_core_is_where_neighbours_agree_best_by_hand():
    # 8 rows: m = 4, so of each voted class half of its rows, ties included.
    vote = Votes(np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([9, 8, 8, 1, 7, 6, 2, 2]), np.zeros(8, dtype=int))
    labels = np.array([0, 1, 0, 1, 1, 1, 0, 0])
    fraction, core = suspect_fraction(vote, labels)
    assert core.tolist() == [True, True, True, False, True, True, False, False]
    assert fraction == pytest.approx(1 / 2 * 1 / 3 + 1 / 2 * 0)


def test_the_guard_lets_off_and_takes_nothing_instead():
    trust, labels = np.array([-1.0, -2, -3, -0.5, -0.25, 1]), np.array([0, 0, 0, 1, 1, 1])
    most = np.array([2, 2])
    assert most_suspect(trust, labels, 3, most).tolist() == [1, 2]
    assert most_suspect(trust, labels, 4, most).tolist() == [1, 2, 3]
    assert most_suspect(trust, labels, 6, most).tolist() == [1, 2, 3, 4]
    assert most_suspect(trust[5:], labels[5:], 1, most).tolist() == []


def test_how_many_rows_a_class_may_lose_by_hand():
    # An eighth of 1,000 labels wrong, spread evenly, are 0.125 * 100 / 2, 0.125 * 920 / 2 and 0.125 * 980 / 2 rows.
    sizes = np.array([900, 80, 20])
    assert most_of(sizes, 0.125).tolist() == [225, 53, 13]  # a quarter of the first, two thirds of the others
    assert most_of(np.array([300, 300, 400]), 0.25).tolist() == [175, 175, 150]  # twice 87.5, 87.5 and 75
    assert most_of(np.array([9, 0]), 1.0).tolist() == [2, 0]


def test_halves_by_hand():
    # Class 0: leads 9, 8 and 8, 1: the middle of the tie is row 1.5 of 4. Class 1: all the same.
    vote = Votes(np.array([0, 0, 0, 0, 1, 1, 2]), np.array([9, 8, 8, 1, 7, 7, 10]), np.zeros(7, dtype=int))
    rows, contradicted = halves(vote, np.array([1, 1, 1, 1, 1, 1, 0], dtype=bool), np.array([0, 1, 0, 1, 1, 0, 0]))
    assert rows.tolist() == [5, 1]
    assert contradicted.tolist() == [2, 1]


def test_chances_are_sums_of_binomial_terms():
    for tries, share in ((0, 0.5), (7, 0.5), (12, 0.1)):
        terms = [math.comb(tries, i) * share**i * (1 - share) ** (tries - i) for i in range(tries + 1)]
        for count in range(tries + 1):
            assert chance_of_no_more(count, tries, share) == pytest.approx(sum(terms[: count + 1]))
            assert chance_of_no_less(count, tries, share) == pytest.approx(sum(terms[count:]))
