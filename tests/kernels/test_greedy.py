import numpy as np
import pytest

from hf_prune.kernels import fast, greedy
from hf_prune.kernels.graph import directed_graph, union_graph
from hf_prune.kernels.greedy import messages, pick
from hf_prune.kernels.knn import nearest_neighbors


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def kernels(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(greedy, "loops", lambda: None)
    else:
        assert fast.loops() is not None, "the tests need numba: pip install 'hf_prune[dev]'"


def slow_pick(graph, density, weights, budget):
    density, order = np.array(density, dtype=np.float64), []
    taken = np.zeros((budget, len(density)))  # by each pick, from rows that were not picked yet
    at_pick = {}
    for place in range(budget):
        left = np.where(np.isin(np.arange(len(density)), order), -np.inf, density)
        best = int(left.argmax())  # the lowest of equals
        order.append(best)
        at_pick[best] = density[best]
        for edge in range(graph.start[best], graph.start[best + 1]):
            near = graph.neighbors[edge]
            if near not in order:
                taken[place, near] = weights[edge] * at_pick[best]
                density[near] -= taken[place, near]
    for row, value in at_pick.items():
        density[row] = value
    most = taken.max(axis=0, initial=0)
    by = [order[taken[:, row].argmax()] if most[row] > 0 else -1 for row in range(len(density))]
    return order, density, by, most


@pytest.mark.parametrize("make", [union_graph, directed_graph])
@pytest.mark.parametrize("kind", ["random", "negative", "ties", "zero"])
def test_equals_the_oracle(make, kind):
    draw = np.random.default_rng(1)
    for _ in range(10):
        graph = make(*nearest_neighbors(draw.normal(size=(60, 3)), 4))
        weights = np.exp(-0.3 * graph.distances)
        density = {
            "random": draw.random(60),
            "negative": draw.normal(size=60),
            "ties": draw.integers(0, 3, 60).astype(float),
            "zero": np.zeros(60),
        }[kind]
        if kind == "ties":
            weights = np.ones_like(weights)
        before = density.copy()
        for budget in (60, 17):
            for ours, slow in zip(
                pick(graph, density, weights, budget), slow_pick(graph, density, weights, budget), strict=True
            ):
                np.testing.assert_array_equal(ours, slow)
        np.testing.assert_array_equal(density, before)


def test_messages_by_hand():
    graph = union_graph(np.array([[1], [0], [1]]), np.array([[1.0], [1.0], [2.0]]))
    assert messages(graph, np.array([1.0, 10.0, 100.0]), np.array([0.5, 0.5, 0.1, 0.1])).tolist() == [5, 10.5, 1]


def test_a_negative_pick_raises_its_neighbours():
    graph = union_graph(np.array([[1], [0], [1]]), np.array([[1.0], [1.0], [1.0]]))
    # 0 first; it takes 3 from 1, which falls to -2 and below 2. Then 2, which takes its own density, -1, from 1.
    picks = pick(graph, np.array([3.0, 1.0, -1.0]), np.ones(4), 3)
    assert picks.order.tolist() == [0, 2, 1]
    assert picks.left.tolist() == [3, -1, -1]
    assert picks.suppressed_by.tolist() == [-1, 0, -1]
    assert picks.suppression.tolist() == [0, 3, 0]
