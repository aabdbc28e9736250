import numpy as np
import pytest
from datasets import Dataset

import hf_prune  # noqa: F401 - attaches Dataset.prune
from hf_prune.kernels import neighbors
from hf_prune.kernels.knn import nearest_neighbors
from hf_prune.kernels.neighbors import approximate_neighbors, find_neighbors


@pytest.fixture
def clusters():
    draw = np.random.default_rng(0)
    return (draw.normal(size=(40, 12))[draw.integers(0, 40, 3000)] + draw.normal(size=(3000, 12))).astype("f4")


def test_clusters_are_found_again(clusters, monkeypatch):
    monkeypatch.setattr(neighbors, "PROBES", 12)  # of 55
    near = approximate_neighbors(clusters, 5)
    exact = nearest_neighbors(clusters, 5)[0]
    true_recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(near.neighbors, exact, strict=True)]) / 5
    assert 0.8 < true_recall < 1
    assert near.recall == pytest.approx(true_recall, abs=0.03)
    again = approximate_neighbors(clusters, 5)
    np.testing.assert_array_equal(near.neighbors, again.neighbors)


def test_pairs_have_their_exact_distances_in_order(clusters):
    near = approximate_neighbors(clusters, 5)
    rows = np.arange(len(clusters))
    assert (near.neighbors != rows[:, None]).all()
    assert all(len(set(row)) == 5 for row in near.neighbors)
    assert (np.diff(near.distances, axis=1) >= 0).all()
    exact = np.linalg.norm(clusters[near.neighbors].astype(float) - clusters[:, None].astype(float), axis=2)
    np.testing.assert_allclose(near.distances, exact, rtol=1e-12)


def test_all_clusters_searched_is_exact(clusters, monkeypatch):
    monkeypatch.setattr(neighbors, "PROBES", 1000)
    near = approximate_neighbors(clusters[:500], 5)
    np.testing.assert_array_equal(near.neighbors, nearest_neighbors(clusters[:500], 5)[0])
    assert near.recall == 1


def test_auto_is_exact_up_to_a_size(clusters, monkeypatch):
    points = clusters[:600]
    exact = find_neighbors(points, 3)
    assert exact.recall is None
    monkeypatch.setattr(neighbors, "EXACT_UP_TO", 599)
    near = find_neighbors(points, 3)
    assert 0 < near.recall <= 1
    assert find_neighbors(points, 3, search="exact").recall is None


def test_the_record_says_how_neighbours_were_found(clusters, monkeypatch):
    dataset, points = Dataset.from_dict({"label": np.zeros(600, dtype=int)}), clusters[:600]
    given = {"keep": 60, "k": 4, "scores": np.arange(600), "embeddings": points}
    exact = dataset.prune("d2", **given).selection
    assert exact.details["search"] == "exact"
    asked = dataset.prune("d2", search="approximate", **given).selection
    assert asked.details["search"] == "approximate"
    assert 0.9 < asked.details["recall"] <= 1
    assert asked.steps[0].details["recall"] == asked.details["recall"]


@pytest.mark.parametrize("k", [1, 30, 99])
def test_duplicates_empty_clusters_and_many_neighbours(k, monkeypatch):
    monkeypatch.setattr(neighbors, "PROBES", 1)
    points = np.repeat(np.random.default_rng(1).normal(size=(4, 3)), 25, axis=0)
    near = approximate_neighbors(points, k)
    assert near.neighbors.shape == (100, k)
    assert ((near.neighbors >= 0) & (near.neighbors < 100)).all()
    assert np.isfinite(near.distances).all()
    if k == 1:
        np.testing.assert_array_equal(near.neighbors, nearest_neighbors(points, 1)[0])
    if k == 99:
        assert near.recall == 1
