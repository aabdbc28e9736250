import numpy as np
import pytest
import torch
from datasets import Dataset

import hf_prune
from hf_prune import PruningTrainerCallback
from hf_prune.signals.signals import Signals


def gradients(task, model):
    """(n,) norms of each row's gradient by the head, by autograd."""
    collate, head = task.trainer().data_collator, model.get_submodule(task.head)
    found = []
    for row in task.dataset.remove_columns("note"):
        model.zero_grad()
        model(**collate([row]))["loss"].backward()
        found.append(torch.cat([weight.grad.flatten() for weight in head.parameters()]).norm().item())
    return np.array(found)


def test_equals_autograd(text_task):
    recorder = PruningTrainerCallback(features=True, clean_eval=True)
    trainer = text_task.trainer(callbacks=[recorder], num_train_epochs=1)
    trainer.train()
    expected = gradients(text_task, trainer.model.eval())
    found = hf_prune.GraNd().score(Signals(37, {"dynamics": recorder.dynamics}), seed=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    kept = text_task.dataset.prune("grand", keep=5, dynamics=recorder).selection.indices
    assert kept.tolist() == sorted(np.argsort(-expected)[:5])


def test_refusals():
    run = hf_prune.TrainingDynamics.from_logits(np.zeros((1, 3, 2)), [0, 1, 0])
    dataset = Dataset.from_dict({"label": [0, 1, 0]})
    with pytest.raises(hf_prune.MissingSignalError, match="`grand`: these dynamics hold no features; train with"):
        dataset.prune("grand", keep=1, dynamics=run)
    other = hf_prune.TrainingDynamics({"el2n": np.zeros((1, 3), np.float32)}, np.full(3, -1), task="multi-label")
    with pytest.raises(hf_prune.ArgumentError, match="`grand`: wanted dynamics of a run with one label a row"):
        dataset.prune("grand", keep=1, dynamics=other)
