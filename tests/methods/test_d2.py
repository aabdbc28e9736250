from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.kernels.graph import directed_graph, union_graph
from hf_prune.kernels.knn import nearest_neighbors
from hf_prune.signals.signals import Signals

GOLDEN = sorted((Path(__file__).parents[1] / "data/d2").glob("*.npz"))


def select(method, points, scores, budget, **given):
    return method.select(
        Signals(len(points), {"embeddings": points, "scores": np.array(scores, float), **given}), budget, 0
    )


def d2(**options):
    return hf_prune.D2(score=hf_prune.GivenScores(), **options)


@pytest.mark.parametrize("path", GOLDEN, ids=[path.stem for path in GOLDEN])
def test_golden(path):
    case = np.load(path)
    graph = {"dense": "union", "precomputed": "directed"}[str(case["path"])]
    method = d2(
        k=int(case["k"]),
        gamma=float(case["gamma"]),
        forward=str(case["graph_mode"]),
        reverse=str(case["sampling_mode"]),
        graph=graph,
        normalize=False,
    )
    points, scores = case["features"].astype(np.float64), case["scores"].astype(np.float64)
    kept = select(method, points, scores, int(case["budget"]))
    assert kept.indices.tolist() == sorted(case["selected"].tolist())

    neighbors, distances = nearest_neighbors(points, method.k)
    if graph == "directed":
        np.testing.assert_array_equal(neighbors, case["neighbors"])
        np.testing.assert_allclose(distances, case["distances"], rtol=1e-12)
    make = union_graph if graph == "union" else directed_graph
    np.testing.assert_allclose(
        method.densities(make(neighbors, distances), scores)[1], case["forward_scores"], rtol=1e-12, atol=1e-12
    )


def test_there_are_golden_cases():
    assert len(GOLDEN) == 9


POINTS = np.array([[0.0], [1.0], [3.0], [10.0]])


def test_by_hand():
    # k = 1: 0 and 1 choose each other, 2 chooses 1, 3 chooses 2. Distances 1, 2, 7; median 2, so 0.5, 1, 3.5.
    a, b, c = np.exp([-0.5, -1.0, -3.5])
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    density = [4 + 3 * a, 3 + 4 * a + 2 * b, 2 + 3 * b + c, 1 + 2 * c]
    # 1 is the densest (6.16), 0 has 5.82. Then 0 loses a * 6.16 (2.08 left), 2 loses b * 6.16 (0.87), 3 keeps 1.06.
    assert np.argmax(density) == 1
    kept = select(d2(k=1), POINTS, scores, 4)
    assert kept.rows.tolist() == [1, 0, 3, 2]
    assert kept.details == {"k": 1, "distance_scale": 2.0, "search": "exact"}
    assert kept.scores.tolist() == scores.tolist()


def test_without_normalising_far_points_do_not_speak():
    far = POINTS * 1000
    assert select(d2(k=1, normalize=False), far, [1, 3, 2, 4], 4).rows.tolist() == [3, 1, 2, 0]
    near, scaled = select(d2(k=1), POINTS, [1, 3, 2, 4], 4), select(d2(k=1), far, [1, 3, 2, 4], 4)
    assert near.rows.tolist() == scaled.rows.tolist()


def test_squared_distances_fade_faster():
    graph = union_graph(*nearest_neighbors(POINTS, 1))
    plain, squared = (d2(k=1, squared=squared).densities(graph, np.ones(4))[1] for squared in (False, True))
    np.testing.assert_allclose(plain - 1, [np.exp(-1), np.exp(-1) + np.exp(-2), np.exp(-2) + np.exp(-7), np.exp(-7)])
    np.testing.assert_allclose(squared[2] - 1, np.exp(-4) + np.exp(-49))


def test_product_multiplies_and_absolute_ignores_distance():
    graph = union_graph(*nearest_neighbors(POINTS, 1))
    product = d2(k=1, forward="product").densities(graph, np.array([2.0, 3, 4, 5]))[1]
    np.testing.assert_allclose(product[0], 2 * 3 * np.exp(-1))
    # After 3 only its neighbour 2 loses, all of 3's density, whatever the distance.
    kept = select(d2(k=1, reverse="absolute"), POINTS, [0.1, 0.1, 4.0, 5.0], 4)
    assert kept.rows.tolist()[-1] == 2


def test_directed_graph_sends_along_own_neighbours_only():
    union, directed = (
        d2(k=1, graph=kind).densities(make(*nearest_neighbors(POINTS, 1)), np.ones(4))[1]
        for kind, make in (("union", union_graph), ("directed", directed_graph))
    )
    np.testing.assert_allclose(directed - 1, np.exp([-1, -1, -2, -7.0]))
    assert union[1] > directed[1]


def test_zero_scores_are_sent_as_a_little_along_the_union_graph():
    graph = union_graph(*nearest_neighbors(POINTS, 1))
    assert (d2(k=1).densities(graph, np.zeros(4))[1] > 0).all()
    directed = directed_graph(*nearest_neighbors(POINTS, 1))
    assert (d2(k=1, graph="directed").densities(directed, np.zeros(4))[1] == 0).all()


def test_easier_scores_are_turned_and_negative_ones_shifted():
    labels = np.zeros(4, dtype=np.int64)
    dynamics = TrainingDynamics.from_logits([[[4.0, 0], [-1.0, 0], [2.0, 0], [3.0, 0]]], labels)
    kept = hf_prune.D2(k=1).select(Signals(4, {"embeddings": POINTS, "dynamics": dynamics}), 1, 0)
    turned = select(d2(k=1), POINTS, [0, 5, 2, 1], 1)
    assert kept.indices.tolist() == turned.indices.tolist() == [1]
    assert kept.scores.tolist() == [4, -1, 2, 3]  # in AUM's own units


def test_duplicates_are_neighbours_and_only_one_of_them_is_kept():
    points = np.array([[0.0], [0.0], [5.0], [5.0]])
    kept = select(d2(k=1), points, [1.0, 1, 1, 1], 2)
    assert kept.indices.tolist() == [0, 2]
    assert kept.details["distance_scale"] == 1.0  # the median distance is 0


def test_k_is_clipped_to_the_pool_and_recorded():
    kept = select(d2(k=50), POINTS, [1, 2, 3, 4], 2)
    assert kept.details["k"] == 3
    assert select(d2(k=50), POINTS[:1], [1], 1).indices.tolist() == [0]


def test_float32_and_float64_of_the_same_values_select_the_same():
    draw = np.random.default_rng(2)
    points, scores = draw.normal(size=(400, 12)).astype(np.float32), draw.random(400)
    narrow, wide = select(d2(), points, scores, 100), select(d2(), points.astype(np.float64), scores, 100)
    np.testing.assert_array_equal(narrow.rows, wide.rows)


def test_cutoff_leaves_out_the_lowest_margins_and_gives_them_back_last():
    labels = np.zeros(4, dtype=np.int64)
    dynamics = TrainingDynamics.from_logits([[[4.0, 0], [-3.0, 0], [2.0, 0], [-1.0, 0]]], labels)
    given = {"dynamics": dynamics}
    half = hf_prune.WithoutSuspects(d2(k=1), 0.5)
    assert select(half, POINTS, [1, 9, 1, 9], 2, **given).indices.tolist() == [0, 2]
    assert select(half, POINTS, [1, 9, 1, 9], 3, **given).rows.tolist()[2] == 3
    assert select(half, POINTS, [1, 9, 1, 9], 4, **given).rows.tolist()[3] == 1
    whole = select(d2(k=1), POINTS, [1, 9, 1, 9], 4)
    little = hf_prune.WithoutSuspects(d2(k=1), 0.1)  # round(0.4) = 0 rows
    none = select(little, POINTS, [1, 9, 1, 9], 4, **given)
    assert none.rows.tolist() == whole.rows.tolist()


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_numbers_too_large_are_refused():
    with pytest.raises(hf_prune.ArgumentError, match="`embeddings`: so large that squared distances overflow"):
        select(d2(k=1), POINTS * 1e200, [1, 2, 3, 4], 4)
    with pytest.raises(hf_prune.ArgumentError, match="`scores`: so large that densities overflow"):
        select(d2(k=1), POINTS, [1.7e308] * 4, 4)


def test_which_difficulty_is_read():
    n, draw = 12, np.random.default_rng(0)
    points, labels = draw.normal(size=(n, 2)), np.zeros(n, dtype=int)
    dataset = Dataset.from_dict({"label": labels})
    dynamics = TrainingDynamics.from_logits(draw.normal(size=(2, n, 2)), labels)
    given = dataset.prune("d2", keep=4, k=2, scores=np.arange(n), dynamics=dynamics, embeddings=points)
    assert given.selection.steps[0].method["score"]["score"] == "given_scores"
    assert given.selection.scores.tolist() == list(range(n))
    read = dataset.prune("d2", keep=4, k=2, dynamics=dynamics, embeddings=points)
    assert read.selection.steps[0].method["within"]["score"]["score"] == "aum"
    with pytest.raises(ValueError, match=r"`scores`: D2 was given both scores= and score=AUM"):
        dataset.prune("d2", keep=4, score=hf_prune.AUM(), scores=np.arange(n), dynamics=dynamics, embeddings=points)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "`k`: wanted a whole number of at least 1, got 0"),
        ({"k": 2.5}, "`k`: wanted a whole number"),
        ({"gamma": -1}, r"`gamma`: wanted a finite number in \[0, inf\), got -1"),
        ({"gamma": float("nan")}, "`gamma`: wanted a finite number"),
        ({"gamma": "1"}, "`gamma`: wanted a number"),
        ({"forward": "sums"}, r"`forward`: wanted one of .* Did you mean 'sum'\?"),
        ({"reverse": "x"}, "`reverse`: wanted one of"),
        ({"graph": "both"}, "`graph`: wanted one of"),
        ({"squared": 1}, "`squared`: wanted True or False, got 1"),
        ({"normalize": "no"}, "`normalize`: wanted True or False"),
        ({"score": "aum"}, r"`score`: wanted a Score such as `hf_prune.AUM\(\)`, got 'aum'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        hf_prune.D2(**options)
    assert isinstance(caught.value, hf_prune.HFPruneError)


def test_a_column_of_qualities_as_for_datacomp():
    # The authors' settings there. The two best pairs are alike, so the second of them gives way to the next other.
    vectors = [[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [5.0, 0.2], [9.0, 9.0], [9.0, 9.3]]
    pairs = Dataset.from_dict({"clip_similarity": [0.31, 0.30, 0.05, 0.28, 0.22, 0.02], "embedding": vectors})
    kept = pairs.prune("d2", keep=0.5, k=1, gamma=1.0, scores="clip_similarity", embeddings="embedding").selection
    assert kept.order.tolist() == [0, 3, 4]
    assert kept.scores.tolist() == pairs["clip_similarity"][:]
    assert kept.steps[0].signals["scores"]["column"] == "clip_similarity"
