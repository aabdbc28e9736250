"""Saved files: what comes back, and what is refused."""

import json
import os
import pickle
import signal

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from hf_prune import ArgumentError, TrainingDynamics
from hf_prune.dynamics.dynamics import checked_dynamics
from hf_prune.dynamics.formulas import SIGNALS
from tests.dynamics.runs import Trap, assert_same, dynamics_of


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
    signals = dict(zip(SIGNALS, np.arange(len(SIGNALS) * 12, dtype=np.float32).reshape(-1, 4, 3)[:, :2], strict=True))
    features = np.arange(24, dtype=np.float32).reshape(3, 8)
    run = TrainingDynamics(signals, np.arange(6)[::2], {"last": features[:, ::2]})
    run.save(tmp_path / "run")
    assert_same(TrainingDynamics.load(tmp_path / "run"), run)


def test_saved_file_is_plain_safetensors(run, tmp_path):
    run.save(tmp_path / "run")
    tensors = safetensors.numpy.load_file(tmp_path / "run")
    assert sorted(tensors) == sorted(["features.early", "features.last", "labels", *SIGNALS])
    np.testing.assert_array_equal(tensors["margin"], run["margin"])


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
    safetensors.numpy.save_file(
        {"loss": np.zeros((1, 2), dtype=np.float32), "labels": np.zeros(2, dtype=np.int64)}, tmp_path / "run"
    )
    with pytest.raises(ArgumentError, match=r"was not written by TrainingDynamics.save"):
        TrainingDynamics.load(tmp_path / "run")


def without(path, lost):
    """Write the file at `path` again without some of its tensors."""
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    digests = json.loads(metadata["hf_prune.digests"])
    metadata["hf_prune.digests"] = json.dumps({name: digests[name] for name in digests if name not in lost})
    tensors = {name: tensor for name, tensor in safetensors.numpy.load_file(path).items() if name not in lost}
    safetensors.numpy.save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize("lost", [SIGNALS, ["labels"]])
def test_load_of_a_file_that_lost_its_arrays(run, lost, tmp_path):
    path = tmp_path / "run"
    run.save(path)
    without(path, lost)
    with pytest.raises(ArgumentError, match=rf"`dynamics`: '{path}' was not written by TrainingDynamics.save"):
        TrainingDynamics.load(path)


def test_a_signal_that_a_file_lacks_is_an_error_once_it_is_asked_for(run, tmp_path):
    """A run of before there was such a signal, and one with a signal that nobody here knows."""
    path = tmp_path / "run"
    run.save(path)
    without(path, ["margin"])
    older = TrainingDynamics.load(path)
    assert older.signals == tuple(name for name in run.signals if name != "margin")
    np.testing.assert_array_equal(older.mean("el2n"), run.mean("el2n"))
    match = "this single-label run holds no 'margin', it holds loss, p_true, correct, el2n"
    with pytest.raises(KeyError, match=match):
        older["margin"]
    with pytest.raises(ArgumentError, match=f"`dynamics`: {match}"):
        older.mean("margin")
    assert TrainingDynamics.merge([run, older]).signals == older.signals
    tensors = safetensors.numpy.load_file(path) | {"surprise": np.zeros((3, 6), dtype=np.float32)}
    with safetensors.safe_open(path, framework="numpy") as file:
        safetensors.numpy.save_file(tensors, path, metadata=file.metadata())
    assert_same(TrainingDynamics.load(path), older)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("labels", np.int64([0, 1, 0, 1, 0, -7]), "wanted classes from 0, and -1 where .* row 5 has -7"),
        ("labels", np.int32([0, 1, 0, 1, 0, 1]), "'labels': wanted int64, got int32"),
        ("labels", np.zeros((6, 1), np.int64), r"'labels': wanted int64, got int64 of shape \(6, 1\)"),
        ("loss", np.zeros((3, 6)), "'loss': wanted float32, got float64"),
        ("features.last", np.zeros((6, 4), np.int8), "'features.last': wanted float32, got int8"),
        ("digest.x", np.zeros(6, np.int64), "'digest.x': wanted uint64, got int64"),
    ],
)
def test_arrays_of_other_types_than_those_that_are_written(run, name, array, message, tmp_path):
    path = tmp_path / "run"
    run.save(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    safetensors.numpy.save_file(safetensors.numpy.load_file(path) | {name: array}, path, metadata=metadata)
    with pytest.raises(ArgumentError, match=rf"`dynamics`: '{path}': .*{message}"):
        TrainingDynamics.load(path)


@pytest.mark.parametrize("features", [np.zeros((5, 4)), np.zeros(6), np.zeros((6, 4, 1))])
def test_load_of_features_of_other_rows(run, features, tmp_path):
    run.features["last"] = features.astype(np.float32)
    run.save(tmp_path / "run")
    with pytest.raises(ArgumentError, match=r"`features`: wanted shape \(6, d\) of 'last', got \("):
        TrainingDynamics.load(tmp_path / "run")


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


def test_a_disk_without_room_is_an_error_of_ours(tmp_path):
    resource = pytest.importorskip("resource", reason="the system limits no file")
    run = TrainingDynamics({"loss": np.ones((2, 50_000), np.float32)}, np.zeros(50_000, np.int64))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ArgumentError, match=r"`path`: can't write '.*run' "):
            run.save(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
