"""The life of a recorder: one run after another, crashes, buffers, and what it leaves behind."""

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from hf_prune import ArgumentError, PruningTrainerCallback
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.recording import arrays as recording
from hf_prune.recording.reading import BatchSignals
from tests.recording.witness import (
    TorchDataset,
    Witness,
    assert_recorded,
    assert_same_dynamics,
    count_hooks,
    fail_at,
    refuse,
    train,
)


def test_small_buffer_changes_nothing(task, monkeypatch):
    whole, in_parts = PruningTrainerCallback(features=True), PruningTrainerCallback(features=True)
    train(task, [whole])
    monkeypatch.setattr(recording, "BUFFERED_VALUES", 1)
    train(task, [in_parts])
    for signal in SIGNALS:
        np.testing.assert_array_equal(in_parts.dynamics[signal], whole.dynamics[signal])
    for moment in ("early", "last"):
        np.testing.assert_array_equal(in_parts.dynamics.features[moment], whole.dynamics.features[moment])


@pytest.mark.parametrize(("buffered", "written"), [(recording.BUFFERED_VALUES, 0), (1, 8)])
def test_full_buffer_is_emptied_within_the_epoch(text_task, monkeypatch, buffered, written):
    monkeypatch.setattr(recording, "BUFFERED_VALUES", buffered)
    recorder, seen = PruningTrainerCallback(), []

    class Looker(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            values = recorder._recording._signals["loss"][0]
            seen.append(int((~np.isnan(values)).sum()))

    text_task.trainer(callbacks=[recorder, Looker()], max_steps=1).train()
    assert seen == [written]


def test_epochs_reach_the_dataset(text_task):
    recorded, plain = TorchDataset(text_task.dataset), TorchDataset(text_task.dataset)
    train(text_task, [PruningTrainerCallback()], train_dataset=recorded)
    train(text_task, train_dataset=plain)
    assert recorded.epochs == plain.epochs
    assert sorted(set(recorded.epochs)) == [0, 1, 2]


class Listener(TrainerCallback):
    """Reads the recorder whenever an epoch has ended."""

    def __init__(self, recorder):
        self.recorder, self.heard = recorder, []

    def on_epoch_end(self, args, state, control, **kwargs):
        self.heard.append(self.recorder.dynamics)


def test_dynamics_during_training(task):
    recorder = PruningTrainerCallback()
    listener = Listener(recorder)
    run = train(task, [recorder, listener])
    assert [dynamics.epochs for dynamics in listener.heard] == [1, 2, 3]
    for epoch, dynamics in enumerate(listener.heard):
        np.testing.assert_array_equal(dynamics["margin"], recorder.dynamics["margin"][: epoch + 1])
    assert_recorded(recorder.dynamics, run.witness, task.labels)


def test_loader_and_model_are_left_as_they_were(task):
    recorder = PruningTrainerCallback(features=True)
    trainer = task.trainer()
    witness = Witness(task, trainer.model)
    before = count_hooks(trainer.model)
    trainer.add_callback(witness)
    trainer.add_callback(recorder)
    seen = []

    class During(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            seen.append((count_hooks(trainer.model), witness.loader.dataset, witness.loader.collate_fn))

    trainer.add_callback(During())
    trainer.train()
    hooks, dataset, collate = seen[0]
    assert hooks > before
    assert dataset is not witness.before[0]
    assert collate is not witness.before[1]
    assert count_hooks(trainer.model) == before
    assert witness.loader.dataset is witness.before[0]
    assert witness.loader.collate_fn is witness.before[1]


def test_second_run_with_the_same_recorder(task):
    recorder = PruningTrainerCallback(features=True)
    first = train(task, [recorder])
    of_first = recorder.dynamics
    margin = of_first["margin"].copy()
    second = train(task, [recorder], seed=1, num_train_epochs=2)
    assert recorder.dynamics.epochs == 2
    assert_recorded(recorder.dynamics, second.witness, task.labels)
    np.testing.assert_array_equal(of_first["margin"], margin)
    assert_recorded(of_first, first.witness, task.labels)


def test_train_twice_with_one_trainer(task):
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder])
    before, first_margin = count_hooks(run.trainer.model), recorder.dynamics["margin"].copy()
    del run.witness.logits[:], run.witness.features[:], run.witness.times_seen[:]
    run.trainer.train()
    assert_recorded(recorder.dynamics, run.witness, task.labels)
    assert not np.array_equal(recorder.dynamics["margin"], first_margin)
    assert count_hooks(run.trainer.model) == before


def test_crash_and_second_run(task):
    recorder = PruningTrainerCallback(features=True)
    trainer = task.trainer()
    witness = Witness(task, trainer.model)
    fail_at(trainer.model, task.head, 8, RuntimeError("out of luck"))
    before = count_hooks(trainer.model)
    for each in (witness, recorder):
        trainer.add_callback(each)
    with pytest.raises(RuntimeError, match="out of luck"):
        trainer.train()
    # The third step of epoch 1 failed: epoch 0 is whole.
    assert recorder.dynamics.epochs == 1
    assert recorder.dynamics.coverage == 1.0
    crashed = witness.loader, *witness.before
    trainer.evaluate(task.dataset)

    del witness.logits[:], witness.features[:], witness.times_seen[:]
    trainer.train()
    assert_recorded(recorder.dynamics, witness, task.labels)
    assert recorder.dynamics.epochs == 3
    assert count_hooks(trainer.model) == before
    assert crashed[0].dataset is crashed[1]
    assert crashed[0].collate_fn is crashed[2]
    assert witness.loader.dataset is witness.before[0]


def test_another_recorder_after_a_crash(task):
    model = task.new_model()
    fail_at(model, task.head, 8, RuntimeError("out of luck"))
    with pytest.raises(RuntimeError, match="out of luck"):
        train(task, [PruningTrainerCallback(features=True)], model=model)
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder], model=model)
    assert_recorded(recorder.dynamics, run.witness, task.labels)


def test_smaller_batches_when_memory_runs_out(task):
    recorder = PruningTrainerCallback()
    trainer = task.trainer(auto_find_batch_size=True)
    witness = Witness(task, trainer.model)
    fail_at(trainer.model, task.head, 7, RuntimeError("CUDA out of memory."))
    for each in (witness, recorder):
        trainer.add_callback(each)
    trainer.train()
    assert trainer.state.train_batch_size < 8
    assert recorder.dynamics.epochs == 3
    del witness.logits[:2]
    assert_recorded(recorder.dynamics, witness, task.labels)


def test_two_recorders(task):
    first, second = PruningTrainerCallback(features=True), PruningTrainerCallback()
    run = train(task, [first, second])
    assert_recorded(first.dynamics, run.witness, task.labels)
    assert_recorded(second.dynamics, run.witness, task.labels)
    assert run.witness.loader.dataset is run.witness.before[0]
    assert run.witness.loader.collate_fn is run.witness.before[1]


def diverge(model, head, passes):
    """Let the model give logits that are NaN in training passes of these numbers, of the first row's only."""
    count = iter(range(10**6))

    def spoil(module, args, output):
        if module.training and next(count) in passes:
            output = output.clone()
            output[0] = torch.nan
        return output

    model.get_submodule(head).register_forward_hook(spoil)


def test_a_run_that_diverges_goes_on(text_task):
    model = text_task.new_model()
    diverge(model, text_task.head, {6})
    recorder = PruningTrainerCallback()
    run = train(text_task, [recorder], model=model, learning_rate=0.0, max_grad_norm=0.0)
    assert run.trainer.state.global_step == 15
    dynamics = recorder.dynamics
    assert dynamics.coverage == 1
    infinite = np.isinf(dynamics["loss"])
    assert infinite.sum(axis=1).tolist() == [0, 1, 0]
    for signal in dynamics.signals:
        np.testing.assert_array_equal(np.isinf(dynamics[signal]), infinite)
    row = np.argmax(infinite[1])
    with pytest.raises(ArgumentError, match=f"in epoch 1 row {row} has the el2n inf, one of 1 in that epoch"):
        text_task.dataset.prune("el2n", keep=5, dynamics=recorder)
    assert len(text_task.dataset.prune("el2n", keep=5, dynamics=recorder, epochs=(0, 1))) == 5


class Repeating(torch.utils.data.Sampler):
    """Every row twice an epoch."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return 2 * self.n

    def __iter__(self):
        return iter([*range(self.n), *range(self.n)])


@pytest.mark.parametrize("buffered", [1, recording.BUFFERED_VALUES])
def test_of_a_row_that_an_epoch_shows_twice_the_first_pass_counts(text_task, monkeypatch, buffered):
    monkeypatch.setattr(recording, "BUFFERED_VALUES", buffered)
    once, twice = PruningTrainerCallback(features=True), PruningTrainerCallback(features=True)
    train(text_task, [once], in_order=True, num_train_epochs=1, lr_scheduler_type="constant")
    trainer = text_task.trainer(callbacks=[twice], num_train_epochs=1, lr_scheduler_type="constant")
    monkeypatch.setattr(trainer, "_get_train_sampler", lambda *args: Repeating(len(text_task.dataset)))
    trainer.train()
    # The fifth batch is the last of the one run and not of the other.
    np.testing.assert_array_equal(twice.dynamics["loss"][:, :32], once.dynamics["loss"][:, :32])
    np.testing.assert_array_equal(twice.dynamics.features["last"][:32], once.dynamics.features["last"][:32])


@pytest.mark.parametrize("buffered", [1, recording.BUFFERED_VALUES])
def test_an_infinite_first_pass_counts(text_task, monkeypatch, buffered):
    monkeypatch.setattr(recording, "BUFFERED_VALUES", buffered)
    model, recorder = text_task.new_model(), PruningTrainerCallback()
    diverge(model, text_task.head, {0})  # row 0, which a finite pass shows again
    trainer = text_task.trainer(callbacks=[recorder], model=model, num_train_epochs=1, learning_rate=0.0)
    monkeypatch.setattr(trainer, "_get_train_sampler", lambda *args: Repeating(len(text_task.dataset)))
    trainer.train()
    assert np.flatnonzero(np.isinf(recorder.dynamics["loss"][0])).tolist() == [0]


def test_features_that_are_no_numbers_are_not_taken_for_unseen():
    run = recording.Recording(2, epochs=1)
    run.begin_epoch()
    features = torch.tensor([[torch.nan, 1.0]])
    signals = torch.zeros(1, len(SIGNALS))
    run.add(BatchSignals(torch.tensor([0]), torch.tensor([1]), signals, features, "single-label", SIGNALS))
    run.end_epoch()
    np.testing.assert_array_equal(run.dynamics().features["last"], [[np.inf, 1], [np.nan, np.nan]])


def test_large_arrays_are_mapped(text_task, monkeypatch):
    plain, mapped = PruningTrainerCallback(features=True), PruningTrainerCallback(features=True)
    train(text_task, [plain])
    monkeypatch.setattr(recording, "MAPPED_BYTES", 100)
    train(text_task, [mapped])
    assert isinstance(mapped.dynamics["loss"], np.memmap)
    assert_same_dynamics(mapped.dynamics, plain.dynamics)


def test_nothing_recorded_yet(task):
    recorder = PruningTrainerCallback()
    with pytest.raises(ArgumentError, match=r"nothing is recorded yet: pass this callback to a Trainer"):
        _ = recorder.dynamics
    with pytest.raises(ArgumentError, match="nothing is recorded yet"):
        task.dataset.prune("el2n", keep=5, dynamics=recorder)
    fail_at(model := task.new_model(), task.head, 2, RuntimeError("out of luck"))
    refuse(task, "out of luck", error=RuntimeError, recorder=recorder, model=model)
    with pytest.raises(ArgumentError, match="nothing is recorded yet"):
        _ = recorder.dynamics
