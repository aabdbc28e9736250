import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.dynamics.dynamics import TrainingDynamics

N = 40


@pytest.fixture
def dataset():
    return Dataset.from_dict({"label": np.arange(N) % 2})


def hidden(values):
    mask = np.zeros(np.shape(values), dtype=bool)
    mask.flat[1] = True
    return np.ma.array(values, mask=mask)


def test_arrays_of_which_a_mask_hides_entries_are_refused(dataset):
    message = "wanted an array without a mask, got one that hides 1 of"
    with pytest.raises(hf_prune.ArgumentError, match=f"`scores`: {message}"):
        dataset.prune("given_scores", keep=5, scores=hidden(np.arange(N)))
    with pytest.raises(hf_prune.ArgumentError, match=f"`embeddings`: {message}"):
        dataset.prune("prototypicality", keep=5, embeddings=hidden(np.ones((N, 2))))
    with pytest.raises(hf_prune.ArgumentError, match=f"`embeddings`: {message} 2"):
        dataset.prune("prototypicality", keep=5, embeddings=[np.ones(2)] * (N - 1) + [hidden(np.ones(2))])
    for recalls in (hidden([0.5, 0.7]), (hidden([0, 1, 1]), [0, 1, 0]), ([0, 1, 1], hidden([0, 1, 0]))):
        with pytest.raises(hf_prune.ArgumentError, match=f"`recalls`: {message}"):
            dataset.prune("drop", keep=5, recalls=recalls)
    for logits, labels in ((hidden(np.ones((1, N, 2))), [0] * N), (np.ones((1, N, 2)), hidden([0] * N))):
        with pytest.raises(hf_prune.ArgumentError, match=message):
            TrainingDynamics.from_logits(logits, labels)


def test_a_mask_that_hides_nothing_is_none(dataset):
    scores = np.ma.array(np.arange(N), mask=np.zeros(N, dtype=bool))
    assert dataset.prune("given_scores", keep=2, scores=scores).selection.indices.tolist() == [N - 2, N - 1]


@pytest.mark.parametrize("method", ["d2", "prototypicality"])
@pytest.mark.parametrize("size", [1e-155, 1e-170, 1e-300, 5e-324])
def test_embeddings_whose_squares_underflow_are_refused(dataset, method, size):
    points = np.random.default_rng(0).integers(-9, 9, size=(N, 3)) * size
    with pytest.raises(hf_prune.ArgumentError, match="`embeddings`: so small that squared distances underflow"):
        dataset.prune(method, keep=5, scores=np.arange(N), embeddings=points)
    assert len(dataset.prune(method, keep=5, scores=np.arange(N), embeddings=np.zeros((N, 3)))) == 5


@pytest.mark.parametrize("method", ["d2", "prototypicality"])
def test_the_scale_of_embeddings_is_no_matter(dataset, method):
    points = np.random.default_rng(0).normal(size=(N, 3))
    kept = [
        dataset.prune(method, keep=9, scores=np.arange(N), embeddings=points * 2.0**power).selection.indices.tolist()
        for power in (0, -480, 480)
    ]
    assert kept[0] == kept[1] == kept[2]


def test_names_are_text_in_summaries_and_explanations():
    names = ["a\x1b[2J", "b\nkept: all"]
    dataset = Dataset.from_dict({"label": [names[i % 2] for i in range(N)]})
    selection = dataset.prune("random", keep=10, quotas="equal").selection
    for text in (selection.summary(), selection.explain(0), selection.explain(1)):
        assert "\x1b" not in text
        assert "\nkept" not in text
    assert r"a\x1b[2J" in selection.summary()
