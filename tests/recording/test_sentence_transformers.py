"""Trainers of sentence-transformers: their losses compare texts or tokenize themselves, which is said at once."""

import pytest
from datasets import Dataset

from hf_prune import ArgumentError, PruningTrainerCallback
from tests import tiny_encoders

pytest.importorskip("sentence_transformers")

PAIRS = {"one": tiny_encoders.TEXTS * 2, "two": tiny_encoders.TEXTS[::-1] * 2}


def arguments(cls, folder):
    return cls(
        str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=4,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )


def train(kind, folder, columns, recorder):
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
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from sentence_transformers.losses import CoSENTLoss, MultipleNegativesRankingLoss

    tiny_encoders.bert(folder / "encoder")
    if kind == "cross-encoder":
        model = CrossEncoder(str(folder / "encoder"), num_labels=1, device="cpu")
        loss, trainer, of = BinaryCrossEntropyLoss(model), CrossEncoderTrainer, CrossEncoderTrainingArguments
    else:
        model = SentenceTransformer(str(folder / "encoder"), device="cpu")
        loss = (CoSENTLoss if "label" in columns else MultipleNegativesRankingLoss)(model)
        trainer, of = SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    steps = []

    class Counting(trainer):
        def training_step(self, *args, **kwargs):
            steps.append(1)
            return super().training_step(*args, **kwargs)

    callbacks = [recorder] if recorder else []
    Counting(model, arguments(of, folder), Dataset.from_dict(columns), loss=loss, callbacks=callbacks).train()
    return steps


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "labels", "message"),
    [
        ("bi-encoder", {}, "needs batches with a 'labels' entry"),
        ("bi-encoder", {"label": [0.0, 1.0] * 5}, "needs a model that returns logits"),
        ("cross-encoder", {"label": [0.0, 1.0] * 5}, "can't tell which rows a forward pass is about"),
    ],
)
def test_they_are_refused_by_the_first_step(kind, labels, message, tmp_path):
    assert len(train(kind, tmp_path, PAIRS | labels, None)) == 3
    with pytest.raises(ArgumentError, match=message):
        train(kind, tmp_path, PAIRS | labels, PruningTrainerCallback())
