import numpy as np
import pytest

from hf_prune.kernels import graph
from hf_prune.kernels.graph import directed_graph, union_graph


def test_graphs_by_hand():
    # 0 and 1 are each other's nearest; 2's nearest is 1.
    neighbors, distances = np.array([[1], [0], [1]]), np.array([[1.0], [1.0], [2.0]])
    directed = directed_graph(neighbors, distances)
    assert directed.start.tolist() == [0, 1, 2, 3]
    assert directed.rows.tolist() == [0, 1, 2]
    assert directed.neighbors.tolist() == [1, 0, 1]
    union = union_graph(neighbors, distances)
    assert union.start.tolist() == [0, 1, 3, 4]
    assert union.neighbors.tolist() == [1, 0, 2, 1]
    assert union.distances.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(("n", "k"), [(2, 1), (7, 6), (50, 3), (400, 10)])
def test_compiled_and_plain_union_are_the_same(n, k, monkeypatch):
    draw = np.random.default_rng(n)
    neighbors = np.argsort(draw.random((n, n)) + np.eye(n), axis=1)[:, :k]
    # Not even the same length both ways: the lower row's counts.
    distances = draw.random((n, k))
    compiled = union_graph(neighbors, distances)
    monkeypatch.setattr(graph, "loops", lambda: None)
    for got, wanted in zip(compiled, union_graph(neighbors, distances), strict=True):
        np.testing.assert_array_equal(got, wanted)
