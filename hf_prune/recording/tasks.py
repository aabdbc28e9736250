"""What a batch's logits say of each of its rows, by the kind of task that the model is trained for."""

from collections.abc import Callable

import torch
from torch import nn

from hf_prune.dynamics.dynamics import UNSEEN
from hf_prune.errors import ArgumentError

IGNORED = -100
"""The label of a token that the loss leaves out."""

CHUNK = 2**22
"""Logits of tokens that are looked at together: 16 MB for each copy that is made, whatever the vocabulary."""


def task_of(model: nn.Module, labels: torch.Tensor, logits: torch.Tensor) -> str:
    """One of dynamics.TASKS, from the shapes and from the model's class.

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


def single_label(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(batch, 5) float32: loss, p_true, margin, correct and EL2N from (batch, classes) logits and (batch,) labels."""
    logits = logits.float()
    true_column = labels.long().clamp(min=0).unsqueeze(1)
    log_p = logits.log_softmax(dim=1)
    log_p_true = log_p.gather(1, true_column).squeeze(1)
    true = logits.gather(1, true_column).squeeze(1)
    largest_other = logits.scatter(1, true_column, -torch.inf).amax(dim=1)
    p = log_p.exp()
    error = p.scatter_add(1, true_column, torch.full_like(true_column, -1, dtype=p.dtype))
    margin = true - largest_other
    # argmax calls the first class the largest of NaN logits.
    correct = (logits.argmax(dim=1) == true_column.squeeze(1)).float().where(~margin.isnan(), torch.nan)
    return torch.stack([-log_p_true, log_p_true.exp(), margin, correct, error.norm(dim=1)], dim=1)


def multi_label(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The same from (batch, labels) logits and labels in [0, 1]; see TrainingDynamics for what is meant."""
    logits, labels = logits.float(), labels.float()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
    margin = ((2 * labels - 1) * logits).amin(dim=1)
    correct = (margin > 0).float().where(~margin.isnan(), torch.nan)
    return torch.stack([loss, (-loss).exp(), margin, correct, (logits.sigmoid() - labels).norm(dim=1)], dim=1)


def regression(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Squared error and its root, the size of the error; there is nothing else."""
    error = logits.float().reshape(len(labels)) - labels.float().reshape(len(labels))
    none = torch.full_like(error, torch.nan)
    return torch.stack([error**2, none, none, none, error.abs()], dim=1)


def of_tokens(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Means over a row's tokens of what single_label says of each; NaN for a row of which every token is ignored."""
    row, token = (labels != IGNORED).nonzero(as_tuple=True)
    sums = torch.zeros((len(labels), 5), dtype=torch.float64, device=logits.device)
    for part in range(0, len(row), at_once := max(1, CHUNK // logits.shape[2])):
        here = slice(part, part + at_once)
        found = single_label(logits[row[here], token[here]], labels[row[here], token[here]])
        sums.index_add_(0, row[here], found.double())
    counts = torch.bincount(row, minlength=len(labels)).unsqueeze(1)
    return (sums / counts).float()


def of_next_tokens(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The same where a token's logits are about the one that follows."""
    return of_tokens(logits[:, :-1], labels[:, 1:])


SIGNALS_OF: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "single-label": single_label,
    "multi-label": multi_label,
    "regression": regression,
    "token-classification": of_tokens,
    "causal-lm": of_next_tokens,
    "seq2seq": of_tokens,
}
"""From logits and labels to (batch, 5) float32 in the order of `dynamics.SIGNALS`."""


@torch.no_grad()
def example_signals(task: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(batch, 5) float32: what the batch says of its rows.

    Raises:
        ArgumentError: the batch is none of this task.
    """
    try:
        return SIGNALS_OF[task](logits.detach(), labels)
    except (RuntimeError, IndexError, ValueError) as error:
        raise ArgumentError(
            f"`task`: the logits {tuple(logits.shape)} and {labels.dtype} labels {tuple(labels.shape)} are none of "
            f"{task!r} ({error})"
        ) from error


def row_labels(task: str, labels: torch.Tensor) -> torch.Tensor:
    """(batch,) int64 by which rows are recognised later; UNSEEN for tasks whose labels are no classes of rows."""
    return labels.long() if task == "single-label" else torch.full((len(labels),), UNSEEN, device=labels.device)
