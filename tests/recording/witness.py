"""Runs of the tiny tasks beside a witness that sees what the recorder ought to record, by hooks of its own."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from hf_prune import ArgumentError, PruningTrainerCallback
from hf_prune.dynamics.formulas import SIGNALS


class Witness(TrainerCallback):
    """Logits and head inputs of every training pass, by hooks of its own; rows are named by what their input holds."""

    def __init__(self, task, model):
        self.task = task
        self.logits, self.features, self.times_seen = [], [], []
        self.training_passes = self.evaluation_passes = 0
        self.before = None
        hide = torch.compiler.disable
        model.get_submodule(task.head).register_forward_pre_hook(hide(self.read_features))
        model.register_forward_hook(hide(self.read_output), with_kwargs=True)

    def on_train_begin(self, args, state, control, **kwargs):
        # This callback comes before the recorder, so it finds the loader as the Trainer made it.
        self.loader = kwargs["train_dataloader"].base_dataloader
        self.before = self.loader.dataset, self.loader.collate_fn

    def on_epoch_begin(self, args, state, control, **kwargs):
        n = len(self.before[0])
        self.logits.append(np.full((n, self.task.classes), np.nan, dtype=np.float32))
        self.features.append({})
        self.times_seen.append(np.zeros(n, dtype=int))

    def read_features(self, module, args):
        self.head_input = args[0].detach().float().numpy()

    def read_output(self, module, args, kwargs, output):
        if not module.training:
            self.evaluation_passes += 1
            return
        self.training_passes += 1
        rows = self.task.row_ids(kwargs).numpy()
        logits = output["logits"] if hasattr(output, "keys") else next(part for part in output if part.ndim == 2)
        self.logits[-1][rows] = logits.detach().float().numpy()
        self.features[-1] |= dict(zip(rows.tolist(), self.head_input, strict=True))
        np.add.at(self.times_seen[-1], rows, 1)


def train(task, recorders=(), **options):
    """A finished run of 3 epochs: its Trainer, witness, final weights and state of the random numbers."""
    trainer = task.trainer(**options)
    witness = Witness(task, trainer.model)
    for each in (witness, *recorders):
        trainer.add_callback(each)
    trainer.train()
    weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    numbers = (random.getstate(), np.random.get_state(), torch.get_rng_state())  # noqa: NPY002
    return SimpleNamespace(trainer=trainer, witness=witness, weights=weights, numbers=numbers)


def count_hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def assert_recorded(dynamics, witness, labels):
    """Every signal of every (epoch, row) is what the definitions say of the witness's logits, and NaN where unseen."""
    logits = np.stack(witness.logits)
    rows = np.arange(len(labels))
    true = logits[:, rows, labels]
    others = logits.copy()
    others[:, rows, labels] = -np.inf
    seen = ~np.isnan(true)
    np.testing.assert_array_equal(dynamics["margin"], true - others.max(axis=2))

    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=2, keepdims=True)
    p_true = p[:, rows, labels]
    close = {"rtol": 1e-5, "atol": 2e-6}
    np.testing.assert_allclose(dynamics["p_true"], p_true, **close)
    np.testing.assert_allclose(dynamics["loss"], -np.log(p_true), **close)
    np.testing.assert_allclose(dynamics["el2n"], np.linalg.norm(p - np.eye(p.shape[2])[labels], axis=2), **close)
    correct = np.where(seen, logits.argmax(axis=2) == labels, np.nan)
    np.testing.assert_array_equal(dynamics["correct"], correct)
    ever_seen = seen.any(axis=0)
    np.testing.assert_array_equal(dynamics.labels, np.where(ever_seen, labels, -1))


def assert_same_run(run, plain):
    assert run.witness.training_passes == plain.witness.training_passes > 0
    assert run.witness.evaluation_passes == plain.witness.evaluation_passes
    assert run.trainer.state.global_step == plain.trainer.state.global_step
    assert run.weights.keys() == plain.weights.keys()
    for name, tensor in run.weights.items():
        assert torch.equal(tensor, plain.weights[name]), name
    assert run.numbers[0] == plain.numbers[0]
    for mine, theirs in zip(run.numbers[1], plain.numbers[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert torch.equal(run.numbers[2], plain.numbers[2])


def assert_same_dynamics(one, other):
    for signal in SIGNALS:
        np.testing.assert_array_equal(one[signal], other[signal])
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.features.keys() == other.features.keys()
    for moment, array in one.features.items():
        np.testing.assert_array_equal(array, other.features[moment])


class TorchDataset(torch.utils.data.Dataset):
    """Rows one by one, as research code writes it; remembers the epochs that it was told."""

    def __init__(self, rows):
        self.rows = list(rows)
        self.epochs = []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


def fail_at(model, name, passes, error):
    """Let the module `name` raise `error` once, at training pass number `passes`."""
    left = [passes]

    def fail(module, args):
        left[0] -= module.training
        if module.training and left[0] == 0:
            raise error

    model.get_submodule(name).register_forward_pre_hook(fail)


def refuse(task, match, error=ArgumentError, recorder=None, **options):
    """Train until the error that must come."""
    trainer = task.trainer(callbacks=[recorder or PruningTrainerCallback()], **options)
    with pytest.raises(error, match=match):
        trainer.train()


def other_labels(task, labels):
    return task.dataset.remove_columns("label").add_column("label", labels)
