"""What a batch's logits say of each of its rows, by the kind of task that the model is trained for."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import nn

from hf_prune.dynamics.formulas import Number, OneLabel, SeveralLabels, signals_of, values_of
from hf_prune.dynamics.rows import UNLABELLED, UNSEEN
from hf_prune.errors import ArgumentError

IGNORED = -100
"""The label of a token that the loss leaves out."""

CHUNK = 2**22
"""Logits of tokens that are looked at together: 16 MB for each copy that is made, whatever the vocabulary."""


def one_label(logits: torch.Tensor, labels: torch.Tensor) -> OneLabel:
    """Make what the formulas read from (n, classes) logits and (n,) labels; dynamics.logits is the same in numpy."""
    logits, true = logits.float(), labels.long().clamp(min=0, max=logits.shape[1] - 1).unsqueeze(1)
    log_p = logits.log_softmax(dim=1)
    return OneLabel(
        log_p=log_p,
        log_p_true=log_p.gather(1, true).squeeze(1),
        true=logits.gather(1, true).squeeze(1),
        largest_other=logits.scatter(1, true, -torch.inf).amax(dim=1),
        right=logits.argmax(dim=1) == true.squeeze(1),
        error=log_p.exp().scatter_add(1, true, torch.full_like(true, -1, dtype=log_p.dtype)),
    )


def soft_label(logits: torch.Tensor, labels: torch.Tensor) -> OneLabel:
    """Make what the formulas read from (n, classes) logits and (n, classes) distributions."""
    labels = labels.float()
    of_largest = one_label(logits, labels.argmax(dim=1))
    # A class that the label leaves out counts nothing, also where its logit is -inf.
    entropy = torch.where(labels > 0, labels * of_largest.log_p, 0).sum(dim=1)
    return of_largest._replace(log_p_true=entropy, error=of_largest.log_p.exp() - labels)


def several_labels(logits: torch.Tensor, labels: torch.Tensor) -> SeveralLabels:
    """Make what the formulas read from (n, labels) logits and labels in [0, 1]."""
    logits, labels = logits.float(), labels.float()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
    margin = ((2 * labels - 1) * logits).amin(dim=1)
    return SeveralLabels(loss, margin, error=logits.sigmoid() - labels)


def binary(logits: torch.Tensor, labels: torch.Tensor) -> SeveralLabels:
    """Make what the formulas read from one logit and one label in [0, 1] a row, whatever their shapes."""
    return several_labels(logits.reshape(len(labels), 1), labels.reshape(len(labels), 1))


def number(predictions: torch.Tensor, labels: torch.Tensor) -> Number:
    """Make what the formulas read from one prediction and one number a row, whatever their shapes."""
    return Number(error=predictions.float().reshape(len(labels)) - labels.float().reshape(len(labels)))


CLASSES = ("single-label", "multiple-choice")
"""Tasks with a whole number as the label of a row."""

READERS: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "single-label": one_label,
    "multiple-choice": one_label,
    "soft-label": soft_label,
    "binary": binary,
    "multi-label": several_labels,
    "regression": number,
}
"""For each task with a label a row the function that makes what the formulas read of logits and labels."""

TOKENS_AHEAD = {"token-classification": 0, "seq2seq": 0, "question-answering": 0, "causal-lm": 1}
"""For each task with several labels a row how far from a token the one stands that its logits are about."""


@torch.no_grad()
def example_signals(task: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(batch, quantities) float32: what the batch says of its rows, in the order of `signals_of(task)`.

    NaN, as for rows not seen, where a row has no label.

    Raises:
        ArgumentError: the batch is none of this task.
    """
    logits = logits.detach()
    try:
        if task in TOKENS_AHEAD:
            return _means_over_tokens(*of_tokens(task, logits, labels))
        if task in CLASSES:
            labels = labels.reshape(len(labels))
        values: torch.Tensor = values_of(READERS[task](logits, labels), torch)
        if task in CLASSES:
            values.masked_fill_(((labels < 0) | (labels >= logits.shape[1])).unsqueeze(1), torch.nan)
    except (RuntimeError, IndexError, ValueError) as error:
        if should_reduce_batch_size(error):  # memory ran out, after which a run may try smaller batches
            raise
        raise ArgumentError(
            f"`task`: the logits {tuple(logits.shape)} and {labels.dtype} labels {tuple(labels.shape)} are none of "
            f"{task!r} ({error})"
        ) from error
    return values


def of_tokens(task: str, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, tokens, classes) logits and the (rows, tokens) labels they are about, IGNORED without one."""
    if task == "question-answering":  # a position behind the end says that the text doesn't hold the answer
        labels = labels.reshape(len(labels), 2).clamp(min=0, max=logits.shape[2])
        return logits, labels.masked_fill(labels == logits.shape[2], IGNORED)
    before = logits.shape[1] - labels.shape[1]
    if before > 0:  # a prompt that the model itself puts before the tokens
        labels = nn.functional.pad(labels, (before, 0), value=IGNORED)
    ahead = TOKENS_AHEAD[task]
    return logits[:, : logits.shape[1] - ahead], labels[:, ahead:]


def _means_over_tokens(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Means over the tokens of each row that have a label; NaN where none has."""
    row, token = (labels != IGNORED).nonzero(as_tuple=True)
    sums = torch.zeros((len(labels), len(signals_of("causal-lm"))), dtype=torch.float64, device=logits.device)
    for part in range(0, len(row), at_once := max(1, CHUNK // logits.shape[2])):
        here = slice(part, part + at_once)
        each = one_label(logits[row[here], token[here]], labels[row[here], token[here]])
        sums.index_add_(0, row[here], values_of(each, torch).double())
    counts = torch.bincount(row, minlength=len(labels)).unsqueeze(1)
    # Infinities of both signs add up to NaN, which would say that the row was not seen.
    return (sums.nan_to_num_(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf) / counts).float()


def row_labels(task: str, labels: torch.Tensor, signals: torch.Tensor) -> torch.Tensor:
    """(batch,) int64 by which rows are recognised later: UNLABELLED without a label, UNSEEN if it is no class."""
    known = torch.full((len(labels),), UNSEEN, device=labels.device)
    if task in CLASSES:
        known = labels.reshape(len(labels)).long()
    elif task == "binary":
        whole = labels.reshape(len(labels))
        known = torch.where((whole == 0) | (whole == 1), whole.long(), UNSEEN)
    return known.masked_fill(signals[:, 0].isnan(), UNLABELLED)
