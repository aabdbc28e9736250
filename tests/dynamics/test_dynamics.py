"""Signals by name, their means over epochs, and what a run refuses to say."""

import numpy as np
import pytest

from hf_prune import ArgumentError, ArgumentTypeError, TrainingDynamics
from hf_prune.dynamics.dynamics import checked_dynamics
from hf_prune.dynamics.formulas import SIGNALS
from tests.dynamics.runs import NAN, dynamics_of


def test_unseen_rows_are_nan_in_every_signal(run):
    for signal in SIGNALS:
        unseen = np.isnan(run[signal])
        assert unseen[1, 4]
        assert unseen.sum() == 1
    assert run.coverage == pytest.approx(17 / 18)
    assert "coverage=0.944" in repr(run)


@pytest.mark.parametrize("shapes", [[(2, 4)], [(3,)], [(2, 3), (1, 3)], []])
def test_arrays_that_do_not_fit(shapes):
    signals = {name: np.zeros(shape, dtype=np.float32) for name, shape in zip(SIGNALS, shapes, strict=False)}
    with pytest.raises(ArgumentError, match=r"wanted arrays of one shape \(epochs, n\) and labels of shape \(n,\)"):
        TrainingDynamics(signals, np.zeros(3, dtype=np.int64))


def test_signals_that_nobody_knows():
    with pytest.raises(ArgumentError, match=r"`signals`: wanted one of .*, got 'margn'. Did you mean 'margin'"):
        TrainingDynamics({"margn": np.zeros((1, 3), dtype=np.float32)}, np.zeros(3, dtype=np.int64))


def test_unknown_signal(run):
    with pytest.raises(KeyError, match="Did you mean 'margin'"):
        run["margins"]


def test_mean_is_over_the_epochs_that_showed_a_row():
    run = dynamics_of([[1, 2, NAN], [3, NAN, NAN], [8, 4, 5]])
    assert run.mean("margin").tolist() == [4, 3, 5]
    assert run.mean("margin", (0, 3)).tolist() == [4, 3, 5]
    assert run.mean("margin", (2, 3)).tolist() == [8, 4, 5]
    assert run.mean("margin").dtype == np.float64


def test_deviation_is_over_the_epochs_that_showed_a_row():
    run = dynamics_of([[1, 2, NAN], [3, NAN, NAN], [8, 4, 5]])
    np.testing.assert_allclose(run.std("margin"), [np.std([1, 3, 8]), 1, 0])
    assert run.std("margin", (2, 3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_what_is_seen_and_not_finite_is_no_score(value):
    run = dynamics_of([[1, 2], [3, value], [8, NAN]])
    assert run.coverage == pytest.approx(5 / 6)
    assert run.mean("loss", (0, 1)).tolist() == [1, 2]
    for read in (run.in_epochs, run.mean, run.std):
        match = f"in epoch 1 row 1 has the loss {value}, one of 1 in that epoch: the logits were infinite or NaN"
        with pytest.raises(ArgumentError, match=match):
            read("loss", (1, 3))


def test_coverage_of_a_regression():
    run = TrainingDynamics({"loss": np.float32([[1, NAN]])}, np.array([-1, -1]), task="regression")
    assert run.coverage == 0.5


def test_epochs_are_half_open():
    run = dynamics_of([[1, 2], [3, NAN], [8, 4]])
    np.testing.assert_array_equal(run.in_epochs("loss", (0, 2)), [[1, 2], [3, NAN]])
    np.testing.assert_array_equal(run.in_epochs("loss"), [[1, 2], [3, NAN], [8, 4]])


def test_rows_never_seen_are_named():
    run = dynamics_of([[1, 2, 0, NAN], [3, NAN, 0, NAN]])
    match = "1 of 4 rows were never seen in epochs 0 to 1, the first is row 3; train for whole epochs"
    with pytest.raises(ArgumentError, match=match):
        run.mean("margin")
    with pytest.raises(ArgumentError, match="2 of 4 rows were never seen in epochs 1 to 1, the first is row 1"):
        run.in_epochs("el2n", (1, 2))


@pytest.mark.parametrize("epochs", [(0, 4), (-1, 2), (2, 2), (2, 1), (3, 4)])
def test_epochs_that_were_not_recorded(run, epochs):
    with pytest.raises(
        ArgumentError, match=rf"`epochs`: wanted a range within the 3 recorded epochs, got \({epochs[0]}"
    ):
        run.in_epochs("margin", epochs)


def test_no_epoch():
    run = dynamics_of(np.zeros((0, 3)))
    assert (run.epochs, run.coverage) == (0, 0.0)
    with pytest.raises(ArgumentError, match="within the 0 recorded epochs"):
        run.mean("margin")


def test_checked_dynamics(run):
    class Recorder:
        dynamics = run

    assert checked_dynamics(run) is run
    assert checked_dynamics(Recorder()) is run
    for other in (np.zeros((3, 6)), {"margin": 1}, None, TrainingDynamics):
        with pytest.raises(ArgumentTypeError, match="`dynamics`: wanted TrainingDynamics, the PruningTrainerCallback"):
            checked_dynamics(other)


def test_taken_rows_are_a_copy(run):
    rows = np.array([5, 0, 4])
    taken = run.take(rows)
    assert taken.labels.tolist() == [2, 0, 1]
    for signal in SIGNALS:
        np.testing.assert_array_equal(taken[signal], run[signal][:, rows])
    for moment, array in run.features.items():
        np.testing.assert_array_equal(taken.features[moment], array[rows])
    before = run["margin"].copy()
    taken["margin"][:] = 0
    np.testing.assert_array_equal(run["margin"], before)
