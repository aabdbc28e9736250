import numpy as np
import pytest

from hf_prune.kernels import knn
from hf_prune.kernels.knn import directed_graph, nearest_neighbors, union_graph


def slow_neighbors(points, k):
    """Every float64 distance, ties to the lower row."""
    points = np.asarray(points, dtype=np.float64)
    neighbors, distances = [], []
    for row, point in enumerate(points):
        squared = np.einsum("rd,rd->r", points - point, points - point)
        squared[row] = np.inf
        nearest = np.lexsort((np.arange(len(points)), squared))[:k]
        neighbors.append(nearest)
        distances.append(np.sqrt(squared[nearest]))
    return np.array(neighbors), np.array(distances)


def clustered(draw, n, d, dtype=np.float64):
    return (draw.normal(size=(8, d))[draw.integers(0, 8, n)] * 5 + draw.normal(size=(n, d))).astype(dtype)


draw = np.random.default_rng(0)
POINTS = {
    "clustered": clustered(draw, 300, 16),
    "float32": clustered(draw, 300, 16, np.float32),
    "float16": clustered(draw, 200, 4, np.float16),
    "one dimension": draw.normal(size=(300, 1)),
    "grid, many ties": np.stack(np.meshgrid(np.arange(15.0), np.arange(15.0)), -1).reshape(-1, 2),
    "all the same": np.ones((100, 3)),
    "duplicates": np.repeat(draw.normal(size=(20, 5)), 15, axis=0),
    "far from the origin": draw.normal(size=(300, 8)) + 1e6,
    "one far outlier": np.concatenate([draw.normal(size=(200, 8)), np.full((1, 8), 1e5)]),
    "too large to square in float32": 1e30 * draw.normal(size=(200, 8)),
    "too small to square in float32": 1e-30 * draw.normal(size=(200, 8)),
    "tiny differences": 1 + 1e-9 * draw.normal(size=(200, 8)),
}


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS.keys())
@pytest.mark.parametrize("k", [1, 5])
def test_equals_the_oracle(points, k):
    neighbors, distances = nearest_neighbors(points, k)
    expected_neighbors, expected_distances = slow_neighbors(points, k)
    np.testing.assert_array_equal(neighbors, expected_neighbors)
    np.testing.assert_array_equal(distances, expected_distances)


def test_an_outlier_does_not_make_the_others_unsure(monkeypatch):
    points = np.random.default_rng(0).normal(size=(400, 32)).astype(np.float32)
    points[7] *= 1e4
    searched = []
    search_all = knn._search_all
    monkeypatch.setattr(knn, "_search_all", lambda p, row, k: searched.append(row) or search_all(p, row, k))
    neighbors, _ = nearest_neighbors(points, 5)
    np.testing.assert_array_equal(neighbors, slow_neighbors(points, 5)[0])
    assert set(searched) <= {7}


def test_tiles_do_not_matter(monkeypatch):
    points = POINTS["clustered"]
    expected = nearest_neighbors(points, 5)
    monkeypatch.setattr("hf_prune.kernels.knn.ROWS_AT_A_TIME", 7)
    monkeypatch.setattr("hf_prune.kernels.knn.WORKING_BYTES", 1000)
    for got, wanted in zip(nearest_neighbors(points, 5), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("kind", ["duplicates", "tight clusters", "outlier"])
def test_unsure_rows_are_searched_together(kind, monkeypatch):
    """Rows that float32 can't tell apart cost one float64 product, not a search each of all points."""
    draw = np.random.default_rng(7)
    points = draw.normal(size=(600, 32))
    if kind == "duplicates":
        points[::10] = 0
    elif kind == "tight clusters":
        points = np.repeat(points[:20], 30, axis=0) + 1e-5 * points
    else:
        points[0] *= 1000
    measured = []
    closest = knn._closest
    monkeypatch.setattr(knn, "_closest", lambda *given: measured.append(given[2].size) or closest(*given))
    neighbors, _ = nearest_neighbors(points, 5)
    np.testing.assert_array_equal(neighbors, slow_neighbors(points, 5)[0])
    # 22 candidates a row at first; then the 60 zeros, in the middle of all others, are every row's equal neighbours.
    assert sum(measured) <= 600 * 22 + 600 * 65


def test_small_k_and_small_n():
    assert nearest_neighbors(np.zeros((3, 2)), 0)[0].shape == (3, 0)
    neighbors, distances = nearest_neighbors(np.array([[0.0], [3.0], [1.0]]), 2)
    assert neighbors.tolist() == [[2, 1], [2, 0], [0, 1]]
    assert distances.tolist() == [[1, 3], [2, 3], [1, 2]]


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
