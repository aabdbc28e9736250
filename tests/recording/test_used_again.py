"""A recorder that is used for one run after another, or where an instance is wanted."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader

import hf_prune
from hf_prune import ArgumentError, PruningTrainerCallback
from tests.recording.runs import run
from tests.recording.test_models import classes, classifier, unshifted


def test_on_another_train_dataset_it_begins_anew_and_says_so(tmp_path, caplog):
    recorder, columns = PruningTrainerCallback(), classes()
    run(classifier(num_labels=3), columns, tmp_path, unshifted, recorder)
    run(classifier(num_labels=3), columns, tmp_path, unshifted, recorder)
    assert "begins anew" not in caplog.text
    fewer = {name: values[:9] for name, values in columns.items()}
    second = run(classifier(num_labels=3), fewer, tmp_path, unshifted, recorder)
    assert "the recorder begins anew, on another train_dataset of 9 rows: what it held of 2 epochs" in caplog.text
    np.testing.assert_allclose(recorder.dynamics["loss"], second.losses, rtol=1e-5)
    caplog.clear()
    others = {**fewer, "labels": (fewer["labels"] + 1) % 3}
    run(classifier(num_labels=3), others, tmp_path, unshifted, recorder)
    assert "another train_dataset of 9 rows" in caplog.text


def loader_of(columns):
    return DataLoader(Dataset.from_dict(columns).with_format("torch"), batch_size=4)


def test_a_loop_on_another_dataset_of_as_many_rows_is_refused():
    recorder, columns, model = PruningTrainerCallback(), classes(), classifier(num_labels=3)

    def epoch(columns):
        with recorder.record(model, loader := loader_of(columns)):
            for batch in loader:
                model(**batch)

    model.train()
    epoch(columns)
    epoch(columns)
    with pytest.raises(ArgumentError, match="`dataloader`: the epochs before are of other rows of the same number"):
        epoch({**columns, "labels": (columns["labels"] + 1) % 3})


def test_the_class_is_no_recorder():
    dataset = Dataset.from_dict(classes())
    with pytest.raises(
        hf_prune.ArgumentTypeError, match="got the class PruningTrainerCallback itself: pass the instance"
    ):
        dataset.prune("el2n", keep=3, dynamics=PruningTrainerCallback)
    with pytest.raises(hf_prune.ArgumentTypeError, match=r"`features`: .* got Linear"):
        PruningTrainerCallback(features=nn.Linear(1, 1))


def test_a_task_that_a_loop_was_told_holds_for_its_epochs():
    """The first batch of the second epoch alone would leave it open."""
    recorder = PruningTrainerCallback()
    inputs, model = torch.randn(8, 4), nn.Linear(4, 1)
    labels = torch.tensor([0.0, 1, 0, 1, 2.5, 0, 1, 0])
    for order in ([4, 5, 6, 7, 0, 1, 2, 3], range(8)):
        loader = DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=4, sampler=order)
        with recorder.record(model, loader):
            for x, _ in loader:
                model(x)
    assert recorder.dynamics.task == "regression"
    error = (model(inputs)[:, 0] - labels).detach().numpy() ** 2
    np.testing.assert_allclose(recorder.dynamics["loss"][1], error, rtol=1e-5)


def test_lists_of_labels_are_refused_by_name():
    rows = [{"x": torch.zeros(2), "labels": "no"} for _ in range(4)]
    model, recorder = nn.Linear(2, 2), PruningTrainerCallback()
    loader = DataLoader(rows, batch_size=2)
    with pytest.raises(ArgumentError, match="wants labels in one tensor, got a list"), recorder.record(model, loader):
        next(iter(loader))
