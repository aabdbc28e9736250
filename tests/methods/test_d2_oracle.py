"""D2 against a slow, dense program of the same description."""

from itertools import product

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.signals.signals import Signals
from tests.oracles.d2_dense import (
    by_differences,
    by_product,
    d2_dense,
    d2_dense_per_class,
    dense_graph,
    leads,
    shifted,
)

ROUNDING = 1e-9
VARIANTS = [
    {"graph": graph, "forward": forward, "reverse": reverse, "squared": squared, "normalize": normalize}
    for graph, forward, reverse, squared, normalize in product(
        ("union", "directed"), ("sum", "product"), ("weighted", "absolute"), (False, True), (False, True)
    )
]


def select(points, scores, budget, **options):
    signals = Signals(len(points), {"embeddings": points, "scores": np.array(scores, dtype=np.float64)})
    return hf_prune.D2(score=hf_prune.GivenScores(), **options).select(signals, budget, 0).rows


def draw_points(draw, kind, n):
    if kind == "clusters":
        return draw.normal(size=(4, 6))[draw.integers(4, size=n)] + 0.3 * draw.normal(size=(n, 6))
    if kind == "duplicates":
        return draw.normal(size=(max(1, n // 3), 3))[draw.integers(max(1, n // 3), size=n)]
    if kind == "lattice":  # distances and their ties are exact
        return draw.integers(4, size=(n, 2)).astype(np.float64)
    return 1000 + draw.normal(size=(n, 5))


def draw_scores(draw, kind, n):
    if kind == "negative":
        return draw.normal(size=n)
    if kind == "zeros":
        return draw.random(n) * draw.integers(2, size=n)
    if kind == "ties":
        return draw.integers(1, 4, size=n).astype(np.float64)
    return draw.random(n) + 0.1


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_random_problems(variant):
    draw = np.random.default_rng(5)
    settled = 0
    for points_kind, scores_kind in product(
        ("clusters", "duplicates", "lattice", "far"), ("positive", "negative", "zeros", "ties")
    ):
        n = int(draw.integers(1, 60))
        budget = int(draw.choice([n, draw.integers(1, n + 1)]))
        points, scores = draw_points(draw, points_kind, n), draw_scores(draw, scores_kind, n)
        options = variant | {"k": int(draw.integers(1, 13)), "gamma": float(draw.choice([0.0, 0.1, 1.0, 3.0]))}
        order = select(points, scores, budget, **options)
        assert len(set(order.tolist())) == budget
        density, shares = dense_graph(points, shifted(scores), **options)
        # Every pick is an argmax of the oracle's, up to rounding; where that leaves no choice the order is the same.
        assert leads(density, shares, order).min() > -ROUNDING, (points_kind, scores_kind, n, options)
        slow = d2_dense(points, shifted(scores), budget, **options)
        if leads(density, shares, slow).min() > ROUNDING:
            np.testing.assert_array_equal(order, slow)
            settled += 1
    assert settled >= 3  # duplicates and lattices leave ties, and directed graphs rows that nobody sends to


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_ties_go_to_the_lower_row(variant):
    # Groups of equal points, with room for all neighbours inside: distances are 0, weights 1, and sums exact.
    draw = np.random.default_rng(6)
    points = np.repeat(np.arange(4.0) * 1000, 7)[draw.permutation(28)][:, None]
    for scores in (np.ones(28), draw.integers(1, 4, size=28).astype(np.float64)):
        for k in (1, 4, 6):
            expected = d2_dense(points, scores, 28, k=k, **variant)
            np.testing.assert_array_equal(select(points, scores, 28, k=k, **variant), expected)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("graph", ["union", "directed"])
def test_pools_no_larger_than_k(n, graph):
    draw = np.random.default_rng(n)
    points, scores = draw.normal(size=(n, 3)), draw.random(n)
    for budget in range(1, n + 1):
        np.testing.assert_array_equal(
            select(points, scores, budget, k=4, graph=graph), d2_dense(points, scores, budget, k=4, graph=graph)
        )


@pytest.mark.parametrize("sizes", [[80], [30, 25, 25], [60, 3, 9, 1]])
def test_class_balanced(sizes):
    draw = np.random.default_rng(7)
    labels = draw.permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = draw.normal(size=(sum(sizes), 4)) + labels[:, None]
    scores = draw.normal(size=sum(sizes))  # shifted by the lowest of all, not by each class's
    quotas = np.minimum(sizes, 6)
    coreset = Dataset.from_dict({"label": labels}).prune(
        "d2", keep=int(quotas.sum()), quotas="equal", k=5, scores=scores, embeddings=points
    )
    expected = d2_dense_per_class(points, scores, labels, quotas, k=5)
    np.testing.assert_array_equal(coreset.selection.indices, expected)


def test_both_ways_to_distances_agree():
    points = np.random.default_rng(8).normal(size=(50, 8))
    exact, fast = by_differences(points), by_product(points)
    apart = ~np.eye(50, dtype=bool)
    np.testing.assert_allclose(fast[apart], exact[apart], rtol=1e-12)
    assert exact[3, 5] == np.linalg.norm(points[3] - points[5])


def test_leads_tell_a_wrong_pick():
    points, scores = np.array([[0.0], [1.0], [3.0], [10.0]]), np.array([4.0, 3.0, 2.0, 1.0])
    density, shares = dense_graph(points, scores, k=1)
    right = d2_dense(points, scores, 4, k=1)
    assert right.tolist() == [1, 0, 3, 2]  # by hand in tests/test_d2.py
    assert leads(density, shares, right).min() > 0
    assert leads(density, shares, right[[0, 1, 3, 2]]).min() < -0.01
