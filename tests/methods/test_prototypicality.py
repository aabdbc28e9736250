import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.groups import encode
from hf_prune.signals.signals import Signals

DRAW = np.random.default_rng(0)
POINTS = np.repeat([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]], 20, axis=0) + DRAW.normal(size=(60, 2))


def score(points, seed=0, **options):
    return hf_prune.Prototypicality(**options).score(Signals(len(points), {"embeddings": np.asarray(points)}), seed)


def test_by_hand():
    # Centroids: (1, 0) of the first three, (10, 1) of the last two.
    points = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [10.0, 0.0], [10.0, 2.0]])
    np.testing.assert_allclose(score(points, clusters=2), [1, 0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(score(points, clusters=1), np.linalg.norm(points - [4.6, 0.4], axis=1), rtol=1e-6)


def test_clusters_are_found_and_the_distance_is_to_their_mean():
    centers = np.repeat([POINTS[rows].mean(axis=0) for rows in np.split(np.arange(60), 3)], 20, axis=0)
    np.testing.assert_allclose(score(POINTS, clusters=3), np.linalg.norm(POINTS - centers, axis=1), atol=1e-5)


def test_a_seed_settles_the_scores():
    noise = np.random.default_rng(1).normal(size=(400, 5))
    np.testing.assert_array_equal(score(noise, seed=3), score(noise, seed=3))
    assert (score(noise, seed=3) != score(noise, seed=4)).any()
    rows = Dataset.from_dict({"x": range(400)})
    for seed in (3, 2**63):
        pruned = rows.prune("prototypicality", keep=9, seed=seed, embeddings=noise).selection
        np.testing.assert_array_equal(pruned.scores, score(noise, seed=seed))


def test_by_default_the_root_of_n_clusters():
    np.testing.assert_array_equal(score(POINTS), score(POINTS, clusters=8))


@pytest.mark.parametrize(("factor", "offset"), [(1.0, 1e7), (1e-30, 0), (1e30, 0), (1e150, 1e151)])
def test_neither_a_far_origin_nor_huge_or_tiny_numbers_cost_digits(factor, offset):
    moved = score(POINTS * factor + offset, clusters=3)
    np.testing.assert_allclose(moved / factor, score(POINTS, clusters=3), rtol=1e-4)


def test_more_clusters_than_rows_and_duplicates(capfd):
    assert score(POINTS[:3], clusters=9).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert score(POINTS[:1]).tolist() == [0]
    assert score(np.full((30, 2), 7.0)).tolist() == [0] * 30
    assert capfd.readouterr() == ("", "")


def test_prototypes_are_those_of_the_whole_dataset():
    labels = np.arange(60) % 2
    given = {"embeddings": POINTS, "groups": encode("label", labels)}
    method = hf_prune.Prototypicality(clusters=3)
    inside = hf_prune.PerClass(method).select(Signals(60, given), 10, 0)
    np.testing.assert_array_equal(inside.scores, score(POINTS, clusters=3))


def test_neither_labels_nor_dynamics_are_needed():
    bare = Dataset.from_dict({"x": range(60)})
    assert len(bare.prune("prototypicality", keep=0.1, embeddings=POINTS)) == 6
    method = hf_prune.D2(score=hf_prune.Prototypicality(clusters=3), k=5)
    selection = bare.prune(method, keep=0.1, embeddings=POINTS).selection
    assert len({row // 20 for row in selection.indices.tolist()}) == 3
    assert selection.details["notes"] == ["cutoff 0: no dynamics were passed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clusters": 0}, "`clusters`: wanted a whole number of at least 1, got 0"),
        ({"clusters": 2.5}, "`clusters`: wanted a whole number, got 2.5"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        hf_prune.Prototypicality(**options)
    assert isinstance(caught.value, hf_prune.HFPruneError)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_numbers_too_large_are_refused():
    with pytest.raises(hf_prune.ArgumentError, match="`embeddings`: so large that squared distances overflow"):
        score(POINTS * 1e305)
