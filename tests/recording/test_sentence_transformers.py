"""Trainers of sentence-transformers: losses of a row's logits and label are recorded, all others refused by name."""

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from torch import nn

from hf_prune import ArgumentError, PruningTrainerCallback
from tests import tiny_encoders

pytest.importorskip("sentence_transformers")

from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.cross_encoder import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder import losses as of_pairs
from sentence_transformers.sentence_transformer import losses

pytestmark = pytest.mark.filterwarnings("ignore")
ROWS, EPOCHS, SPECIALS = 10, 2, 4
PAIRS = {"one": [f"word{row} word9" for row in range(ROWS)], "two": tiny_encoders.TEXTS[::-1] * 2}
CLASSES = [0, 1, 2, 1, 0, 2, 2, 1, 0, 0]
HALF = [0, 1] * 5
NUMBERS = [0.1 * row for row in range(ROWS)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    tiny_encoders.bert(folder)
    return str(folder)


class Witness:
    """The losses of each row, whose first word names it, by hooks apart from those of the library."""

    def __init__(self, model, logits, labels, criterion):
        self.labels, self.criterion, self.model = torch.as_tensor(labels), criterion, model
        self.losses, self.rows, self.passes = torch.full((EPOCHS, ROWS), torch.nan), None, 0
        self.hooks = [model.register_forward_pre_hook(self.read_rows), logits.register_forward_hook(self.read_logits)]

    def read_rows(self, module, args):
        if self.rows is None:  # a bi-encoder reads the second texts apart
            words = args[0]["input_ids"]
            self.rows = words[:, int(words[0, 0] < SPECIALS)] - SPECIALS

    def read_logits(self, module, args, output):
        rows, self.rows = self.rows, None
        if self.model.training:
            self.losses[self.passes // ROWS, rows] = self.criterion(output.detach(), self.labels[rows], "none")
            self.passes += len(output)

    def close(self):
        for hook in self.hooks:
            hook.remove()


def train(model, loss, columns, folder, *callbacks, **options):
    """The trained weights."""
    crosses = isinstance(model, CrossEncoder)
    arguments = (CrossEncoderTrainingArguments if crosses else SentenceTransformerTrainingArguments)(
        str(folder),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=4,
        learning_rate=0.01,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        **options,
    )
    trainer = CrossEncoderTrainer if crosses else SentenceTransformerTrainer
    data = columns if isinstance(columns, DatasetDict) else Dataset.from_dict(columns)
    evaluated = {"eval_dataset": data} if options.get("eval_strategy") else {}
    trainer(model, arguments, data, loss=loss, callbacks=list(callbacks), **evaluated).train()
    return torch.cat([weights.detach().flatten() for weights in loss.parameters()])


def cross_entropy(logits, labels, reduction):
    return nn.functional.cross_entropy(logits, labels, reduction=reduction)


def binary(logits, labels, reduction):
    return nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction=reduction)


def squared(logits, labels, reduction):
    return nn.functional.mse_loss(logits, labels.float(), reduction=reduction)


def binary_loss(encoder, **options):
    model = CrossEncoder(encoder, num_labels=1, device="cpu")
    return model, of_pairs.BinaryCrossEntropyLoss(model, **options)


def class_loss(encoder):
    model = CrossEncoder(encoder, num_labels=3, device="cpu")
    return model, of_pairs.CrossEntropyLoss(model)


def number_loss(encoder):
    model = CrossEncoder(encoder, num_labels=1, device="cpu")
    return model, of_pairs.MSELoss(model, activation_fn=nn.Sigmoid())


def softmax_loss(encoder):
    model = SentenceTransformer(encoder, device="cpu")
    return model, losses.SoftmaxLoss(model, model.get_embedding_dimension(), num_labels=3)


@pytest.mark.parametrize(
    ("make", "heard", "column", "labels", "criterion", "task"),
    [
        (binary_loss, "activation_fn", "label", HALF, binary, "binary"),
        (binary_loss, "activation_fn", "score", [float(half) for half in HALF], binary, "binary"),
        (class_loss, "activation_fn", "label", CLASSES, cross_entropy, "single-label"),
        (number_loss, "activation_fn", "label", NUMBERS, squared, "regression"),
        (number_loss, "activation_fn", "label", HALF, squared, "regression"),
        (softmax_loss, "classifier", "label", CLASSES, cross_entropy, "single-label"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2, "eval_strategy": "epoch"}])
def test_losses_of_logits_are_recorded(make, heard, column, labels, criterion, task, options, encoder, tmp_path):
    weights = []
    for recorder in (None, PruningTrainerCallback()):
        torch.manual_seed(0)
        model, loss = make(encoder)
        logits = getattr(loss, heard)
        witness, hooks = Witness(model, logits, labels, criterion), list(logits._forward_hooks)
        callbacks = [recorder] if recorder else []
        weights.append(train(model, loss, PAIRS | {column: labels}, tmp_path, *callbacks, **options))
        assert list(logits._forward_hooks) == hooks
        witness.close()
    assert torch.equal(*weights)
    np.testing.assert_allclose(recorder.dynamics["loss"], witness.losses, rtol=1e-5, atol=1e-6)
    assert recorder.dynamics.task == task


def test_features_of_pairs(encoder, tmp_path):
    recorder = PruningTrainerCallback(features=True)
    train(*class_loss(encoder), PAIRS | {"label": CLASSES}, tmp_path, recorder)
    assert recorder.dynamics.features["last"].shape == (ROWS, 16)


def test_weighted_losses_are_said(encoder, tmp_path, caplog):
    recorder = PruningTrainerCallback()
    train(*binary_loss(encoder, pos_weight=torch.tensor(3.0)), PAIRS | {"label": HALF}, tmp_path, recorder)
    assert "the mean of the losses recorded, cross-entropies without weights" in caplog.text


class Own(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, features, labels):
        embeddings = [self.model(part)["sentence_embedding"] for part in features]
        return (embeddings[0] - embeddings[1]).square().mean()


class Unheard(Own):
    def __init__(self, model):
        super().__init__(model)
        del self.model
        self.wrapped = model

    def forward(self, features, labels):
        return self.wrapped(features[0])["sentence_embedding"].mean()


REFUSED = {
    "MultipleNegativesRankingLoss": {},
    "CosineSimilarityLoss": {"label": NUMBERS},
    "CoSENTLoss": {"label": NUMBERS},
    "ContrastiveLoss": {"label": HALF},
}


@pytest.mark.parametrize("name", REFUSED)
def test_losses_of_embeddings_are_refused_by_name(name, encoder, tmp_path):
    model = SentenceTransformer(encoder, device="cpu")
    columns = PAIRS | REFUSED[name]
    message = f"can't record {name}, which gives a row no logits. Losses of one row's logits and label are recorded"
    with pytest.raises(ArgumentError, match=message):
        train(model, getattr(losses, name)(model), columns, tmp_path, PruningTrainerCallback())
    assert not torch.nn.modules.module._global_forward_pre_hooks


@pytest.mark.parametrize(("own", "message"), [(Own, "can't record Own"), (Unheard, "saw no loss of sentence-transf")])
def test_own_losses_are_refused(own, message, encoder, tmp_path):
    model = SentenceTransformer(encoder, device="cpu")
    with pytest.raises(ArgumentError, match=message):
        train(model, own(model), PAIRS | {"label": HALF}, tmp_path, PruningTrainerCallback())


def test_a_loss_of_lists_is_refused_by_name(encoder, tmp_path):
    model = CrossEncoder(encoder, num_labels=1, device="cpu")
    columns = {"query": tiny_encoders.TEXTS, "docs": [["word1", "word2"]] * 5, "labels": [[1, 0]] * 5}
    with pytest.raises(ArgumentError, match="can't record LambdaLoss"):
        train(model, of_pairs.LambdaLoss(model), columns, tmp_path, PruningTrainerCallback())


def test_what_is_refused_at_the_start(encoder, tmp_path):
    model, loss = class_loss(encoder)
    columns = PAIRS | {"label": CLASSES}
    with pytest.raises(ArgumentError, match="`clean_eval`: a model of sentence-transformers returns no loss"):
        train(model, loss, columns, tmp_path, PruningTrainerCallback(clean_eval=True))
    several = DatasetDict({name: Dataset.from_dict(columns) for name in "ab"})
    with pytest.raises(ArgumentError, match="wants one train_dataset, got several in a DatasetDict"):
        train(model, loss, several, tmp_path, PruningTrainerCallback())
