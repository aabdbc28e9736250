"""Cells of sentence-transformers' trainers and of SetFit: losses of logits are recorded, others refused."""

from functools import partial
from pathlib import Path

import torch
from datasets import Dataset
from torch.nn import functional

from hf_prune import PruningTrainerCallback
from tests import tiny_encoders
from tests.matrix import data
from tests.matrix.cells import EPOCHS, ROWS, Cell, Run, Witness, weights_of

SPECIALS = 4
"""Words of the tokenizer before the one that names row 0."""

PAIRS = {
    "one": [f"word{row} word20" for row in range(ROWS)],
    "two": [" ".join(f"word{30 + place}" for place in range(1 + row % 4)) for row in range(ROWS)],
}
HALF = [row % 2 for row in range(ROWS)]
NUMBERS = [row / ROWS for row in range(ROWS)]


class PairWitness(Witness):
    """Of a model that a loss calls; the rows are those of its first pass since the logits before."""

    def __init__(self, model, logits, labels, criterion):
        self.rows = None
        super().__init__(logits, self._take, lambda given, output, rows: criterion(output, labels[rows]))
        self._hooks = [self.hook, model.register_forward_pre_hook(self._read)]
        self.model = model

    def _read(self, module, args):
        if self.rows is None:
            words = args[0]["input_ids"]
            self.rows = words[:, int(words[0, 0] < SPECIALS)] - SPECIALS

    def _take(self, given):
        rows, self.rows = self.rows, None
        return rows

    def close(self):
        for hook in self._hooks:
            hook.remove()


def encoder(folder):
    if not Path(folder, "encoder").exists():
        tiny_encoders.bert(Path(folder, "encoder"))
    torch.manual_seed(0)  # also where the encoder was there
    return str(Path(folder, "encoder"))


def train(kind, loss_name, columns, criterion, recorders, folder, *, of_model=None, of_loss=None):
    import sentence_transformers as library
    from sentence_transformers import cross_encoder as crosses
    from sentence_transformers.sentence_transformer import losses

    if kind == "CrossEncoder":
        model = crosses.CrossEncoder(encoder(folder), device="cpu", **(of_model or {}))
        trainer, arguments = crosses.CrossEncoderTrainer, crosses.CrossEncoderTrainingArguments
        losses = crosses.losses
    else:
        model = library.SentenceTransformer(encoder(folder), device="cpu")
        trainer, arguments = library.SentenceTransformerTrainer, library.SentenceTransformerTrainingArguments
    bare = type("Bare", (trainer,), {"add_model_card_callback": lambda self, arguments: None})  # which takes long
    loss = getattr(losses, loss_name)(model, **(of_loss or {}))
    logits = getattr(loss, "classifier", None) or getattr(loss, "activation_fn", None)
    witness = None
    if criterion is not None:
        labels = torch.tensor(columns.get("label", columns.get("score")))
        witness = PairWitness(model, logits, labels, criterion)
    made = arguments(
        str(folder), num_train_epochs=EPOCHS, per_device_train_batch_size=4, learning_rate=0.01, save_strategy="no",
        logging_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
    )  # fmt: skip
    try:
        bare(model, made, Dataset.from_dict(columns), loss=loss, callbacks=recorders).train()
    finally:
        if witness is not None:
            witness.close()  # the libraries' losses share one Identity
    return Run(weights_of(loss), None if witness is None else witness.losses)


def set_fit(recorders, folder, *, differentiable=False):
    import setfit
    from sentence_transformers import SentenceTransformer

    body = SentenceTransformer(encoder(folder), device="cpu")
    if differentiable:
        head = setfit.SetFitHead(in_features=body.get_embedding_dimension(), out_features=2, device="cpu")
    else:
        from sklearn.linear_model import LogisticRegression

        head = LogisticRegression()
    model = setfit.SetFitModel(body, head)
    arguments = setfit.TrainingArguments(
        output_dir=str(folder), num_epochs=1, batch_size=4, max_steps=2, report_to="none", save_strategy="no"
    )
    rows = Dataset.from_dict({"text": PAIRS["one"], "label": HALF})
    setfit.Trainer(model, arguments, rows, callbacks=recorders).train()
    return Run(weights_of(body), None)


def entropy(logits, labels):
    return functional.cross_entropy(logits, labels, reduction="none")


def binary(logits, labels):
    return functional.binary_cross_entropy_with_logits(logits.reshape(-1), labels.float(), reduction="none")


def squared(logits, labels):
    return (logits.reshape(-1) - labels.float()).square()


CLASSES = {"label": data.classes().tolist()}
KINDS = [
    ("CrossEncoder", "BinaryCrossEntropyLoss", {"label": HALF}, binary, {"of_model": {"num_labels": 1}}),
    ("CrossEncoder", "CrossEntropyLoss", CLASSES, entropy, {"of_model": {"num_labels": 3}}),
    ("CrossEncoder", "MSELoss", {"score": NUMBERS}, squared, {"of_model": {"num_labels": 1}}),
    ("CrossEncoder", "MultipleNegativesRankingLoss", {}, None, {"of_model": {"num_labels": 1}}),
    ("CrossEncoder", "MarginMSELoss", {"three": PAIRS["two"][::-1], "label": NUMBERS}, None,
     {"of_model": {"num_labels": 1}}),
    ("SentenceTransformer", "SoftmaxLoss", CLASSES, entropy,
     {"of_loss": {"embedding_dimension": 16, "num_labels": 3}}),
    ("SentenceTransformer", "CosineSimilarityLoss", {"label": NUMBERS}, None, {}),
    ("SentenceTransformer", "CoSENTLoss", {"label": NUMBERS}, None, {}),
    ("SentenceTransformer", "ContrastiveLoss", {"label": HALF}, None, {}),
    ("SentenceTransformer", "MultipleNegativesRankingLoss", {}, None, {}),
    ("SentenceTransformer", "TripletLoss", {"three": PAIRS["two"][::-1]}, None, {}),
]  # fmt: skip
CELLS = [
    *(
        Cell(f"sentence-transformers' {kind}Trainer", "BERT", loss,
             partial(train, kind, loss, PAIRS | columns, criterion, **options), PruningTrainerCallback,
             "sentence_transformers")
        for kind, loss, columns, criterion, options in KINDS
    ),
    Cell("SetFit's Trainer", "BERT", "a head of scikit-learn", set_fit, PruningTrainerCallback, "setfit"),
    Cell("SetFit's Trainer", "BERT", "a head of torch", partial(set_fit, differentiable=True), PruningTrainerCallback,
         "setfit"),
]  # fmt: skip
