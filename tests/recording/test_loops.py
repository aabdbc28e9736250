"""Recording loops that have no Trainer."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

import hf_prune
from hf_prune import PruningTrainerCallback
from hf_prune.dynamics.formulas import SIGNALS

EPOCHS = 6
"""More than there is room for at first."""


def parts(task, **options):
    """(model, loader, optimizer) fresh from a seed."""
    torch.manual_seed(0)
    model = task.new_model()
    dataset = task.dataset.remove_columns("note")
    collate = task.trainer().data_collator
    torch.manual_seed(0)
    model.load_state_dict(task.new_model().state_dict())
    loader = DataLoader(dataset, batch_size=8, shuffle=True, collate_fn=collate, **options)
    return model, loader, torch.optim.SGD(model.parameters(), 0.1)


def one_epoch(model, loader, optimizer, seen):
    rows = {}
    for batch in loader:
        output = model(**batch)
        rows |= dict(zip((batch["input_ids"][:, 0] - 2).tolist(), output["logits"].detach(), strict=True))
        output["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    seen.append(torch.stack([rows[row] for row in range(len(rows))]).numpy())


def train(task, recorder=None, accelerate=False):
    model, loader, optimizer = parts(task)
    if accelerate:
        accelerator = Accelerator(cpu=True)
        model, loader, optimizer = accelerator.prepare(model, loader, optimizer)
    model.train()
    seen = []
    torch.manual_seed(1)
    for _ in range(EPOCHS):
        if recorder is None:
            one_epoch(model, loader, optimizer, seen)
            continue
        with recorder.record(model, loader):
            one_epoch(model, loader, optimizer, seen)
    return torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()]), np.stack(seen)


@pytest.mark.parametrize("accelerate", [False, True], ids=["plain", "accelerate"])
def test_a_loop_is_recorded_and_unchanged(text_task, accelerate):
    recorder = PruningTrainerCallback(features=True)
    weights, logits = train(text_task, recorder, accelerate)
    assert torch.equal(weights, train(text_task, None, accelerate)[0])
    expected = hf_prune.TrainingDynamics.from_logits(logits, text_task.labels)
    for signal in SIGNALS:
        np.testing.assert_allclose(recorder.dynamics[signal], expected[signal], rtol=1e-5, atol=2e-6)
    assert {moment: array.shape for moment, array in recorder.dynamics.features.items()} == {
        "early": (37, 32),
        "last": (37, 32),
    }
    assert len(text_task.dataset.prune("d2", keep=9, dynamics=recorder)) == 9


def test_some_epochs_of_a_loop(text_task):
    whole, some = PruningTrainerCallback(), PruningTrainerCallback(every=4)
    train(text_task, whole)
    train(text_task, some)
    np.testing.assert_array_equal(some.dynamics["loss"], whole.dynamics["loss"][::4])


def test_evaluation_and_other_passes_are_not_recorded(text_task):
    recorder = PruningTrainerCallback()
    model, loader, optimizer = parts(text_task)
    model.train()
    with recorder.record(model, loader):
        one_epoch(model, loader, optimizer, [])
    model.eval()
    before = recorder.dynamics["loss"].copy()
    for batch in loader:
        model(**batch)
    np.testing.assert_array_equal(recorder.dynamics["loss"], before)
    assert loader.dataset.column_names


def test_an_epoch_that_an_error_ended_is_not_kept(text_task):
    recorder = PruningTrainerCallback()
    model, loader, optimizer = parts(text_task)
    model.train()
    passes = iter([None, None])
    model.register_forward_hook(lambda *_: next(passes))  # the third fails
    with pytest.raises(StopIteration), recorder.record(model, loader):
        one_epoch(model, loader, optimizer, [])
    model._forward_hooks.clear()
    with pytest.raises(hf_prune.ArgumentError, match="nothing is recorded yet"):
        _ = recorder.dynamics
    with recorder.record(model, loader):
        one_epoch(model, loader, optimizer, [])
    assert recorder.dynamics.epochs == recorder.dynamics.coverage == 1


def test_of_an_epoch_that_an_error_ended_no_row_stays(text_task):
    """The next attempt has other weights."""
    recorder = PruningTrainerCallback(features=True)
    model, loader, optimizer = parts(text_task)
    model.train()

    def fail():
        one_epoch(model, loader, optimizer, [])
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"), recorder.record(model, loader):
        fail()
    seen = []
    with recorder.record(model, loader):
        one_epoch(model, loader, optimizer, seen)
    expected = hf_prune.TrainingDynamics.from_logits(np.stack(seen), text_task.labels)
    np.testing.assert_allclose(recorder.dynamics["margin"], expected["margin"], rtol=1e-5, atol=2e-6)


def test_a_loop_over_a_stream(text_task):
    plain, streamed = PruningTrainerCallback(), PruningTrainerCallback(id_column="position", num_examples=37)
    model, loader, _ = parts(text_task)
    model.train()
    positions = np.arange(37)[::-1]
    rows = loader.dataset.add_column("position", positions).to_iterable_dataset()

    def collate(rows):
        return loader.collate_fn([{name: row[name] for name in row if name != "position"} for row in rows])

    in_order = DataLoader(loader.dataset, batch_size=8, collate_fn=loader.collate_fn)
    stream = DataLoader(rows, batch_size=8, collate_fn=collate)
    for recorder, batches in ((plain, in_order), (streamed, stream)):
        torch.manual_seed(0)  # of dropout
        with recorder.record(model, batches), torch.no_grad():
            for batch in batches:
                model(**batch)
    np.testing.assert_array_equal(streamed.dynamics["loss"][:, positions], plain.dynamics["loss"])


def test_loops_that_cannot_be_recorded(text_task):
    recorder = PruningTrainerCallback()
    model, loader, optimizer = parts(text_task)
    message = "saw no forward pass of the model in training mode over the batch: call the whole model"
    with pytest.raises(hf_prune.ArgumentError, match=message), recorder.record(model.eval(), loader):
        one_epoch(model, loader, optimizer, [])
    model.train()
    with recorder.record(model, loader):
        one_epoch(model, loader, optimizer, [])
    smaller = DataLoader(loader.dataset.select(range(9)), batch_size=8, collate_fn=loader.collate_fn)
    with (
        pytest.raises(hf_prune.ArgumentError, match="the epochs before are of 37 rows, this dataset has 9"),
        recorder.record(model, smaller),
    ):
        pass
    streaming = DataLoader(text_task.dataset.to_iterable_dataset(), batch_size=8)
    with pytest.raises(hf_prune.ArgumentError, match="this one is streaming"):
        PruningTrainerCallback().record(model, streaming).__enter__()


@pytest.mark.parametrize("accelerate", [False, True], ids=["plain", "accelerate"])
def test_what_no_pass_is_heard_of_is_refused_after_the_first_step(text_task, accelerate):
    model, loader, optimizer = parts(text_task)
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    steps = []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    if accelerate:
        model, loader, optimizer = Accelerator(cpu=True).prepare(model, loader, optimizer)

    def epoch():
        for batch in loader:
            other.step()  # of another model, and no step of this one
            model.classifier(model.bert(batch["input_ids"])["pooler_output"]).sum().backward()
            optimizer.step()

    with (
        pytest.raises(hf_prune.ArgumentError, match="saw no forward pass"),
        PruningTrainerCallback().record(model.train(), loader),
    ):
        epoch()
    assert len(steps) == 1
    optimizer.step()  # which nobody listens to any more


def test_a_trainer_after_a_loop_begins_anew(text_task):
    recorder = PruningTrainerCallback()
    model, loader, optimizer = parts(text_task)
    model.train()
    with recorder.record(model, loader):
        one_epoch(model, loader, optimizer, [])
    text_task.trainer(callbacks=[recorder]).train()
    assert recorder.dynamics.epochs == 3
    with recorder.record(model, loader):
        one_epoch(model, loader, optimizer, [])
    assert recorder.dynamics.epochs == 1
