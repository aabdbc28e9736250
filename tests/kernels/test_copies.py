import numpy as np
import pytest

from hf_prune.kernels import copies, knn
from hf_prune.kernels.copies import row_keys, stand_ins
from hf_prune.kernels.knn import nearest_neighbors
from tests.kernels.test_knn import path, slow_neighbors  # noqa: F401 - a fixture


def shuffled_copies(kind, dtype=np.float64):
    draw = np.random.default_rng(0)
    few = draw.normal(size=(6, 5))
    if kind == "signed zeros":
        few = draw.integers(0, 2, size=(6, 3)) * draw.choice([-1.0, 1.0], size=(6, 3))
    elif kind == "no distance between unequal rows":
        few[:, 1:] *= 1e-170  # whose squares are 0
        few[:, 0] = 1
    points = few[draw.integers(len(few), size=150)].astype(dtype)
    if kind == "signed zeros":
        points *= np.where(points == 0, draw.choice([-1.0, 1.0], size=points.shape), 1)
    elif kind == "beside others":
        points[::2] = draw.normal(size=points[::2].shape)
    return points


KINDS = ("all copies", "signed zeros", "no distance between unequal rows", "beside others")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 4, 30, 149])
def test_copies_have_the_neighbours_of_the_oracle(path, kind, k):  # noqa: F811
    points = shuffled_copies(kind)
    rows = np.array([149, 3, 77, 3])
    expected = slow_neighbors(points, k)
    for given in (None, rows):
        got = nearest_neighbors(points, k, rows=given)
        for ours, slow in zip(got, expected, strict=True):
            np.testing.assert_array_equal(ours, slow if given is None else slow[given])


def test_equal_keys_of_unequal_rows_do_no_harm():
    points = shuffled_copies("beside others")
    for keys in (np.zeros(150, dtype=np.uint64), row_keys(points) % np.uint64(3)):
        for ours, slow in zip(nearest_neighbors(points, 4, keys=keys), slow_neighbors(points, 4), strict=True):
            np.testing.assert_array_equal(ours, slow)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", np.longdouble])
def test_keys_are_those_of_the_numbers(dtype):
    draw = np.random.default_rng(1)
    points = draw.normal(size=(400, 3)).astype(dtype)
    assert len(np.unique(row_keys(points))) == 400
    np.testing.assert_array_equal(row_keys(np.asfortranarray(points)), row_keys(points))
    np.testing.assert_array_equal(row_keys(points[::-1])[::-1], row_keys(points))
    bits = np.stack(np.meshgrid(*[[0.0, 1.0]] * 8), -1).reshape(-1, 8).astype(dtype)
    assert len(np.unique(row_keys(bits))) == 256
    np.testing.assert_array_equal(row_keys(-bits + bits), row_keys(np.zeros((256, 8), dtype)))


def test_no_more_than_one_copy_too_many_is_searched(monkeypatch):
    monkeypatch.setattr(copies, "VALUES_AT_A_TIME", 7)
    points = np.array([[1.0, 2.0], [3.0, 4.0]])[[0, 0, 1, 0, 0, 1, 0]]
    assert stand_ins(points, 2, row_keys(points)).tolist() == [0, 1, 2, 3, 3, 5, 3]
    assert stand_ins(points, 4, row_keys(points)) is None


@pytest.mark.parametrize("different", [1, 20])
def test_copies_cost_no_search_each(path, different, monkeypatch):  # noqa: F811
    measured = []
    closest = knn.closest
    monkeypatch.setattr(knn, "closest", lambda *given: measured.append(given[2].size) or closest(*given))
    points = np.repeat(np.random.default_rng(2).normal(size=(different, 8)), 500, axis=0)
    for times in (1, 4):
        assert (nearest_neighbors(np.tile(points, (times, 1)), 5)[1] == 0).all()
        measured.append(-1)
    first, second = np.split(np.array(measured[:-1]), [measured.index(-1)])
    assert first.sum() == second[1:].sum() <= 6 * different * (6 * different)
