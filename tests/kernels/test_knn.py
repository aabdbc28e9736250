import numpy as np
import pytest

from hf_prune.kernels import candidates, fast, graph, knn, measure, products, proposers
from hf_prune.kernels.candidates import Centred
from hf_prune.kernels.knn import nearest_neighbors
from hf_prune.kernels.products import Products
from hf_prune.kernels.proposers import FaissFlat
from hf_prune.kernels.threads import threads


def slow_squared(points, point):
    """Squared distances in the order of summation that the kernels keep: 16 lanes, then pairs of them."""
    square = (points - point) ** 2
    lanes = np.zeros((len(points), 16))
    for j in range(square.shape[1]):
        lanes[:, j % 16] += square[:, j]
    for half in (8, 4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def slow_neighbors(points, k):
    """Every float64 distance, ties to the lower row."""
    points = np.asarray(points, dtype=np.float64)
    neighbors, distances = [], []
    for row, point in enumerate(points):
        squared = slow_squared(points, point)
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


PATHS = ("bfloat16", "float32", "plain")


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Each way to a graph, on processors that would not choose it too."""
    take(monkeypatch, request.param)
    return request.param


def take(monkeypatch, path):
    if path == "plain":
        for module in (graph, knn, measure, products):
            monkeypatch.setattr(module, "loops", lambda: None)
    else:
        assert fast.loops() is not None, "the tests need numba: pip install 'hf_prune[dev]'"
        monkeypatch.setattr(proposers, "has_bfloat16_units", lambda: path == "bfloat16")


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS.keys())
@pytest.mark.parametrize("k", [1, 5])
def test_equals_the_oracle(path, points, k):
    neighbors, distances = nearest_neighbors(points, k)
    expected_neighbors, expected_distances = slow_neighbors(points, k)
    np.testing.assert_array_equal(neighbors, expected_neighbors)
    np.testing.assert_array_equal(distances, expected_distances)


@pytest.mark.parametrize("d", [1, 15, 16, 17, 100])
def test_paths_agree_to_the_last_bit(monkeypatch, d):
    points = clustered(np.random.default_rng(d), 500, d, np.float32)
    results = []
    for path in PATHS:
        with monkeypatch.context() as patch:
            take(patch, path)
            results.append(nearest_neighbors(points, 7))
    for neighbors, distances in results[1:]:
        np.testing.assert_array_equal(neighbors, results[0][0])
        np.testing.assert_array_equal(distances, results[0][1])


def test_float32_and_float64_make_the_same_graph(path):
    points = clustered(np.random.default_rng(1), 400, 24, np.float32)
    for narrow, wide in zip(
        nearest_neighbors(points, 5), nearest_neighbors(points.astype(np.float64), 5), strict=True
    ):
        np.testing.assert_array_equal(narrow, wide)


@pytest.mark.parametrize("layout", ["fortran", "read-only", "memmap", "every other row", "big-endian"])
def test_any_array_will_do(path, layout, tmp_path):
    points = clustered(np.random.default_rng(2), 300, 10, np.float32)
    expected = nearest_neighbors(points, 4)
    if layout == "fortran":
        points = np.asfortranarray(points)
    elif layout == "memmap":
        points.tofile(tmp_path / "points")
        points = np.memmap(tmp_path / "points", np.float32, "r", shape=points.shape)
    elif layout == "every other row":
        points = np.repeat(points, 2, axis=0)[::2]
    elif layout == "big-endian":
        points = points.astype(">f4")
    else:
        points.flags.writeable = False
    for got, wanted in zip(nearest_neighbors(points, 4), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_some_rows_only(path):
    points, rows = POINTS["clustered"], np.array([250, 3, 40])
    neighbors, distances = nearest_neighbors(points, 5, rows=rows)
    expected_neighbors, expected_distances = slow_neighbors(points, 5)
    np.testing.assert_array_equal(neighbors, expected_neighbors[rows])
    np.testing.assert_array_equal(distances, expected_distances[rows])
    assert nearest_neighbors(points, 5, rows=np.empty(0, dtype=np.int64))[0].shape == (0, 5)


@pytest.mark.parametrize("kind", ["clustered", "float32", "one far outlier", "duplicates", "far from the origin"])
@pytest.mark.parametrize("proposer", PATHS)
def test_bounds_hold(kind, proposer):
    """What is said of candidates and of all others is true, whatever the low precision made of them."""
    points = POINTS[kind]
    with threads() as share:
        centred = Centred(points)
        propose = (
            FaissFlat(centred, 3)
            if proposer == "plain"
            else Products(centred, 3, share, bfloat16=proposer == "bfloat16")
        )
        proposed = propose(np.arange(len(points)))
    exact = np.stack([slow_squared(points.astype(np.float64), point) for point in points.astype(np.float64)])
    assert (proposed.at_least <= np.take_along_axis(exact, proposed.points, axis=1)).all()
    kth = np.sort(exact, axis=1)[:, 3]
    left_out = exact.copy()
    np.put_along_axis(left_out, proposed.points, np.inf, axis=1)
    nearest_left_out = left_out.min(axis=1)
    # It need not hold of points that are farther than the k-th neighbour.
    near = nearest_left_out <= kth
    assert (proposed.left_out(kth)[near] <= nearest_left_out[near]).all()
    certain = kth < proposed.left_out(kth)
    assert not (certain & (nearest_left_out < kth)).any()
    if kind in ("clustered", "float32"):
        assert certain.mean() > (0.3 if proposer == "bfloat16" else 0.99)


def test_bfloat16_settles_most_rows_of_wide_clusters():
    points = clustered(np.random.default_rng(3), 3000, 256, np.float32)
    with threads() as share:
        proposed = Products(Centred(points), 10, share, bfloat16=True)(np.arange(3000))
    _, distances = nearest_neighbors(points, 10)
    assert (distances[:, -1] ** 2 < proposed.left_out(distances[:, -1] ** 2)).mean() > 0.9


def test_less_than_float32_in_torch_is_not_trusted(monkeypatch):
    import torch

    monkeypatch.setattr(proposers, "has_bfloat16_units", lambda: False)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    used = []
    monkeypatch.setattr(proposers, "FaissFlat", lambda *given: used.append(given) or FaissFlat(*given))
    points = POINTS["clustered"]
    np.testing.assert_array_equal(nearest_neighbors(points, 5)[0], slow_neighbors(points, 5)[0])
    assert used


def test_torch_keeps_its_threads():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = nearest_neighbors(POINTS["float32"], 5)
        assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), threads() as share:
            share(lambda part: 1 // part.start, [slice(0, 1)])
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        np.testing.assert_array_equal(expected[0], nearest_neighbors(POINTS["float32"], 5)[0])
    finally:
        torch.set_num_threads(before)


def test_an_outlier_does_not_make_the_others_unsure(path, monkeypatch):
    points = np.random.default_rng(0).normal(size=(400, 32)).astype(np.float32)
    points[7] *= 1e4
    searched = []
    search_all = knn._search_all
    monkeypatch.setattr(knn, "_search_all", lambda *given: searched.extend(given[2]) or search_all(*given))
    neighbors, _ = nearest_neighbors(points, 5)
    np.testing.assert_array_equal(neighbors, slow_neighbors(points, 5)[0])
    assert set(searched) <= {7}


def test_tiles_do_not_matter(path, monkeypatch):
    points = POINTS["clustered"]
    expected = nearest_neighbors(points, 5)
    for name, value in (("ROWS_AT_A_TIME", 70), ("QUERIES_AT_A_TIME", 30), ("POINTS_AT_A_TIME", 64)):
        monkeypatch.setattr(candidates, name, value)
    monkeypatch.setattr(knn, "WORKING_BYTES", 1000)
    monkeypatch.setattr(measure, "WORKING_BYTES", 1000)
    for got, wanted in zip(nearest_neighbors(points, 5), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("kind", ["duplicates", "tight clusters", "outlier"])
def test_unsure_rows_are_searched_together(path, kind, monkeypatch):
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
    closest = knn.closest
    monkeypatch.setattr(knn, "closest", lambda *given: measured.append(given[2].size) or closest(*given))
    neighbors, _ = nearest_neighbors(points, 5)
    np.testing.assert_array_equal(neighbors, slow_neighbors(points, 5)[0])
    # 29 and 133 candidates a row in bfloat16 and 29 in float32; then the 60 zeros, in the middle of all others, are
    # every row's equals.
    assert sum(measured) <= 600 * (29 + 133 + 29) + 600 * 65


def test_progress_goes_through_the_rows(path, monkeypatch):
    monkeypatch.setattr(candidates, "ROWS_AT_A_TIME", 128)
    seen = []
    nearest_neighbors(POINTS["clustered"], 5, lambda parts: (seen.append(part) or part for part in parts))
    assert seen[0].start == 0
    assert seen[-1].stop == 300


def test_small_k_and_small_n():
    assert nearest_neighbors(np.zeros((3, 2)), 0)[0].shape == (3, 0)
    neighbors, distances = nearest_neighbors(np.array([[0.0], [3.0], [1.0]]), 2)
    assert neighbors.tolist() == [[2, 1], [2, 0], [0, 1]]
    assert distances.tolist() == [[1, 3], [2, 3], [1, 2]]
