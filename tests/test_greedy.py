import numpy as np
import pytest

from hf_prune.kernels.graph import directed_graph, union_graph
from hf_prune.kernels.greedy import messages, pick
from hf_prune.kernels.knn import nearest_neighbors


def slow_pick(graph, density, weights, budget):
    density, order = np.array(density, dtype=np.float64), []
    for _ in range(budget):
        left = np.where(np.isin(np.arange(len(density)), order), -np.inf, density)
        best = int(left.argmax())  # the lowest of equals
        order.append(best)
        for edge in range(graph.start[best], graph.start[best + 1]):
            density[graph.neighbors[edge]] -= weights[edge] * density[best]
    return order


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
        assert pick(graph, density, weights, 60).tolist() == slow_pick(graph, density, weights, 60)
        np.testing.assert_array_equal(density, before)


def test_messages_by_hand():
    graph = union_graph(np.array([[1], [0], [1]]), np.array([[1.0], [1.0], [2.0]]))
    assert messages(graph, np.array([1.0, 10.0, 100.0]), np.array([0.5, 0.5, 0.1, 0.1])).tolist() == [5, 10.5, 1]


def test_a_negative_pick_raises_its_neighbours():
    graph = union_graph(np.array([[1], [0], [1]]), np.array([[1.0], [1.0], [1.0]]))
    # 0 first; it takes 3 from 1, which falls to -2 and below 2. Then 2, which takes its own density, -1, from 1.
    assert pick(graph, np.array([3.0, 1.0, -1.0]), np.ones(4), 3).tolist() == [0, 2, 1]
