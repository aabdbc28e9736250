import math
import os
import pickle

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hf_prune import AlignmentError, ArgumentError, ArgumentTypeError, TrainingDynamics
from hf_prune.dynamics.dynamics import SIGNALS, checked_dynamics
from hf_prune.recording.tasks import single_label

NAN = math.nan


def dynamics_of(margin, labels=None, features=None):
    """Dynamics that hold `margin`, (epochs, n), as every signal."""
    margin = np.array(margin, dtype=np.float32)
    labels = np.arange(margin.shape[1]) % 2 if labels is None else np.array(labels)
    return TrainingDynamics(np.stack([margin] * len(SIGNALS)), labels.astype(np.int64), features)


@pytest.fixture
def run():
    """3 epochs of 6 rows in 3 classes; row 4 is unseen in epoch 1 and has features."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 6, 3))
    logits[1, 4] = NAN
    run = TrainingDynamics.from_logits(logits, [0, 1, 2, 0, 1, 2])
    run.features = {moment: rng.normal(size=(6, 4)).astype(np.float32) for moment in ("early", "last")}
    return run


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


@given(
    logits=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(2, 5)),
        elements=st.floats(-50, 50, width=32),
    ),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_from_logits_equals_what_the_callback_computes(logits, seed):
    labels = np.random.default_rng(seed).integers(logits.shape[1], size=len(logits))
    run = TrainingDynamics.from_logits(logits[None], labels)
    rows = single_label(torch.from_numpy(logits.copy()), torch.from_numpy(labels)).numpy()
    for column, signal in enumerate(SIGNALS):
        np.testing.assert_allclose(run[signal][0], rows[:, column], rtol=1e-6, atol=1e-6, err_msg=signal)


def test_from_logits_of_many_rows_equals_what_the_callback_computes():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(scale=4, size=(2, 500, 10)).astype(np.float32), rng.integers(10, size=500)
    run = TrainingDynamics.from_logits(logits, labels)
    for epoch in range(2):
        rows = single_label(torch.from_numpy(logits[epoch]), torch.from_numpy(labels)).numpy()
        np.testing.assert_array_equal(run["correct"][epoch], rows[:, SIGNALS.index("correct")])
        for column, signal in enumerate(SIGNALS):
            np.testing.assert_allclose(run[signal][epoch], rows[:, column], rtol=1e-6, atol=2e-6)


def test_from_logits_leaves_the_input_alone():
    logits = np.random.default_rng(0).normal(size=(2, 5, 3))
    before = logits.copy()
    TrainingDynamics.from_logits(logits, [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(logits, before)


def test_rows_of_diverged_logits_are_nan_in_every_signal():
    logits = [[[NAN, NAN], [1.0, NAN], [NAN, 1.0], [1.0, 0.0]]]
    run = TrainingDynamics.from_logits(logits, [0, 0, 0, 0])
    for signal in SIGNALS:
        assert np.isnan(run[signal][0]).tolist() == [True, True, True, False], signal


def test_unseen_rows_are_nan_in_every_signal(run):
    for signal in SIGNALS:
        unseen = np.isnan(run[signal])
        assert unseen[1, 4]
        assert unseen.sum() == 1
    assert run.coverage == pytest.approx(17 / 18)
    assert "coverage=0.944" in repr(run)


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


@pytest.mark.parametrize("shape", [(4, 2, 3), (5, 2, 4), (5, 3)])
def test_arrays_that_do_not_fit(shape):
    with pytest.raises(ArgumentError, match=r"wanted signals of shape \(5, epochs, n\) and labels of shape \(n,\)"):
        TrainingDynamics(np.zeros(shape, dtype=np.float32), np.zeros(3, dtype=np.int64))


def test_unknown_signal(run):
    with pytest.raises(KeyError, match="Did you mean 'margin'"):
        run["margins"]


def test_mean_is_over_the_epochs_that_showed_a_row():
    run = dynamics_of([[1, 2, NAN], [3, NAN, NAN], [8, 4, 5]])
    assert run.mean("margin").tolist() == [4, 3, 5]
    assert run.mean("margin", (0, 3)).tolist() == [4, 3, 5]
    assert run.mean("margin", (2, 3)).tolist() == [8, 4, 5]
    assert run.mean("margin").dtype == np.float64


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
    run = TrainingDynamics(np.zeros((5, 0, 3), dtype=np.float32), np.zeros(3, dtype=np.int64))
    assert (run.epochs, run.coverage) == (0, 0.0)
    with pytest.raises(ArgumentError, match="within the 0 recorded epochs"):
        run.mean("margin")


def assert_same(found, run):
    for signal in SIGNALS:
        np.testing.assert_array_equal(found[signal], run[signal])
        assert found[signal].dtype == np.float32
    np.testing.assert_array_equal(found.labels, run.labels)
    assert found.labels.dtype == np.int64
    assert found.features.keys() == run.features.keys()
    for moment, array in run.features.items():
        np.testing.assert_array_equal(found.features[moment], array)
        assert found.features[moment].dtype == np.float32


@pytest.mark.parametrize("with_features", [True, False])
def test_saved_and_loaded(run, with_features, tmp_path):
    if not with_features:
        run.features = {}
    run.labels[4] = -1
    path = tmp_path / "new" / "folder" / "run.safetensors"
    run.save(path)
    assert_same(TrainingDynamics.load(path), run)
    assert_same(TrainingDynamics.load(str(path)), run)
    assert_same(checked_dynamics(str(path)), run)
    assert os.listdir(path.parent) == ["run.safetensors"]


def test_views_are_saved_as_what_they_show(tmp_path):
    # What the callback gives are the finished epochs of a larger array.
    signals = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    features = np.arange(24, dtype=np.float32).reshape(3, 8)
    run = TrainingDynamics(signals[:, :2], np.arange(6)[::2], {"last": features[:, ::2]})
    run.save(tmp_path / "run")
    assert_same(TrainingDynamics.load(tmp_path / "run"), run)


def test_saved_file_is_plain_safetensors(run, tmp_path):
    run.save(tmp_path / "run")
    tensors = safetensors.numpy.load_file(tmp_path / "run")
    assert sorted(tensors) == ["features.early", "features.last", "labels", "signals"]
    np.testing.assert_array_equal(tensors["signals"][SIGNALS.index("margin")], run["margin"])


def test_saving_replaces_an_older_file(run, tmp_path):
    dynamics_of([[1, 2]]).save(tmp_path / "run")
    run.save(tmp_path / "run")
    assert_same(TrainingDynamics.load(tmp_path / "run"), run)


def test_interrupted_save_leaves_the_older_file(run, tmp_path, monkeypatch):
    older = dynamics_of([[1, 2]])
    older.save(tmp_path / "run")

    def disk_full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(safetensors.numpy, "save_file", disk_full)
    with pytest.raises(OSError, match="no space left"):
        run.save(tmp_path / "run")
    assert os.listdir(tmp_path) == ["run"]
    assert_same(TrainingDynamics.load(tmp_path / "run"), older)


def test_save_to_a_folder(run, tmp_path):
    with pytest.raises(
        ArgumentError, match=rf"`path`: wanted a file such as {tmp_path}/dynamics.safetensors, got a folder"
    ):
        run.save(tmp_path)
    assert os.listdir(tmp_path) == []


def whole_file(run, path):
    run.save(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        lambda whole: whole[:-10],
        lambda whole: whole[:60],
        lambda whole: whole[:4],
        lambda whole: b"",
        lambda whole: b"PK\x03\x04 an npz",
        lambda whole: b"\x80\x04\x95 a pickle, perhaps" * 10,
        lambda whole: b"text " * 100,
    ],
    ids=["tail cut", "header cut", "length cut", "empty", "npz", "pickle", "text"],
)
def test_load_of_a_damaged_or_other_file(run, content, tmp_path):
    path = tmp_path / "run"
    path.write_bytes(content(whole_file(run, path)))
    with pytest.raises(ArgumentError, match=rf"`dynamics`: '{path}' is damaged or no safetensors file"):
        TrainingDynamics.load(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
def test_load_of_a_model(dtype, tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3, 3).to(dtype)}, path, metadata={"format": "pt"})
    with pytest.raises(ArgumentError, match=rf"`dynamics`: '{path}' was not written by TrainingDynamics.save"):
        TrainingDynamics.load(path)


def test_load_of_safetensors_without_metadata(tmp_path):
    safetensors.numpy.save_file({"signals": np.zeros((5, 1, 2), dtype=np.float32)}, tmp_path / "run")
    with pytest.raises(ArgumentError, match=r"was not written by TrainingDynamics.save"):
        TrainingDynamics.load(tmp_path / "run")


@pytest.mark.parametrize("lost", ["signals", "labels"])
def test_load_of_a_file_that_lost_an_array(run, lost, tmp_path):
    path = tmp_path / "run"
    run.save(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    tensors = safetensors.numpy.load_file(path)
    del tensors[lost]
    safetensors.numpy.save_file(tensors, path, metadata=metadata)
    with pytest.raises(ArgumentError, match=rf"`dynamics`: '{path}'"):
        TrainingDynamics.load(path)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    "write",
    [
        lambda path, trap: path.write_bytes(pickle.dumps(trap)),
        lambda path, trap: np.savez(path, signals=np.array([trap])),
    ],
)
def test_load_never_unpickles(write, tmp_path):
    write(tmp_path / "run.npz", Trap(str(tmp_path / "sprung")))
    with pytest.raises(ArgumentError, match="is damaged or no safetensors file"):
        TrainingDynamics.load(tmp_path / "run.npz")
    assert os.listdir(tmp_path) == ["run.npz"]


def test_load_of_nothing(tmp_path):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(
            ArgumentError, match=rf"`dynamics`: no file at '{path}'; wanted one that TrainingDynamics.save"
        ):
            TrainingDynamics.load(path)


def test_checked_dynamics(run):
    class Recorder:
        dynamics = run

    assert checked_dynamics(run) is run
    assert checked_dynamics(Recorder()) is run
    for other in (np.zeros((3, 6)), {"margin": 1}, None, TrainingDynamics):
        with pytest.raises(ArgumentTypeError, match="`dynamics`: wanted TrainingDynamics, the PruningTrainerCallback"):
            checked_dynamics(other)


def trained_on(labels):
    return dynamics_of(np.zeros((1, len(labels))), labels)


def test_rows_of_another_count():
    with pytest.raises(AlignmentError, match="recorded for 3 rows, this dataset has 2; pass the dynamics of a run on"):
        trained_on([0, 1, 2]).check_rows(np.array([0, 1]), "label")


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8])
def test_labels_that_are_the_recorded_ones(dtype):
    trained_on([0, 1, 2, 1]).check_rows(np.array([0, 1, 2, 1], dtype=dtype), "label")


def test_permuted_rows():
    with pytest.raises(AlignmentError, match="2 of 4 labels differ from column 'fine', first at row 1") as caught:
        trained_on([0, 1, 2, 1]).check_rows(np.array([0, 2, 1, 1]), "fine")
    assert "(recorded 1, here 2); were the rows reordered, or is label_column= another?" in str(caught.value)


def test_renumbered_labels_are_other_labels():
    message = (
        "4 of 4 labels differ from column 'label', first at row 0 .* they match one to one, so pass as label_column="
    )
    with pytest.raises(AlignmentError, match=message):
        trained_on([0, 1, 1, 0]).check_rows(np.array([1, 0, 0, 1]), "label")


def test_unseen_rows_are_not_compared():
    trained_on([0, -1, 2, -1]).check_rows(np.array([0, 7, 2, 0]), "label")
    with pytest.raises(AlignmentError, match="first at row 2"):
        trained_on([0, -1, 2, -1]).check_rows(np.array([0, 7, 1, 0]), "label")
    trained_on([-1, -1]).check_rows(np.array(["a", "b"]), "label")
    trained_on([-1, 1]).check_rows(np.array(["a", "a"]), "label")


@pytest.mark.parametrize("names", [["cat", "dog", "ant"], ["ant", "cat", "dog"]])
def test_text_labels_match_one_to_one(names):
    recorded = [0, 1, 2, 1, 0]
    trained_on(recorded).check_rows(np.array(names)[recorded], "label")


@pytest.mark.parametrize(
    ("given", "row"),
    [
        (["cat", "dog", "dog", "dog", "cat"], 2),  # two recorded classes, one name
        (["cat", "dog", "ant", "fox", "cat"], 3),  # one recorded class, two names
        (["cat", "dog", "ant", "cat", "dog"], 3),  # permuted
    ],
)
def test_text_labels_that_match_no_numbering(given, row):
    with pytest.raises(
        AlignmentError, match=rf"labels differ from column 'animal', first at row {row} .*here {given[row]}"
    ):
        trained_on([0, 1, 2, 1, 0]).check_rows(np.array(given), "animal")


def test_bool_labels():
    trained_on([0, 1, 1, 0]).check_rows(np.array([False, True, True, False]), "spam")
    trained_on([0, 1, 1, 0]).check_rows(np.array([True, False, False, True]), "spam")  # numbered the other way round
    with pytest.raises(AlignmentError, match=r"1 of 4 labels differ from column 'spam', first at row 3 \(recorded 0"):
        trained_on([0, 1, 1, 0]).check_rows(np.array([False, True, True, True]), "spam")


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
