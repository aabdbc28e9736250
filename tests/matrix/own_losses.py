"""Cells of losses that are not the plain one: weighted, with further terms, of several passes, and of other things."""

from functools import partial

import torch
import transformers as hf
from torch.nn import functional

from tests.matrix import data, losses, models
from tests.matrix.trainers import cell, clm, default, three

WEIGHTS = torch.tensor([1.0, 2.0, 5.0])


class ClassWeights(hf.Trainer):
    """As transformers' documentation of the Trainer has it."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = functional.cross_entropy(outputs.get("logits"), labels, weight=WEIGHTS)
        return (loss, outputs) if return_outputs else loss


class TwoPasses(hf.Trainer):
    """R-Drop: the two passes of a batch differ by their dropout, and are trained to agree."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        one, two = model(**inputs), model(**inputs)
        of_each = [output["logits"].log_softmax(1) for output in (one, two)]
        apart = functional.kl_div(*of_each, reduction="batchmean", log_target=True)
        return one["loss"] + two["loss"] + apart


class Distilling(hf.Trainer):
    """Learns from a model of its kind, and from labels."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.teacher = three()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        with torch.no_grad():
            taught = (self.teacher or model)(**inputs)["logits"]
        output = model(**inputs)
        towards = functional.kl_div(output["logits"].log_softmax(1), taught.softmax(1), reduction="batchmean")
        return output["loss"] + towards


class OwnTeacher(Distilling):
    """Its teacher is the model itself, which is asked first."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.teacher = None


class Contrastive(hf.Trainer):
    """Pulls rows of one class together; `share` of the loss is the cross entropy."""

    share = 0.0

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        output, labels = model(**inputs, output_hidden_states=True), inputs["labels"]
        vectors = functional.normalize(output["hidden_states"][-1][:, 0], dim=1)
        others = ~torch.eye(len(labels), dtype=torch.bool)
        alike = (labels[:, None] == labels) & others
        log_p = (vectors @ vectors.T).masked_fill(~others, -1e9).log_softmax(1)
        apart = -(log_p * alike).sum() / alike.sum().clamp(min=1)
        return apart + self.share * output["loss"] if self.share else apart


class Both(Contrastive):
    share = 1.0


class Copying(hf.BertForSequenceClassification):
    """Returns a copy of the logits of its loss."""

    weight = None

    def forward(self, input_ids, attention_mask, token_type_ids=None, labels=None):
        logits = super().forward(input_ids, attention_mask)["logits"]
        return {"loss": functional.cross_entropy(logits, labels, weight=self.weight), "logits": logits.detach()}


class CopyingWeighted(Copying):
    weight = WEIGHTS


def copying(kind):
    return kind(hf.BertConfig(**models.BERT, num_labels=3))


def focal(outputs, labels, num_items_in_batch=None):
    each = functional.cross_entropy(outputs["logits"], labels, reduction="none")
    return ((1 - (-each).exp()) ** 2 * each).mean()


def later_tokens_more(outputs, labels, num_items_in_batch=None):
    logits, labels = outputs["logits"][:, :-1], labels[:, 1:]
    each = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    return (each * torch.arange(1, each.shape[1] + 1)).mean()


def experts():
    sizes = {"num_local_experts": 2, "output_router_logits": True, "router_aux_loss_coef": 0.5}
    return hf.MixtralForCausalLM(hf.MixtralConfig(**models.LLAMA, **sizes))


bert = partial(cell, "BERT", make=three, rows=data.with_classes, loss=losses.classes)
CELLS = [
    bert(setting="class weights, in compute_loss", trainer=ClassWeights),
    bert(setting="focal loss", compute=focal),
    bert(setting="R-Drop, two passes a batch", trainer=TwoPasses),
    bert(setting="distillation from a teacher", trainer=Distilling),
    bert(setting="distillation from itself", trainer=OwnTeacher),
    bert(setting="cross entropy and a contrastive loss", trainer=Both),
    bert(setting="a contrastive loss alone", trainer=Contrastive),
    bert(setting="a model that returns a copy of its logits", make=partial(copying, Copying)),
    bert(setting="a model that returns a copy of its logits, class weights", make=partial(copying, CopyingWeighted)),
    clm("GPT-2", "language model, weights of tokens", models.gpt2, compute=later_tokens_more),
    clm("Mixtral", "language model, a loss of its router", experts, rows=data.blocks, collate=default),
]
