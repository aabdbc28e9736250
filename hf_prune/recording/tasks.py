"""What a batch's logits say of each of its rows, by the kind of task that the model is trained for."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hf_prune.dynamics.contents import UNSEEN
from hf_prune.dynamics.formulas import TASKS, Number, OneLabel, SeveralLabels, signals_of, values_of
from hf_prune.errors import ArgumentError

IGNORED = -100
"""The label of a token that the loss leaves out."""

CHUNK = 2**22
"""Logits of tokens that are looked at together: 16 MB for each copy that is made, whatever the vocabulary."""


def task_of(model: nn.Module, labels: torch.Tensor, logits: torch.Tensor) -> str:
    """Tell the task, one of formulas.TASKS, from the shapes and from the model's class.

    Raises:
        ArgumentError: none of them.
    """
    whole = not labels.is_floating_point()
    if whole and labels.ndim == 1 and logits.ndim == 2 and logits.shape[1] >= 2:
        return "single-label"
    if not whole and labels.ndim == 2 and logits.shape == labels.shape and labels.shape[1] >= 2:
        return "multi-label"
    if not whole and labels.numel() == logits.numel() and labels.numel() == len(labels):
        return "regression"
    if whole and labels.ndim == 2 and logits.ndim == 3 and logits.shape[:2] == labels.shape:
        return _of_tokens(model)
    raise ArgumentError(
        "PruningTrainerCallback wants whole-number labels of shape (rows,) and logits (rows, classes >= 2), float "
        "labels and logits (rows, labels), float labels (rows,) and one output a row, or whole-number labels (rows, "
        f"tokens) and logits (rows, tokens, classes); got {labels.dtype} labels {tuple(labels.shape)} and logits "
        f"{tuple(logits.shape)}"
    )


def _of_tokens(model: nn.Module) -> str:
    """Shapes don't tell whether a token's logits are about itself or about the next one; the model's class does."""
    name = type(unwrapped() if callable(unwrapped := getattr(model, "get_base_model", None)) else model).__name__
    if "CausalLM" in name or "LMHeadModel" in name:
        return "causal-lm"
    return "seq2seq" if "ConditionalGeneration" in name else "token-classification"


def one_label(logits: torch.Tensor, labels: torch.Tensor) -> OneLabel:
    """Make what the formulas read from (n, classes) logits and (n,) labels; dynamics.logits is the same in numpy."""
    logits, true = logits.float(), labels.long().clamp(min=0).unsqueeze(1)
    log_p = logits.log_softmax(dim=1)
    return OneLabel(
        log_p=log_p,
        log_p_true=log_p.gather(1, true).squeeze(1),
        true=logits.gather(1, true).squeeze(1),
        largest_other=logits.scatter(1, true, -torch.inf).amax(dim=1),
        right=logits.argmax(dim=1) == true.squeeze(1),
        error=log_p.exp().scatter_add(1, true, torch.full_like(true, -1, dtype=log_p.dtype)),
    )


def several_labels(logits: torch.Tensor, labels: torch.Tensor) -> SeveralLabels:
    """Make what the formulas read from (n, labels) logits and labels in [0, 1]."""
    logits, labels = logits.float(), labels.float()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
    return SeveralLabels(logits, labels, loss, error=logits.sigmoid() - labels)


def number(predictions: torch.Tensor, labels: torch.Tensor) -> Number:
    """Make what the formulas read from one prediction and one number a row, whatever their shapes."""
    return Number(error=predictions.float().reshape(len(labels)) - labels.float().reshape(len(labels)))


READERS: dict[type, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    OneLabel: one_label,
    SeveralLabels: several_labels,
    Number: number,
}
"""For each kind of labels the function that makes what the formulas read of logits and labels."""

TOKENS_AHEAD = {"token-classification": 0, "seq2seq": 0, "causal-lm": 1}
"""For each task how far from a token the one stands that its logits are about."""


@torch.no_grad()
def example_signals(task: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(batch, quantities) float32: what the batch says of its rows, in the order of `signals_of(task)`.

    Raises:
        ArgumentError: the batch is none of this task.
    """
    try:
        if task in TOKENS_AHEAD:
            ahead = TOKENS_AHEAD[task]
            return _means_over_tokens(logits[:, : logits.shape[1] - ahead].detach(), labels[:, ahead:])
        values: torch.Tensor = values_of(READERS[TASKS[task]](logits.detach(), labels), torch)
    except (RuntimeError, IndexError, ValueError) as error:
        raise ArgumentError(
            f"`task`: the logits {tuple(logits.shape)} and {labels.dtype} labels {tuple(labels.shape)} are none of "
            f"{task!r} ({error})"
        ) from error
    return values


def _means_over_tokens(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Means over the tokens of each row that have a label; NaN, as for rows not seen, where none has."""
    row, token = (labels != IGNORED).nonzero(as_tuple=True)
    sums = torch.zeros((len(labels), len(signals_of("causal-lm"))), dtype=torch.float64, device=logits.device)
    for part in range(0, len(row), at_once := max(1, CHUNK // logits.shape[2])):
        here = slice(part, part + at_once)
        of_tokens = one_label(logits[row[here], token[here]], labels[row[here], token[here]])
        sums.index_add_(0, row[here], values_of(of_tokens, torch).double())
    counts = torch.bincount(row, minlength=len(labels)).unsqueeze(1)
    # Infinities of both signs add up to NaN, which would say that the row was not seen.
    return (sums.nan_to_num_(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf) / counts).float()


def row_labels(task: str, labels: torch.Tensor) -> torch.Tensor:
    """(batch,) int64 by which rows are recognised later; UNSEEN for tasks whose labels are no classes of rows."""
    return labels.long() if task == "single-label" else torch.full((len(labels),), UNSEEN, device=labels.device)
