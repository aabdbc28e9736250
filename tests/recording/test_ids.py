"""Ids reach the recorder without being inputs of anybody's model, and rows other than the fetched ones are refused."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, default_data_collator

from hf_prune import ArgumentError, PruningTrainerCallback, TrainingDynamics
from hf_prune.recording import tap
from tests.recording.runs import ROWS, assert_exact, own_loss, run

WORDS, TOKENS = 50, 6
BERT = {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
BERT |= {"intermediate_size": 16, "max_position_embeddings": 16, "num_labels": 3}


def bert():
    return BertForSequenceClassification(BertConfig(**BERT))


def columns():
    draw = np.random.default_rng(0)
    return {"input_ids": draw.integers(2, WORDS, (ROWS, TOKENS)), "labels": draw.integers(0, 3, ROWS)}


LABELS = torch.tensor(columns()["labels"])


def of_rows(kwargs, output):
    """Losses of a pass whose rows are found by their tokens."""
    tokens = torch.tensor(columns()["input_ids"])
    rows = [int((tokens == row).all(dim=1).nonzero()[0]) for row in kwargs["input_ids"][:, :TOKENS]]
    return own_loss(output["logits"].detach(), LABELS[rows])


class PlainTeacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, 3)

    def forward(self, input_ids, labels):
        return self.words(input_ids).mean(dim=1)


class Distilling(Trainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        torch.manual_seed(3)
        self.teacher = PlainTeacher()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        assert sorted(inputs) == ["input_ids", "labels"]
        with torch.no_grad():
            taught = self.teacher(**inputs)
        logits = model(**inputs)["logits"]
        return nn.functional.kl_div(logits.log_softmax(1), taught.softmax(1), reduction="batchmean")


class ByName(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        logits = model(input_ids=inputs["input_ids"])["logits"]
        return nn.functional.cross_entropy(logits, inputs["labels"])


class View(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        logits = model(input_ids=inputs["input_ids"][:, :-1])["logits"]
        return nn.functional.cross_entropy(logits, inputs["labels"])


class Copied(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        logits = model(input_ids=inputs["input_ids"].clone())["logits"]
        return nn.functional.cross_entropy(logits, inputs["labels"])


class TwoPasses(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        first, second = (model(**inputs)["logits"] for _ in range(2))
        return nn.functional.cross_entropy(first + second, inputs["labels"])


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("trainer", [Distilling, ByName, Copied])
def test_losses_of_ones_own(trainer, accumulation, tmp_path):
    assert_exact(bert, columns(), tmp_path, of_rows, trainer=trainer, gradient_accumulation_steps=accumulation)


def test_a_view_of_the_inputs(tmp_path):
    def losses(kwargs, output):
        tokens = torch.tensor(columns()["input_ids"])[:, :-1]
        rows = [int((tokens == row).all(dim=1).nonzero()[0]) for row in kwargs["input_ids"]]
        return own_loss(output["logits"].detach(), LABELS[rows])

    assert_exact(bert, columns(), tmp_path, losses, trainer=View)


def test_of_two_passes_over_a_batch_the_first_counts(tmp_path):
    count = iter(range(99))
    recorder = PruningTrainerCallback()

    def losses(kwargs, output):
        return of_rows(kwargs, output) if next(count) % 2 == 0 else np.empty(0)

    recorded = run(bert(), columns(), tmp_path, losses, recorder, trainer=TwoPasses)
    np.testing.assert_allclose(recorder.dynamics["loss"], recorded.losses, rtol=1e-5)


@pytest.mark.parametrize("trainer", [Distilling, ByName])
def test_a_run_that_goes_on_within_an_epoch(trainer, tmp_path):
    options = {"trainer": trainer, "save_strategy": "steps", "save_steps": 2, "num_train_epochs": 2}
    whole, rest = PruningTrainerCallback(), PruningTrainerCallback()
    run(bert(), columns(), tmp_path, of_rows, whole, **options)
    first = run(bert(), columns(), tmp_path / "second", of_rows, **options).trainer
    model = bert()
    first.model.load_state_dict(model.state_dict())
    trainer = trainer(
        model, first.args, train_dataset=first.train_dataset, callbacks=[rest], data_collator=default_data_collator
    )
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    np.testing.assert_array_equal(np.isnan(rest.dynamics["loss"]).sum(axis=1), [8, 0])


class PartOnly(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        return nn.functional.cross_entropy(model.classifier(model.bert(**inputs).pooler_output), labels)


class Shuffling(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        order = torch.arange(len(inputs["labels"])).flip(0)
        logits = model(input_ids=inputs["input_ids"][order])["logits"]
        return nn.functional.cross_entropy(logits, inputs["labels"][order])


class NoLogits(BertForSequenceClassification):
    def forward(self, input_ids, labels):
        return {"loss": super().forward(input_ids=input_ids, labels=labels).loss}


@pytest.mark.parametrize(
    ("make", "trainer", "message"),
    [
        (
            bert,
            PartOnly,
            r"saw no forward pass of the model .*: call the whole model, not a part of it as model\.bert",
        ),
        (bert, Shuffling, "can't tell which rows a forward pass is about"),
        (lambda: NoLogits(BertConfig(**BERT)), Trainer, r"returns logits, .* got the entries \['loss'\]"),
    ],
)
def test_what_cannot_be_recorded_is_refused_after_the_first_step(make, trainer, message, tmp_path):
    steps = []

    class Counting(trainer):
        def training_step(self, *args, **kwargs):
            steps.append(1)
            return super().training_step(*args, **kwargs)

    with pytest.raises(ArgumentError, match=message):
        run(make(), columns(), tmp_path, lambda *_: np.empty(0), PruningTrainerCallback(), trainer=Counting)
    assert len(steps) == 1


class LateShuffling(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        compute = Shuffling if self.state.global_step == 2 else ByName
        return compute.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)


def test_a_run_that_has_begun_goes_on(tmp_path, caplog):
    recorder = PruningTrainerCallback()
    run(bert(), columns(), tmp_path, lambda *_: np.empty(0), recorder, trainer=LateShuffling)
    assert np.isnan(recorder.dynamics["loss"]).sum(axis=1).tolist() == [4, 0]
    assert "rows have no values in epoch 0: PruningTrainerCallback was given a forward pass with other" in caplog.text


def by_length(rows):
    return default_data_collator(sorted(rows, key=lambda row: row["input_ids"][0]))


def merged(rows):
    batch = default_data_collator(rows)
    return {"input_ids": batch["input_ids"].reshape(1, -1), "labels": batch["labels"][:1]}


def replaced(rows):
    return default_data_collator([rows[0], rows[0], *rows[2:]])


def masked(rows):
    batch = default_data_collator(rows)
    batch["input_ids"][:, 1:3] = 1
    return batch


@pytest.mark.parametrize(
    ("collate", "message"),
    [
        (by_length, "gets the rows of a batch in another order, or other rows, from the collate function"),
        (replaced, "gets the rows of a batch in another order, or other rows, from the collate function"),
        (merged, "makes one long row"),
        (lambda rows: default_data_collator(rows[1:]), "another number of rows from the collate function"),
        (lambda rows: default_data_collator([*rows, rows[0]]), "another number of rows from the collate function"),
    ],
)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")
@pytest.mark.filterwarnings("ignore:.*use of fork.. may lead to deadlocks:DeprecationWarning")
def test_collate_functions_that_give_rows_the_places_of_others(collate, message, workers, tmp_path):
    options = {"collate": collate, "dataloader_num_workers": workers}
    with pytest.raises(ArgumentError, match=message):
        run(bert(), columns(), tmp_path, of_rows, PruningTrainerCallback(), **options)


def test_collate_functions_that_mask(tmp_path):
    recorder = PruningTrainerCallback()
    logits = run(bert(), columns(), tmp_path, lambda *_: np.empty(0), recorder, collate=masked)
    assert recorder.dynamics.coverage == 1
    assert logits.losses.size == 0


def test_an_order_that_cannot_be_seen_is_said(tmp_path, caplog):
    def collate(rows):
        made = default_data_collator(rows)
        return {"input_ids": made["input_ids"] // 2, "labels": made["input_ids"][:, 0] % 3}

    dataset = Dataset.from_dict({"text": [str(row) for row in range(ROWS)], "input_ids": columns()["input_ids"]})

    def from_texts(rows):
        return collate([{"input_ids": dataset[int(row["text"])]["input_ids"]} for row in rows])

    options = {"collate": from_texts, "remove_unused_columns": False}
    run(
        bert(),
        dataset.remove_columns("input_ids"),
        tmp_path,
        lambda *_: np.empty(0),
        PruningTrainerCallback(),
        **options,
    )
    assert caplog.text.count("rows and batches have no column in common") == 1


def test_batches_that_a_loop_leaves_out_are_said(caplog):
    inputs, labels = torch.randn(ROWS, 4), torch.arange(ROWS) % 3
    model, recorder = nn.Linear(4, 3), PruningTrainerCallback()
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=4)
    with recorder.record(model, loader):
        for number, (x, _) in enumerate(loader):
            if number != 1:
                model(x)
    assert np.isnan(recorder.dynamics["loss"][0]).tolist() == [4 <= row < 8 for row in range(ROWS)]
    assert "a batch is not recorded, its rows have no values in this epoch" in caplog.text


def loop(loader, model, recorder, take):
    model.train()
    with recorder.record(model, loader):
        for batch in loader:
            take(batch)


def test_tuples_and_named_arguments():
    inputs, labels = torch.randn(ROWS, 4), torch.arange(ROWS) % 3
    model, recorder = nn.Linear(4, 3), PruningTrainerCallback()
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=4, shuffle=True)

    def take(batch):
        x, y = batch
        assert len(batch) == 2
        nn.functional.cross_entropy(model(input=x), y).backward()

    loop(loader, model, recorder, take)
    expected = TrainingDynamics.from_logits(model(inputs).detach().numpy()[None], labels.numpy())
    np.testing.assert_allclose(recorder.dynamics["loss"], expected["loss"], rtol=1e-5)
    assert type(loader) is DataLoader


@pytest.mark.parametrize("copied", [lambda tensor: tensor.clone(), lambda tensor: tensor.double().float()])
def test_a_loop_that_moves_its_batches(copied):
    inputs, labels = torch.randn(ROWS, 4), torch.arange(ROWS) % 3
    model, recorder = nn.Linear(4, 3), PruningTrainerCallback()
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=4, shuffle=True)
    loop(loader, model, recorder, lambda batch: model(copied(batch[0])))
    expected = TrainingDynamics.from_logits(model(inputs).detach().numpy()[None], labels.numpy())
    np.testing.assert_allclose(recorder.dynamics["loss"], expected["loss"], rtol=1e-5)


def test_batches_that_are_fetched_as_one_item():
    dataset = Dataset.from_dict(columns()).with_format("torch")
    model, recorder = bert(), PruningTrainerCallback()
    sampler = BatchSampler(RandomSampler(range(ROWS)), batch_size=4, drop_last=False)
    loader, seen = DataLoader(dataset, sampler=sampler, batch_size=None), {}

    def take(batch):
        logits = model(**batch)["logits"].detach()
        tokens = torch.tensor(columns()["input_ids"])
        for row, of_row in zip(batch["input_ids"], logits, strict=True):
            seen[int((tokens == row).all(dim=1).nonzero()[0])] = of_row

    loop(loader, model, recorder, take)
    logits = torch.stack([seen[row] for row in range(ROWS)])
    np.testing.assert_allclose(recorder.dynamics["loss"][0], own_loss(logits, LABELS), rtol=1e-5)


def test_batches_that_are_taken_before_they_are_passed(monkeypatch):
    inputs, labels = torch.randn(ROWS, 4), torch.arange(ROWS) % 3
    model, recorder = nn.Linear(4, 3), PruningTrainerCallback()
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=4, shuffle=True)
    monkeypatch.setattr(tap, "HELD", 1)
    with recorder.record(model, loader):
        for x, _ in reversed(list(loader)):
            model(x)
    expected = TrainingDynamics.from_logits(model(inputs).detach().numpy()[None], labels.numpy())
    np.testing.assert_allclose(recorder.dynamics["loss"], expected["loss"], rtol=1e-5)


def test_an_iterator_from_before():
    inputs, labels = torch.randn(ROWS, 4), torch.arange(ROWS) % 3
    model, recorder = nn.Linear(4, 3), PruningTrainerCallback()
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=4)
    batches, passes = iter(loader), []

    def epoch():
        for x, _ in batches:
            passes.append(1)
            model(x)

    message = r"begin to record before the loop calls iter\(loader\)"
    with pytest.raises(ArgumentError, match=message), recorder.record(model, loader):
        epoch()
    assert len(passes) == 2


@pytest.mark.parametrize(
    ("model", "loader", "message"),
    [
        (lambda x: x, DataLoader([1]), "`model`: wanted the torch module that is trained, got function"),
        (nn.Linear(1, 1), [1, 2], "`dataloader`: wanted a torch DataLoader, .* got list"),
        (
            nn.Linear(1, 1),
            DataLoader([1], num_workers=1, persistent_workers=True),
            "`dataloader`: its workers outlive an epoch",
        ),
    ],
)
def test_what_is_no_loop(model, loader, message):
    with pytest.raises(ArgumentError, match=message):
        PruningTrainerCallback().record(model, loader).__enter__()
