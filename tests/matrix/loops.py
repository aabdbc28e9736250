"""Cells of loops without transformers' Trainer: a plain one, accelerate's and Lightning's."""

from functools import partial

import torch
from torch.utils.data import DataLoader

import hf_prune
from tests.matrix import data, losses, models, trainers
from tests.matrix.cells import EPOCHS, Cell, Run, Witness, weights_of


def parts(make, rows, loss, collate):
    model, dataset = make(), rows()
    if "label" in dataset.column_names:
        dataset = dataset.rename_column("label", "labels")
    witness = Witness(model, data.rows_of, partial(trainers.of_batch, loss, dataset))
    return model, DataLoader(dataset, 4, shuffle=True, collate_fn=collate(model)), witness


def loop(make, rows, loss, recorders, folder, *, collate, prepare=lambda *parts: parts, call=None):
    """Train as a loop does that knows nothing of recorders, but for the one line around its epochs."""
    model, loader, witness = parts(make, rows, loss, collate)
    model.train()
    made, batches, optimizer = prepare(model, loader, torch.optim.SGD(model.parameters(), 0.1))

    def epoch():
        for batch in batches:
            output = call(made, batch) if call else made(**batch)
            output["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()

    for _ in range(EPOCHS):
        if recorders:
            with recorders[0].record(made, batches):
                epoch()
        else:
            epoch()
    return Run(weights_of(model), witness.losses)


def fit(make, rows, loss, recorders, folder, *, collate, call=None, **options):
    """Train by Lightning."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def training_step(self, batch, index):
            return (call(self.model, batch) if call else self.model(**batch))["loss"]

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    model, loader, witness = parts(make, rows, loss, collate)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices=1, callbacks=recorders, **quiet, **options
    ).fit(Module(model.train()), loader)  # fmt: skip
    return Run(weights_of(model), witness.losses)


def accelerated(model, loader, optimizer):
    from accelerate import Accelerator

    return Accelerator(cpu=True).prepare(model, loader, optimizer)


def part(model, batch):
    hidden = model.bert(batch["input_ids"], batch["attention_mask"])["pooler_output"]
    return {"loss": torch.nn.functional.cross_entropy(model.classifier(hidden), batch["labels"])}


def padding(model):
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(models.tokenizer())


def stacking(model):
    def stack(rows):
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    return stack


KINDS = [
    ("BERT", "classification", trainers.three, data.with_classes, losses.classes, padding),
    ("BERT", "tokens", partial(models.bert, "TokenClassification", num_labels=3), data.with_tags, losses.tokens,
     trainers.tagging),
    ("BERT", "answers", trainers.answering, data.with_answers, losses.answers, trainers.default),
    ("GPT-2", "language model", models.gpt2, data.blocks, losses.next_tokens, trainers.default),
    ("T5", "translation", models.t5, data.translations, losses.tokens, trainers.translating),
    ("Llava", "images and texts", models.llava, data.chats, losses.next_tokens, trainers.default),
    ("ViT", "classification", models.vit, lambda: data.with_images(label=data.classes()), losses.classes, stacking),
    ("Wav2Vec2", "classification", partial(models.wav2vec2, "SequenceClassification"),
     lambda: data.sounds(label=data.classes()), losses.classes, trainers.default),
]  # fmt: skip
LOOPS = {
    "a plain loop": partial(loop),
    "accelerate": partial(loop, prepare=accelerated),
    "Lightning's Trainer": partial(fit),
}


def cells_of(trainer, train):
    lightning = train.func is fit
    needs = "lightning" if lightning else None

    def recorder():
        return hf_prune.LightningPruningCallback() if lightning else hf_prune.PruningTrainerCallback()

    for model, setting, make, rows, loss, collate in KINDS:
        yield Cell(trainer, model, setting, partial(train, make, rows, loss, collate=collate), recorder, needs)
    model, _, make, rows, _, collate = KINDS[0]
    run = partial(train, make, rows, losses.none, collate=collate, call=part)
    yield Cell(trainer, model, "a part of the model is called", run, recorder, needs)
    if lightning:
        model, _, make, rows, loss, collate = KINDS[0]
        run = partial(train, make, rows, loss, collate=collate, accumulate_grad_batches=2)
        yield Cell(trainer, model, "gradient accumulation", run, recorder, needs)


CELLS = [cell for trainer, train in LOOPS.items() for cell in cells_of(trainer, train)]
