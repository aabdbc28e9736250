"""The (batch,) losses of each task, computed from logits and labels apart from the library."""

import torch
from torch.nn import functional

IGNORED = -100


def _tokens(logits, labels):
    each = functional.cross_entropy(logits.double().transpose(1, 2), labels, reduction="none", ignore_index=IGNORED)
    return each.sum(1) / (labels != IGNORED).sum(1)


def classes(output, labels):
    return functional.cross_entropy(output["logits"].double(), labels.reshape(-1).long(), reduction="none")


def soft(output, labels):
    return -(labels.double() * output["logits"].double().log_softmax(1)).sum(1)


def binary(output, labels):
    logits = output["logits"].double().reshape(-1)
    return functional.binary_cross_entropy_with_logits(logits, labels.double().reshape(-1), reduction="none")


def several(output, labels):
    each = functional.binary_cross_entropy_with_logits(output["logits"].double(), labels.double(), reduction="none")
    return each.mean(1)


def number(output, labels):
    return (output["logits"].double().reshape(-1) - labels.double().reshape(-1)).square()


def tokens(output, labels):
    return _tokens(output["logits"][:, : labels.shape[1]], labels)


def next_tokens(output, labels):
    logits = output["logits"]
    before = logits.shape[1] - labels.shape[1]  # of a prompt or an image that the model itself puts in front
    labels = functional.pad(labels, (before, 0), value=IGNORED)
    return _tokens(logits[:, :-1], labels[:, 1:])


def answers(output, labels):
    starts, ends = labels
    of = [
        functional.cross_entropy(output[name].double(), each.long(), reduction="none")
        for name, each in (("start_logits", starts), ("end_logits", ends))
    ]
    return torch.stack(of).mean(0)


def none(output, labels):
    """Of what can't be recorded."""
    raise NotImplementedError
