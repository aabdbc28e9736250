"""Runs that go on from a checkpoint, and those of which only some epochs are kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerState
from transformers.trainer_callback import CallbackHandler

import hf_prune
from hf_prune import ArgumentError, PruningTrainerCallback
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.recording import checkpoints as recording
from tests.arguments import OF_5
from tests.recording.witness import assert_same_dynamics, fail_at, train


@pytest.mark.parametrize(  # within epochs and at their ends; an epoch has 5 steps
    ("step", "how"),
    [*((step, "output_dir") for step in (2, 5, 7, 10)), (7, "argument"), (7, "resume_from")],
)
def test_a_resumed_run_ends_like_an_uninterrupted_one(task, step, how, tmp_path):
    options = {"save_strategy": "steps", "save_steps": step, "output_dir": str(tmp_path / "first")}
    whole = PruningTrainerCallback(features=True)
    uninterrupted = train(task, [whole], **options)

    checkpoint = str(tmp_path / "first" / f"checkpoint-{step}")
    given = {}
    if how != "output_dir":
        options["output_dir"] = str(tmp_path / "second")
        given = {"resume_from": checkpoint} if how == "resume_from" else {}
        options |= {"resume_from_checkpoint": checkpoint} if how == "argument" else {}
    resumed = PruningTrainerCallback(features=True, **given)
    trainer = task.trainer(callbacks=[resumed], **options)
    trainer.train(resume_from_checkpoint=checkpoint)
    assert_same_dynamics(resumed.dynamics, whole.dynamics)
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, uninterrupted.weights[name]), name


def test_checkpoints_at_the_ends_of_epochs(text_task, tmp_path):
    options = {"save_strategy": "epoch", "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback()
    train(text_task, [whole], **options)
    for step in (5, 10):
        saved = hf_prune.TrainingDynamics.load(tmp_path / f"checkpoint-{step}" / recording.STATE)
        assert saved.epochs == step / 5
        assert saved.coverage == 1
        np.testing.assert_array_equal(saved["loss"], whole.dynamics["loss"][: saved.epochs])
        resumed = PruningTrainerCallback()
        trainer = text_task.trainer(callbacks=[resumed], **options)
        trainer.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert_same_dynamics(resumed.dynamics, whole.dynamics)


@pytest.mark.parametrize(("step", "unseen"), [(5, 0), (7, 16)])
def test_without_a_state_a_resumed_run_records_what_it_trains(task, step, unseen, tmp_path, caplog):
    options = {"save_strategy": "steps", "save_steps": step, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback(features=True)
    train(task, [whole], **options)
    (tmp_path / f"checkpoint-{step}" / recording.STATE).unlink()
    resumed = PruningTrainerCallback(features=True)
    task.trainer(callbacks=[resumed], **options).train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
    assert f"from step {step} and no checkpoint with hf_prune_dynamics.safetensors is found" in caplog.text
    for signal in SIGNALS:
        values = resumed.dynamics[signal]
        assert np.isnan(values[0]).all()
        assert np.isnan(values[1]).sum() == unseen
        seen = ~np.isnan(values)
        np.testing.assert_array_equal(values[seen], whole.dynamics[signal][seen])


class Killed(BaseException):
    """Ends a run where a signal would."""


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Trainer, "_save_checkpoint"),
        (Trainer, "save_model"),
        (Trainer, "_save_rng_state"),
        (TrainerState, "save_to_json"),
        (CallbackHandler, "on_save"),
        (PruningTrainerCallback, "on_save"),
        (Path, "replace"),
    ],
)
@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_killed_while_a_checkpoint_is_written(text_task, owner, name, strategy, tmp_path, monkeypatch):
    """Whatever was written of the checkpoint of step 10, the one that is complete has its dynamics."""
    options = {"save_strategy": strategy, "save_steps": 5, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback(features=True)
    train(text_task, [whole], **options | {"output_dir": str(tmp_path / "whole")})
    trainer = text_task.trainer(callbacks=[PruningTrainerCallback(features=True)], **options)
    do = getattr(owner, name)

    def kill(*args, **keywords):
        if trainer.state.global_step == 10:
            raise Killed
        return do(*args, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, kill)
        with pytest.raises(Killed):
            trainer.train()
    last = max((int(file.parent.name[11:]), file.parent) for file in tmp_path.glob("checkpoint-*/trainer_state.json"))
    resumed = PruningTrainerCallback(features=True)
    text_task.trainer(callbacks=[resumed], **options).train(resume_from_checkpoint=str(last[1]))
    assert_same_dynamics(resumed.dynamics, whole.dynamics)
    assert not [*tmp_path.glob("hf_prune*")]


def test_two_recorders_go_on_each_from_its_own(text_task, tmp_path):
    def two():
        return [PruningTrainerCallback(features=True), PruningTrainerCallback(clean_eval=True)]

    options = {"save_strategy": "steps", "save_steps": 7, "output_dir": str(tmp_path)}
    whole, resumed = two(), two()
    train(text_task, whole, **options)
    text_task.trainer(callbacks=resumed, **options).train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    for one, other in zip(resumed, whole, strict=True):
        assert_same_dynamics(one.dynamics, other.dynamics)
    assert not np.array_equal(whole[0].dynamics["margin"], whole[1].dynamics["margin"])


def test_what_was_left_ahead_is_removed_when_a_run_begins(text_task, tmp_path):
    left = tmp_path / "hf_prune_dynamics-2-of-checkpoint-7.safetensors"
    left.write_bytes(b"half")
    train(text_task, [PruningTrainerCallback()], output_dir=str(tmp_path))
    assert not left.exists()


def test_checkpoints_of_the_best_step_only(text_task, tmp_path):
    options = {
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "best",
        "metric_for_best_model": "eval_loss",
    }
    options |= {"output_dir": str(tmp_path), "eval_dataset": text_task.dataset}
    # So that some steps are the best by then, and some are not.
    train(text_task, [PruningTrainerCallback()], learning_rate=0.1, **options)
    checkpoints = [*tmp_path.glob("checkpoint-*")]
    assert 1 < len(checkpoints) < 7
    assert all((folder / recording.STATE).is_file() for folder in checkpoints)
    assert not [*tmp_path.glob("hf_prune*")]


def test_the_newest_older_state_is_gone_on_from_and_what_is_missing_is_named(text_task, tmp_path, caplog):
    options = {"save_strategy": "steps", "save_steps": 3, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback()
    train(text_task, [whole], **options)
    (tmp_path / "checkpoint-12" / recording.STATE).unlink()
    (tmp_path / "checkpoint-9" / recording.STATE).write_bytes(b"damaged")
    resumed = PruningTrainerCallback()
    trainer = text_task.trainer(callbacks=[resumed], **options)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-12"))
    assert "a state of before can't be gone on from" in caplog.text
    assert "of step 6, and what was shown between these steps, in epochs 1 to 2, is NaN" in caplog.text
    values, known = resumed.dynamics["margin"], whole.dynamics["margin"]
    assert np.isnan(values).sum(axis=1).tolist() == [0, 37 - 8, 16]
    np.testing.assert_array_equal(values[~np.isnan(values)], known[~np.isnan(values)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "is damaged or no safetensors file"),
        (lambda file: file.write_bytes(b""), "is damaged or no safetensors file"),
        (
            lambda file: hf_prune.TrainingDynamics.from_logits(np.zeros((1, 5, 3)), [0] * 5).save(file),
            "has dynamics of 5 rows, this train_dataset has 37",
        ),
        (
            lambda file: hf_prune.TrainingDynamics.from_logits(np.zeros((1, 37, 3)), [0] * 37).save(file),
            "has dynamics of other rows: the label of row",
        ),
        (
            lambda file: hf_prune.TrainingDynamics(
                {"loss": np.zeros((1, 37), np.float32)}, np.full(37, -1), task="regression"
            ).save(file),
            "has dynamics of the task 'regression', this run is of 'single-label'",
        ),
    ],
)
def test_a_damaged_or_foreign_state_is_refused_with_its_path(text_task, change, message, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 5, "output_dir": str(tmp_path)}
    train(text_task, [PruningTrainerCallback()], **options)
    checkpoint = tmp_path / "checkpoint-5"
    change(checkpoint / recording.STATE)
    trainer = text_task.trainer(callbacks=[PruningTrainerCallback()], **options)
    with pytest.raises(ArgumentError, match=message) as caught:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    assert str(checkpoint) in str(caught.value)


def test_a_state_without_a_signal_is_gone_on_with_as_it_is(text_task, tmp_path):
    """A checkpoint of before there was such a signal."""
    options = {"save_strategy": "steps", "save_steps": 7, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback()
    train(text_task, [whole], **options)
    file = tmp_path / "checkpoint-7" / recording.STATE
    saved = hf_prune.TrainingDynamics.load(file)
    signals = {name: saved[name] for name in saved.signals if name != "margin"}
    hf_prune.TrainingDynamics(signals, saved.labels).save(file)
    resumed = PruningTrainerCallback()
    trainer = text_task.trainer(callbacks=[resumed], **options)
    trainer.train(resume_from_checkpoint=str(file.parent))
    assert resumed.dynamics.signals == tuple(signals)
    for name in signals:
        np.testing.assert_array_equal(resumed.dynamics[name], whole.dynamics[name])


def test_killed_between_checkpoints(text_task, tmp_path):
    """A run that dies leaves its last checkpoint, which has every epoch that was over by then."""
    options = {"save_strategy": "steps", "save_steps": 6, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback()
    train(text_task, [whole], **options)
    (tmp_path / "checkpoint-6" / recording.STATE).unlink()
    trainer = text_task.trainer(callbacks=[PruningTrainerCallback()], **options)
    fail_at(trainer.model, text_task.head, 11, SystemExit("killed"))
    with pytest.raises(SystemExit):
        trainer.train()
    saved = hf_prune.TrainingDynamics.load(tmp_path / "checkpoint-6" / recording.STATE)
    np.testing.assert_array_equal(saved["loss"][0], whole.dynamics["loss"][0])


@pytest.mark.parametrize("every", [2, 3, 5])
def test_some_epochs_only(text_task, every, tmp_path):
    options = {"num_train_epochs": 5, "save_strategy": "steps", "save_steps": 7, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback(features=True)
    train(text_task, [whole], **options)
    some = PruningTrainerCallback(features=True, every=every)
    train(text_task, [some], **options)
    assert some.dynamics.epochs == len(range(0, 5, every))
    for signal in SIGNALS:
        np.testing.assert_array_equal(some.dynamics[signal], whole.dynamics[signal][::every])
    for moment in ("early", "last"):
        np.testing.assert_array_equal(some.dynamics.features[moment], whole.dynamics.features[moment])
    for step in (7, 14):  # within the second and the third epoch
        resumed = PruningTrainerCallback(features=True, every=every)
        trainer = text_task.trainer(callbacks=[resumed], **options)
        trainer.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert_same_dynamics(resumed.dynamics, some.dynamics)


def test_every_is_a_whole_number():
    with pytest.raises(ArgumentError, match="`every`: wanted a whole number of at least 1, got 0"):
        PruningTrainerCallback(every=0)


@pytest.mark.parametrize(("batch_size", "unseen"), [(4, [20, 0, 0]), (16, [37, 32, 0])])
def test_resumed_with_another_batch_size(text_task, batch_size, unseen, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 5, "output_dir": str(tmp_path)}
    text_task.trainer(**options).train()
    recorder = PruningTrainerCallback()
    trainer = text_task.trainer(callbacks=[recorder], **options, per_device_train_batch_size=batch_size)
    # Step 5 ended epoch 0; the Trainer takes it for half of epoch 0, or for two thirds of epoch 1. Before version 5 it
    # goes on with batches of the size that they had.
    unseen = unseen if OF_5 else [37, 0, 0]
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert np.isnan(recorder.dynamics["margin"]).sum(axis=1).tolist() == unseen
