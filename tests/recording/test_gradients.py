"""A run whose loss isn't made of the logits that are recorded is refused after a step, and no other run is."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from hf_prune import ArgumentError, PruningTrainerCallback

ROWS = [{"x": torch.tensor([row / 8, 1.0]), "labels": row % 3} for row in range(8)]
WEIGHT = torch.tensor([1.0, 2.0, 5.0])


class Model(nn.Module):
    """Returns hidden states beside logits; `give` makes the entries of its output from labels and logits."""

    def __init__(self, give):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.give = nn.Linear(2, 4), nn.Linear(4, 3), give

    def forward(self, x, labels=None):
        hidden = self.body(x)
        return {"hidden": hidden, **self.give(self.head(hidden), labels)}


def plain(logits, labels):
    return {"logits": logits, "loss": cross_entropy(logits, labels)}


def part_of_more(logits, labels):
    """The logits are a view of a tensor of which the loss is made."""
    return {"logits": logits[:, :], "loss": cross_entropy(logits, labels, weight=WEIGHT)}


def copies(logits, labels):
    return {"logits": logits.clone(), "loss": cross_entropy(logits, labels)}


def weighted_copies(logits, labels):
    return {"logits": logits.clone(), "loss": cross_entropy(logits, labels, weight=WEIGHT)}


class Both(torch.autograd.Function):
    """One function that returns logits and loss, as a compiled one does."""

    @staticmethod
    def forward(ctx, logits, labels):
        ctx.save_for_backward(logits)
        return logits.clone(), cross_entropy(logits, labels, weight=WEIGHT)

    @staticmethod
    def backward(ctx, of_logits, of_loss):
        return of_loss * ctx.saved_tensors[0].sign(), None


def one_function(logits, labels):
    return dict(zip(("logits", "loss"), Both.apply(logits, labels), strict=True))


def reported(output):
    return output["loss"]


def weighted(output):
    return 3 * output["loss"]


def of_logits(output):
    return output["logits"].square().sum()


def of_hidden(output):
    return output["hidden"].square().sum()


def loop(model, loss_of, epochs=1, before=None):
    """Returns the recorder and the number of steps."""
    recorder, loader, steps = PruningTrainerCallback(), DataLoader(ROWS, batch_size=4), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(epochs):
        with recorder.record(model, loader):
            for batch in loader:
                if before is not None:
                    before(model, batch)
                loss_of(model(**batch)).backward()
                steps.append(1)
                optimizer.step()
                optimizer.zero_grad()
    return recorder, steps


@pytest.mark.parametrize(
    ("give", "loss_of"),
    [
        (plain, reported),
        (plain, weighted),
        (plain, of_logits),
        (part_of_more, reported),
        (copies, weighted),
        (one_function, reported),
    ],
)
def test_losses_of_the_logits(give, loss_of):
    recorder, _ = loop(Model(give), loss_of, epochs=2)
    with torch.no_grad():
        first = Model(give)(**next(iter(DataLoader(ROWS, batch_size=4))))["logits"]
    expected = cross_entropy(first, torch.tensor([0, 1, 2, 0]), reduction="none")
    np.testing.assert_allclose(recorder.dynamics["loss"][0, :4], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("give", "loss_of"), [(plain, of_hidden), (one_function, of_hidden), (weighted_copies, reported)]
)
def test_losses_of_something_else(give, loss_of):
    model = Model(give)
    weights = model.head.weight.detach().clone()
    with pytest.raises(ArgumentError, match="the gradient of the loss that is trained doesn't reach the logits"):
        loop(model, loss_of)
    other = Model(give)  # trained for one step, which is where the run ended
    batch = next(iter(DataLoader(ROWS, batch_size=4)))
    loss_of(other(**batch)).backward()
    torch.optim.SGD(other.parameters(), 0.1).step()
    assert torch.equal(model.body.weight, other.body.weight)
    assert torch.equal(weights, model.head.weight) == (loss_of is of_hidden)


def test_passes_without_gradients_are_not_those_of_training():
    def asks_itself(model, batch):
        with torch.no_grad():
            model(x=batch["x"] + 1 - 1, labels=batch["labels"])

    model, asked = Model(plain), Model(plain)
    seen = []
    model.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    with_teacher, _ = loop(model, reported, before=asks_itself)
    without, _ = loop(asked, reported)
    assert seen == [False, True] * 2
    np.testing.assert_array_equal(with_teacher.dynamics["loss"], without.dynamics["loss"])

    def another(model, batch):
        with torch.no_grad():
            model(x=2 * batch["x"], labels=batch["labels"])

    augmented, _ = loop(Model(plain), reported, before=another)
    np.testing.assert_array_equal(augmented.dynamics["loss"], without.dynamics["loss"])


class OfHidden(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return of_hidden(model(**inputs))


class Weighted(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return weighted(model(**inputs))


@pytest.mark.parametrize("options", [{}, {"clean_eval": True}])
@pytest.mark.parametrize("kind", [OfHidden, Weighted])
def test_under_the_trainer(kind, options, tmp_path):
    arguments = TrainingArguments(
        str(tmp_path), num_train_epochs=1, report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True,
        per_device_train_batch_size=4, remove_unused_columns=False, dataloader_pin_memory=False,
    )  # fmt: skip
    recorder = PruningTrainerCallback(**options)
    trainer = kind(Model(plain), arguments, train_dataset=ROWS, callbacks=[recorder])
    if kind is Weighted:
        trainer.train()
        assert np.isfinite(recorder.dynamics["loss"]).all()
        return
    with pytest.raises(ArgumentError, match="doesn't reach the logits"):
        trainer.train()
    assert trainer.state.global_step == 1
