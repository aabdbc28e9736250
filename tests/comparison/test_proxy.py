"""The linear proxy: what it learns, that it is always the same, and its dynamics."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from hf_prune.comparison.proxy import Proxy, Scale, SoftmaxRegression, batches, logits_of, softmax
from tests.comparison.animals import blobs


def part(n, seed=0):
    dataset, points = blobs(n, seed)
    return points, np.array(dataset["label"])


def test_it_is_as_good_as_logistic_regression():
    points, labels = part(1500)
    held, true = part(1000, seed=1)
    ours = np.mean(Proxy(points, labels, 3).predictions(np.arange(1500), held, seed=0) == true)
    theirs = LogisticRegression().fit(points, labels).score(held, true)
    assert abs(ours - theirs) < 0.01


def test_one_step_by_hand():
    # Zero weights say 1/2 each; Adam's first step is the learning rate against the gradient's sign.
    points, labels = np.array([[1.0], [-1.0]]), np.array([0, 1])
    model = SoftmaxRegression(steps=1, learning_rate=0.1)
    (weights,) = model.fit(points, labels, np.arange(2), 2, Scale(np.zeros(1), 1.0), 0)
    np.testing.assert_allclose(weights, [[0.1, -0.1], [0, 0]], atol=1e-6)


def test_scale_is_that_of_all_at_once_and_of_constants_one():
    points = np.random.default_rng(0).normal(3, 2, (9000, 3)).astype(np.float32)
    scale = Scale.of(points)
    np.testing.assert_allclose(scale.mean, points.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(scale.deviation, (points - points.mean(axis=0)).std(), rtol=1e-5)
    assert Scale.of(np.ones((5, 2))).deviation == 1


def test_every_row_comes_once_before_any_comes_again():
    for n, size in ((10, 4), (3, 8), (7, 7)):
        rows = np.concatenate(list(batches(n, size, 6, seed=0)))
        for start in range(0, len(rows) - n + 1, n):
            assert sorted(rows[start : start + n]) == list(range(n))


def test_the_same_seed_gives_the_same_and_another_another_order():
    points, labels = part(300)
    proxy = Proxy(points, labels, 3)
    first, again, other = (proxy.dynamics(seed)["loss"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_dynamics_are_those_of_the_model_that_predicts():
    points, labels = part(300)
    proxy = Proxy(points, labels, 3)
    run = proxy.dynamics(seed=2)
    assert run["margin"].shape == (20, 300)
    assert run["loss"][-1].mean() < run["loss"][0].mean()
    right = proxy.predictions(np.arange(300), points, seed=2) == labels
    np.testing.assert_array_equal(run["correct"][-1], right)


def test_steps_are_those_of_all_rows_whatever_is_trained_on():
    assert SoftmaxRegression.of_rows(100).steps == 600
    assert SoftmaxRegression.of_rows(128_000).steps == 10_000
    assert SoftmaxRegression(600).in_part(0.3).steps == 180
    assert SoftmaxRegression(600).in_part(1e-9).steps == 1


def test_recalls_are_of_models_that_did_not_see_the_row():
    # Labels that nothing explains: whoever saw a row of so many numbers remembers it, whoever did not is at chance.
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(100, 300)), rng.integers(0, 2, 100)
    proxy = Proxy(points, labels, 2)
    assert np.mean(proxy.predictions(np.arange(100), points, 0) == labels) == 1
    assert np.mean(proxy.held_out_predictions(0) == labels) < 0.7


def test_large_logits_and_no_rows():
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0]])), [[1, 0]])
    assert logits_of(np.zeros((3, 4)), np.empty((0, 2)), Scale(np.zeros(2), 1.0)).shape == (0, 4)
