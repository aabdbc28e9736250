import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hf_prune import AlignmentError, ArgumentError, ArgumentTypeError, TrainingDynamics
from hf_prune.dynamics.formulas import SIGNALS
from tests.dynamics.runs import NAN
from tests.dynamics.runs import dynamics_of as of_labels


def dynamics_of(margin, labels=None, signal=None):
    """Dynamics of rows that all have the label 0, unless others are given."""
    return of_labels(margin, [0] * np.shape(margin)[1] if labels is None else labels, signal=signal)


def test_mean_over_the_runs_that_saw_a_row():
    runs = [dynamics_of([[1, NAN, NAN], [1, 2, 8]]), dynamics_of([[3, 4, NAN], [3, NAN, 8]])]
    merged = TrainingDynamics.merge(runs)
    for signal in SIGNALS:
        np.testing.assert_array_equal(merged[signal], [[2, 4, NAN], [2, 2, 8]])
        assert merged[signal].dtype == np.float32
    assert merged.labels.dtype == np.int64


@given(
    runs=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 5)).flatmap(
        lambda shape: arrays.arrays(
            np.float32,
            (shape[0], len(SIGNALS), *shape[1:]),
            elements=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(NAN),
        )
    )
)
@settings(max_examples=100, deadline=None)
def test_merged_is_the_mean_without_nan(runs):
    before = runs.copy()
    labels = np.arange(runs.shape[3])
    merged = TrainingDynamics.merge(TrainingDynamics(dict(zip(SIGNALS, run, strict=True)), labels) for run in runs)
    masked = np.ma.masked_invalid(runs.astype(np.float64)).mean(axis=0)
    wanted = np.ma.filled(masked, NAN)
    for number, signal in enumerate(SIGNALS):
        # Numbers that cancel leave the rounding of the largest.
        np.testing.assert_allclose(merged[signal], wanted[number], rtol=1e-6, atol=1e-12 * 2.0**100)
        np.testing.assert_array_equal(np.isnan(merged[signal]), np.isnan(runs[:, number]).all(axis=0))
    np.testing.assert_array_equal(runs, before)


def test_one_run_is_a_copy_without_features():
    run = dynamics_of([[1, NAN]], [3, -1])
    run.features = {"last": np.zeros((2, 4), dtype=np.float32)}
    merged = TrainingDynamics.merge([run])
    np.testing.assert_array_equal(merged["loss"], run["loss"])
    assert merged.labels.tolist() == [3, -1]
    assert merged.features == {}
    merged["loss"][:], merged.labels[:] = 0, 0
    assert run["loss"][0, 0] == 1
    assert run.labels.tolist() == [3, -1]


def test_infinite_values():
    runs = [dynamics_of([[np.inf, np.inf, -np.inf]]), dynamics_of([[1, -np.inf, -np.inf]])]
    np.testing.assert_array_equal(TrainingDynamics.merge(runs)["margin"], [[np.inf, np.inf, -np.inf]])


def test_runs_as_prune_takes_them(tmp_path):
    class Recorder:
        dynamics = dynamics_of([[1.0]])

    dynamics_of([[3.0]]).save(tmp_path / "run.safetensors")
    runs = [Recorder(), tmp_path / "run.safetensors", str(tmp_path / "run.safetensors"), dynamics_of([[5.0]])]
    assert TrainingDynamics.merge(runs)["margin"].tolist() == [[3]]


def test_runs_of_a_generator_are_let_go_of():
    alive = weakref.WeakSet()
    most = 0

    def runs():
        nonlocal most
        for _ in range(5):
            run = dynamics_of([[1.0]])
            alive.add(run)
            gc.collect()
            most = max(most, len(alive))
            yield run

    TrainingDynamics.merge(runs())
    assert most == 2  # the one before is let go of when the next has come


def test_labels_of_rows_that_a_run_never_saw():
    runs = [
        dynamics_of([[1, NAN, NAN, NAN]], [2, -1, -1, -1]),
        dynamics_of([[1, 1, NAN, NAN]], [2, 1, -1, -1]),
        dynamics_of([[1, NAN, 1, NAN]], [2, -1, 0, -1]),
    ]
    merged = TrainingDynamics.merge(runs)
    assert merged.labels.tolist() == [2, 1, 0, -1]
    np.testing.assert_array_equal(merged["loss"], [[1, 1, 1, NAN]])
    assert runs[0].labels.tolist() == [2, -1, -1, -1]


def test_other_labels():
    runs = [
        dynamics_of([[1, 1, 1]], [0, -1, 2]),
        dynamics_of([[1, 1, 1]], [0, 1, 2]),
        dynamics_of([[1] * 3], [0, 2, 1]),
    ]
    match = r"2 of 3 labels of run 2 differ from those before it, first at row 1 \(1 before, here 2\)"
    with pytest.raises(AlignmentError, match=f"`runs`: {match}"):
        TrainingDynamics.merge(runs)


def test_other_shapes():
    with pytest.raises(AlignmentError, match="`runs`: run 0 has 2 rows, run 1 has 1; merge runs that were trained on"):
        TrainingDynamics.merge([dynamics_of([[1, 1]]), dynamics_of([[1]])])
    longer, shorter = dynamics_of([[1], [2], [3]]), dynamics_of([[1], [2]])
    with pytest.raises(ArgumentError, match="run 0 has 2 epochs, run 2 has 3; merge runs of one length") as caught:
        TrainingDynamics.merge([shorter, shorter, longer])
    # The line that the message says to type.
    line = str(caught.value)[str(caught.value).index("np.mean(") :]
    assert eval(line, {"np": np, "runs": [shorter, longer]}).tolist() == [1.5]


@pytest.mark.parametrize(
    ("runs", "error", "match"),
    [
        ([], ArgumentError, "`runs`: wanted at least one run, got none"),
        (dynamics_of([[1]]), ArgumentTypeError, r"`runs`: wanted several, as in .*, got one TrainingDynamics"),
        ("run.safetensors", ArgumentTypeError, "`runs`: wanted several, as in .*, got one str"),
        (None, ArgumentTypeError, "`runs`: wanted several, as in .*, got one NoneType"),
        ([np.zeros((2, 3))], ArgumentTypeError, "`dynamics`: wanted TrainingDynamics, .* got ndarray"),
    ],
)
def test_what_is_no_run(runs, error, match):
    with pytest.raises(error, match=match):
        TrainingDynamics.merge(runs)


def test_scores_of_merged_runs():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=8)
    runs = [TrainingDynamics.from_logits(rng.normal(size=(4, 8, 3)), labels) for _ in range(3)]
    merged = TrainingDynamics.merge(runs)
    for method in ("aum", "el2n"):
        wanted = np.mean([run.scores(method, epochs=2) for run in runs], axis=0)
        np.testing.assert_allclose(merged.scores(method, epochs=2), wanted, rtol=1e-5)
    match = "`forgetting` counts events of one run, and these dynamics are the mean of several"
    with pytest.raises(ArgumentError, match=match) as caught:
        merged.scores("forgetting")
    line = str(caught.value)[str(caught.value).index("np.mean(") :]
    assert eval(line, {"np": np, "runs": runs}).shape == (8,)


def test_runs_that_agree_can_be_counted():
    runs = [dynamics_of([[1, 1], [0, NAN], [1, 0]], signal="correct")] * 2
    assert TrainingDynamics.merge(runs).scores("forgetting").tolist() == [1, 1]
