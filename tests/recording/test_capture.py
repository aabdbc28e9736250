import copy
import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_prune import ArgumentError
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.models import head_of
from hf_prune.recording.ids import CollateWithIds, WithIds
from hf_prune.recording.tap import Tap
from hf_prune.recording.tasks import example_signals


class Shelf:
    """A dataset that counts how it is asked."""

    def __init__(self, rows):
        self.rows, self.colour = rows, "blue"
        self.batches = 0

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class BatchShelf(Shelf):
    def __getitems__(self, indices):
        self.batches += 1
        return [self.rows[index] for index in indices]


def labelled(rows):
    return {"x": torch.tensor([row["x"] for row in rows]), "labels": torch.tensor([row["y"] for row in rows])}


class Model(nn.Module):
    """Class y of 3 gets the row's own x as its logit; `form` is the shape that the output takes."""

    def __init__(self, form=None):
        super().__init__()
        self.head = nn.Linear(1, 3)
        self.form = form

    def forward(self, x, labels=None):
        logits = self.head(x[:, None])
        return logits if self.form is None else self.form(logits)


def single_label(logits, labels):
    return example_signals("single-label", logits, labels)


ROWS = [{"x": float(row), "y": row % 3} for row in range(10)]


def loader_of(dataset, **options):
    return DataLoader(dataset, batch_size=4, collate_fn=labelled, **options)


def train_pass(loader, model):
    for batch in loader:
        model(**batch)


def signals_of(logits, labels):
    rows = single_label(torch.tensor(logits), torch.tensor(labels))
    assert rows.dtype == torch.float32
    return dict(zip(SIGNALS, rows.T.tolist(), strict=True))


def test_signals_by_hand():
    # e^ln2 = 2, so the probabilities are 2/4, 1/4, 1/4.
    signals = signals_of([[math.log(2), 0.0, 0.0]] * 2, [0, 1])
    assert signals["loss"] == pytest.approx([math.log(2), math.log(4)])
    assert signals["p_true"] == pytest.approx([1 / 2, 1 / 4])
    assert signals["margin"] == pytest.approx([math.log(2), -math.log(2)])
    assert signals["correct"] == [1, 0]
    # Errors (-1/2, 1/4, 1/4) and (1/2, -3/4, 1/4).
    assert signals["el2n"] == pytest.approx([math.sqrt(6) / 4, math.sqrt(14) / 4])


def test_signals_of_tied_logits():
    signals = signals_of([[1.0, 1.0], [1.0, 1.0]], [0, 1])
    assert signals["margin"] == [0, 0]
    assert signals["correct"] == [1, 0]


def test_signals_of_huge_logits():
    signals = signals_of([[1e4, 0.0, -1e4]] * 2, [0, 2])
    assert signals["loss"] == [0, 2e4]
    assert signals["p_true"] == [1, 0]
    assert signals["margin"] == [1e4, -2e4]
    assert signals["el2n"] == pytest.approx([0, math.sqrt(2)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_signals_of_other_floats(dtype):
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.arange(20) % 5
    signals = single_label(logits, labels)
    assert signals.dtype == torch.float32
    torch.testing.assert_close(signals, single_label(logits.float(), labels), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32])
def test_signals_of_other_integers(dtype):
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 5
    assert torch.equal(single_label(logits, labels.to(dtype)), single_label(logits, labels))


def test_signals_need_no_gradient_and_change_nothing():
    logits = torch.randn(20, 5, requires_grad=True)
    before = logits.detach().clone()
    assert not example_signals("single-label", logits, torch.arange(20) % 5).requires_grad
    assert torch.equal(logits, before)


def test_rows_know_their_positions():
    for shelf in (Shelf(list("abcd")), BatchShelf(list("abcd")), list("abcd")):
        dataset = WithIds(shelf)
        assert len(dataset) == 4
        assert dataset[2] == "c"
        rows, ids = dataset.__getitems__([3, 1, 1])
        assert rows == ["d", "b", "b"]
        assert ids == [3, 1, 1]


def test_a_dataset_that_fetches_batches_still_does():
    shelf = BatchShelf(list("abcd"))
    WithIds(shelf).__getitems__([0, 1, 2])
    assert shelf.batches == 1


def test_attributes_are_the_datasets_own():
    dataset = WithIds(Shelf([1]))
    assert dataset.colour == "blue"
    assert not hasattr(dataset, "shape")
    assert not hasattr(dataset, "__iter__")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_wrapped_dataset_and_collate_travel_to_workers(copied):
    dataset, collate = copied(WithIds(BatchShelf(ROWS))), copied(CollateWithIds(labelled, None, None))
    batch = collate(dataset.__getitems__([7, 2]))
    assert batch["x"].tolist() == [7, 2]
    assert dataset.colour == "blue"
    assert batch.keys() == {"x", "labels", collate.key}
    seen = []
    collate.receivers.append(lambda batch, ids: seen.append((batch.keys(), ids.tolist())))
    assert collate.handed_over(batch).keys() == {"x", "labels"}
    assert seen == [({"x", "labels"}, [7, 2])]


@pytest.mark.parametrize(
    ("collate", "got"),
    [
        (lambda rows: {"x": 1, "target": 2}, r"with a 'labels' entry, got \['target', 'x'\]; name the label column"),
        (lambda rows: torch.zeros(2), "that are dicts, lists or tuples, got Tensor"),
        (lambda rows: (1,), "with a 'labels' entry, got a tuple of 1; name the label column"),
    ],
)
def test_batches_without_labels(collate, got):
    loader = DataLoader(ROWS, batch_size=4, collate_fn=collate)
    Tap(loader, Model(), None, None, [].append)
    with pytest.raises(ArgumentError, match=rf"needs batches {got}"):
        next(iter(loader))


@pytest.mark.parametrize(
    "form",
    [
        None,
        lambda logits: {"logits": logits},
        lambda logits: SequenceClassifierOutput(logits=logits),
        lambda logits: SequenceClassifierOutput(loss=logits.sum(), logits=logits),
        lambda logits: (logits,),
        lambda logits: (logits.sum(), logits, (logits, logits)),
        lambda logits: [None, logits],
    ],
)
def test_logits_are_found_in_every_output(form):
    model, received = Model(form), []
    tap = Tap(loader := loader_of(ROWS), model, ("labels",), None, received.append)
    train_pass(loader, model)
    tap.close()
    assert [seen.ids.tolist() for seen in received] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert torch.cat([seen.labels for seen in received]).tolist() == [row["y"] for row in ROWS]
    logits = model.head(torch.arange(10.0)[:, None])
    wanted = single_label(logits, torch.arange(10) % 3)
    torch.testing.assert_close(torch.cat([seen.signals for seen in received]), wanted)
    assert received[0].features is None


@pytest.mark.parametrize(
    "form", [lambda logits: {"scores": logits}, lambda logits: (logits.sum(),), lambda logits: (), lambda logits: "no"]
)
def test_output_without_logits(form):
    model = Model(form)
    Tap(loader := loader_of(ROWS), model, ("labels",), None, [].append)
    with pytest.raises(ArgumentError, match="logits"):
        train_pass(loader, model)


@pytest.mark.parametrize(
    ("form", "got"),
    [
        (lambda logits: logits[:, :1], r"logits \(4, 1\)"),  # labels up to 2
        (lambda logits: logits[:, None], r"logits \(4, 1, 3\)"),
        (lambda logits: logits[:3], r"the batch's 4 rows; .* logits \(3, 3\)"),
    ],
)
def test_logits_of_another_shape(form, got):
    model = Model(form)
    Tap(loader := loader_of(ROWS), model, ("labels",), None, [].append)
    with pytest.raises(ArgumentError, match=rf"PruningTrainerCallback wants .*{got}"):
        train_pass(loader, model)


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (lambda y: y.float(), r"torch.float32 labels \(4,\)"),
        (lambda y: y[:, None, None], r"torch.int64 labels \(4, 1, 1\)"),
    ],
)
def test_labels_of_another_shape(labels, got):
    def collate(rows):
        return {
            "x": torch.tensor([row["x"] for row in rows]),
            "labels": labels(torch.tensor([row["y"] for row in rows])),
        }

    model, loader = Model(), DataLoader(ROWS, batch_size=4, collate_fn=collate)
    Tap(loader, model, ("labels",), None, [].append)
    with pytest.raises(ArgumentError, match=rf"PruningTrainerCallback wants .*{got}"):
        train_pass(loader, model)


def test_only_passes_in_training_are_received():
    model, received = Model(), []
    tap = Tap(loader := loader_of(ROWS), model, ("labels",), None, received.append)
    model.eval()
    train_pass(loader, model)
    assert received == []
    model.train()
    model(torch.zeros(4))  # a pass that the loader didn't feed
    assert received == []
    train_pass(loader, model)
    assert len(received) == 3
    tap.close()


def test_features_are_the_heads_input():
    model, received = Model(), []
    Tap(loader := loader_of(ROWS), model, ("labels",), model.head, received.append)
    train_pass(loader, model)
    features = torch.cat([seen.features for seen in received])
    assert features.tolist() == [[row["x"]] for row in ROWS]
    assert not features.requires_grad


def test_closing_leaves_everything_as_it_was():
    model, received = Model(), []
    loader = loader_of(ROWS)
    batches = [sorted(batch) for batch in loader]
    tap = Tap(loader, model, ("labels",), model.head, received.append)
    assert [sorted(batch) for batch in loader] == batches
    tap.close()
    assert loader.dataset is ROWS
    assert loader.collate_fn is labelled
    assert [sorted(batch) for batch in loader] == batches
    train_pass(loader, model)
    assert received == []
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_shuffled_rows_keep_their_ids():
    model, received = Model(), []
    loader = DataLoader(
        ROWS, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(3), collate_fn=labelled
    )
    Tap(loader, model, ("labels",), model.head, received.append)
    train_pass(loader, model)
    ids = torch.cat([seen.ids for seen in received])
    assert ids.tolist() != list(range(10))
    assert torch.cat([seen.features for seen in received])[:, 0].tolist() == ids.tolist()


def test_head_of_a_model():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 5))
    model.config = SimpleNamespace(num_labels=3)
    assert head_of(model, True) is model[1]
    assert head_of(model, "2") is model[2]
    with pytest.raises(
        ArgumentError, match=r"`features`: the model has no module '7'; its last are \['', '0', '1', '2'\]"
    ):
        head_of(model, "7")
    model.config.num_labels = 4
    with pytest.raises(ArgumentError, match="found no Linear layer with 4 outputs"):
        head_of(model, True)
    del model.config
    with pytest.raises(
        ArgumentError, match=r"PruningTrainerCallback\(features='2'\); its Linear layers are \['0', '1"
    ):
        head_of(model, True)
