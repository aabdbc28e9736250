"""The recorded quantities: by hand, and numpy against torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hf_prune import ArgumentError, TrainingDynamics
from hf_prune.dynamics.formulas import SIGNALS, Number, SeveralLabels, signals_of, values_of
from hf_prune.recording.tasks import example_signals, several_labels
from tests.dynamics.runs import NAN


def test_from_logits_by_hand():
    # Softmax of (ln2, 0, 0) is 2/4, 1/4, 1/4; of (0, ln3, 0) it is 1/5, 3/5, 1/5.
    run = TrainingDynamics.from_logits([[[math.log(2), 0, 0]] * 2, [[0, math.log(3), 0]] * 2], labels=[0, 2])
    wanted = {
        "loss": [[math.log(2), math.log(4)], [math.log(5), math.log(5)]],
        "p_true": [[1 / 2, 1 / 4], [1 / 5, 1 / 5]],
        "margin": [[math.log(2), -math.log(2)], [-math.log(3), -math.log(3)]],
        "correct": [[1, 0], [0, 0]],
        # Errors (-2, 1, 1) / 4 and (2, 1, -3) / 4; (-4, 3, 1) / 5 and (1, 3, -4) / 5.
        "el2n": [[math.sqrt(6) / 4, math.sqrt(14) / 4], [math.sqrt(26) / 5, math.sqrt(26) / 5]],
    }
    for signal, values in wanted.items():
        np.testing.assert_allclose(run[signal], values, rtol=1e-6)
        assert run[signal].dtype == np.float32
    assert (run.epochs, len(run), run.coverage) == (2, 2, 1.0)
    assert run.labels.tolist() == [0, 2]


def assert_torch_agrees(logits, labels):
    run = TrainingDynamics.from_logits(logits[None], labels)
    rows = example_signals("single-label", torch.from_numpy(logits.copy()), torch.from_numpy(labels)).numpy()
    assert run.signals == signals_of("single-label")
    for signal, values in zip(run.signals, rows.T, strict=True):
        np.testing.assert_allclose(run[signal][0], values, rtol=1e-6, atol=2e-6, err_msg=signal)


@given(
    logits=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(2, 5)),
        elements=st.floats(-50, 50, width=32) | st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4]),
    ),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_numpy_and_torch_agree(logits, seed):
    assert_torch_agrees(logits, np.random.default_rng(seed).integers(logits.shape[1], size=len(logits)))


def test_numpy_and_torch_agree_on_many_rows():
    rng = np.random.default_rng(0)
    for scale in (1, 4, 100):
        logits, labels = rng.normal(scale=scale, size=(500, 10)).astype(np.float32), rng.integers(10, size=500)
        assert_torch_agrees(logits, labels)


@pytest.mark.parametrize("mask", [[False, False, True, True], [True, False, True, False]])
def test_numpy_and_torch_agree_on_masked_classes(mask):
    logits = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    logits[:, mask] = -np.inf
    assert_torch_agrees(logits, np.full(20, mask.index(False)))


def test_formulas_of_several_labels_and_of_numbers_run_on_both():
    """Only the recorder reads such labels, so numpy stands in as the other library."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(scale=4, size=(50, 3)).astype(np.float32), rng.integers(2, size=(50, 3)) * 1.0
    rows = several_labels(torch.from_numpy(logits), torch.from_numpy(labels))
    in_numpy = values_of(SeveralLabels(*(part.numpy() for part in rows)), np)
    np.testing.assert_allclose(values_of(rows, torch).numpy(), in_numpy, rtol=1e-6)
    error = Number(rng.normal(size=20))
    np.testing.assert_allclose(values_of(Number(torch.from_numpy(error.error)), torch).numpy(), values_of(error, np))
    assert signals_of("regression") == ("loss", "el2n")


DIVERGED = [[NAN, NAN], [1.0, NAN], [NAN, 1.0], [np.inf, 0.0], [0.0, np.inf], [-np.inf, 0.0], [1.0, -np.inf]]


@pytest.mark.parametrize("logits", DIVERGED)
def test_rows_that_were_seen_are_never_nan(logits):
    """The recorder goes on; one infinite signal at least says what happened."""
    rows = example_signals("single-label", torch.tensor([logits]), torch.tensor([0])).numpy()
    assert not np.isnan(rows).any()
    assert np.isinf(rows).any()
    assert rows[0][SIGNALS.index("correct")] in (0, 1, np.inf)
    if np.isnan(logits).any():
        assert (rows == np.inf).all()


@pytest.mark.parametrize("logits", DIVERGED[1:])
def test_logits_that_are_not_finite(logits):
    run = np.zeros((3, 4, 2))
    run[2, 1] = logits
    with pytest.raises(
        ArgumentError, match=r"`logits`: in epoch 2 row 1 has the .* the logits were infinite or NaN; wanted finite"
    ):
        TrainingDynamics.from_logits(run, [0] * 4)
    run[2, 1] = NAN  # the whole row: not seen
    assert np.isnan(TrainingDynamics.from_logits(run, [0] * 4)["correct"]).sum() == 1


def test_masked_classes():
    run = TrainingDynamics.from_logits([[[1.0, 0.0, -np.inf]]], [0])
    assert run["margin"].tolist() == [[1.0]]
    assert run.mean("el2n") > 0


def test_from_logits_leaves_the_input_alone():
    logits = np.random.default_rng(0).normal(size=(2, 5, 3))
    before = logits.copy()
    TrainingDynamics.from_logits(logits, [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize(
    ("logits", "labels", "match"),
    [
        (np.zeros((5, 3)), np.zeros(5, int), r"got \(5, 3\) and \(5,\)"),
        (np.zeros((2, 5, 3)), np.zeros(4, int), r"got \(2, 5, 3\) and \(4,\)"),
        (np.zeros((2, 5, 1)), np.zeros(5, int), r"wanted shapes \(epochs, n, classes >= 2\)"),
        (np.zeros((2, 5, 3)), np.full(5, 3), "`labels`: wanted whole numbers from 0 to 2"),
        (np.zeros((2, 5, 3)), np.full(5, -100), "`labels`: wanted whole numbers from 0 to 2"),
        (np.zeros((2, 5, 3)), np.zeros(5), "`labels`: wanted whole numbers from 0 to 2"),
    ],
)
def test_from_logits_refuses(logits, labels, match):
    with pytest.raises(ArgumentError, match=match):
        TrainingDynamics.from_logits(logits, labels)
