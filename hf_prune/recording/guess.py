"""What a model is trained for, told from its class, from shapes, and from the loss that it reports itself.

Shapes leave a few readings, and each reading has another loss. Where the model reports a loss, a reading whose mean
over the batch agrees with it is right, and one that disagrees where another agrees is an error. Where none agrees, the
model's loss is weighted, smoothed or has further terms: the reading that its class stands for is taken, and the log
says that plain losses are recorded. Without a loss and a class that says it the task has to be named.
"""

import logging
from typing import Any

import torch
from torch import nn

from hf_prune.errors import ArgumentError
from hf_prune.recording.tasks import IGNORED, TOKENS_AHEAD, example_signals, of_tokens

logger = logging.getLogger(__name__)

WANTED = (
    "PruningTrainerCallback wants whole-number labels of shape (rows,) and logits (rows, classes >= 2), labels of 0 "
    "or 1 and one logit a row, float labels and logits (rows, labels), float labels (rows,) and one output a row, or "
    "whole-number labels (rows, tokens) and logits (rows, tokens, classes)"
)


def task_of(
    model: nn.Module, labels: torch.Tensor, logits: torch.Tensor, *, loss: Any = None, items: Any = None
) -> str:
    """Tell the task, one of formulas.TASKS, from the first batch.

    Args:
        loss: what the model reports for the batch, or None.
        items: by what the model divides its sum of losses, where the loop says it; else it takes the mean.

    Raises:
        ArgumentError: none, or several between which nothing decides.
    """
    readings = _readings(model, labels, logits)
    if not readings:
        raise ArgumentError(
            f"{WANTED}; got {labels.dtype} labels {tuple(labels.shape)} and logits {tuple(logits.shape)}"
        )
    of_class = hint(model, readings)
    if of_class is not None or len(readings) == 1:
        return of_class or readings[0]
    agreeing = [task for task in readings if loss is not None and agrees(task, labels, logits, loss, items)]
    if len(agreeing) == 1:
        return agreeing[0]
    reported = "the model reports no loss"
    if loss is not None:
        _check_numbers(labels, logits, loss)
        reported = f"{'more than one' if agreeing else 'none'} has the loss {float(loss):.6g} that the model reports"
    raise ArgumentError(
        f"`task`: {labels.dtype} labels {tuple(labels.shape)} and logits {tuple(logits.shape)} may be of "
        f"{' or '.join(readings)}, and {reported}; say which, as in PruningTrainerCallback(task={readings[0]!r})"
    )


def check_task(
    task: str, model: nn.Module, labels: torch.Tensor, logits: torch.Tensor, *, loss: Any, items: Any, named: bool
) -> bool:
    """Hold the task against the loss that the model reports; whether it is the one that is recorded.

    Args:
        named: whether the user said it, who may record another loss than is trained.

    Raises:
        ArgumentError: the model has the loss of another task.
    """
    if loss is None and task in TOKENS_AHEAD and not named:
        logger.warning(
            "the model reports no loss: it is taken for %r by its class, and its logits for those of %s; if that is "
            "wrong, pass PruningTrainerCallback(task=...)",
            task,
            "the next token" if TOKENS_AHEAD[task] else "the token itself",
        )
    if loss is None or agrees(task, labels, logits, loss, items):
        return loss is not None
    others = [] if named else _readings(model, labels, logits)
    for other in others:
        if other != task and agrees(other, labels, logits, loss, items):
            raise ArgumentError(
                f"`task`: taken for {task!r}, and the loss {float(loss):.6g} that the model reports is that of "
                f"{other!r}; pass PruningTrainerCallback(task={other!r})"
            )
    _check_numbers(labels, logits, loss)
    logger.warning(
        "the model reports a loss of %.6g for its first batch, and the mean of the losses recorded, %s without "
        "weights, smoothing or further terms, is %.6g: compare `recorder.dynamics` with it",
        float(loss),
        "squared errors" if task == "regression" else "cross-entropies",
        float(_totals(task, labels, logits)[0] / _totals(task, labels, logits)[1]),
    )
    return False


def _check_numbers(labels: torch.Tensor, logits: torch.Tensor, loss: Any) -> None:
    """Refuse a regression of several numbers a row, which the loss gives away."""
    several = labels.is_floating_point() and labels.shape == logits.shape and labels[0].numel() > 1
    if several and is_close(((logits.float() - labels.float()) ** 2).mean(), loss):
        raise ArgumentError(
            f"`task`: a regression of {labels[0].numel()} numbers a row can't be recorded, one number can; the loss "
            "of the model is the mean squared error"
        )


def agrees(task: str, labels: torch.Tensor, logits: torch.Tensor, loss: Any, items: Any = None) -> bool:
    """Whether the losses of the rows, read as this task, make the loss that the model reports."""
    total, count = _totals(task, labels, logits)
    return is_close(total / count, loss) or (items is not None and is_close(total / items, loss))


def _totals(task: str, labels: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of losses that a loss function averages, and how many they are."""
    of_rows = example_signals(task, logits, labels)[:, 0].double()
    counts = (~of_rows.isnan()).double()
    if task in TOKENS_AHEAD:
        counts = (of_tokens(task, logits, labels)[1] != IGNORED).sum(dim=1).double()
    if task == "question-answering":  # the loss is the mean of two means
        logits, labels = of_tokens(task, logits, labels)
        starts_and_ends = [_totals("single-label", labels[:, end], logits[:, end]) for end in (0, 1)]
        means = [total / count for total, count in starts_and_ends]
        return torch.stack(means).sum(), torch.tensor(2.0)
    return (of_rows.nan_to_num(nan=0.0) * counts).sum(), counts.sum()


def is_close(mine: Any, theirs: Any) -> bool:
    exact = not isinstance(theirs, torch.Tensor) or theirs.dtype in (torch.float32, torch.float64)
    tolerance = 1e-4 if exact else 2e-2  # a loss of 16 bits has three digits
    return bool(abs(float(mine) - float(theirs)) <= tolerance * max(abs(float(theirs)), 1e-2))


def _readings(model: nn.Module, labels: torch.Tensor, logits: torch.Tensor) -> list[str]:
    """The tasks that the shapes leave."""
    rows, whole = len(labels), not labels.is_floating_point()
    one_a_row = labels.numel() == rows
    if one_a_row and logits.numel() == rows:
        numbers = [] if whole else ["regression"]
        return numbers + (["binary"] if bool(((labels >= 0) & (labels <= 1)).all()) else [])
    if whole and one_a_row and labels.ndim <= 2 and logits.ndim == 2:
        return ["multiple-choice" if _is_a(model, "MultipleChoice") else "single-label"]
    if not whole and labels.ndim == 2 and labels.shape == logits.shape:
        if bool(((labels < 0) | (labels > 1)).any()):
            return []
        distributions = bool((labels.sum(dim=1) - 1).abs().max() < 1e-3)
        return ["soft-label", "multi-label"] if distributions else ["multi-label"]
    if whole and labels.ndim == 2 and logits.ndim == 3 and logits.shape[1] >= labels.shape[1]:
        return ["causal-lm", "seq2seq" if _config(model, "is_encoder_decoder") else "token-classification"]
    return []


def hint(model: nn.Module, readings: list[str]) -> str | None:
    """The reading that the model's class stands for."""
    problem = _config(model, "problem_type")
    if problem == "regression" and "regression" in readings:
        return "regression"
    if "causal-lm" not in readings:
        return None
    if _is_a(model, "TokenClassification") or _is_a(model, "MaskedLM"):
        return "token-classification"
    if _is_a(model, "CausalLM") or _is_a(model, "LMHeadModel"):
        return "causal-lm"
    if _config(model, "is_encoder_decoder"):
        return "seq2seq"
    return "causal-lm" if _is_a(model, "ConditionalGeneration") else None


def _is_a(model: nn.Module, part: str) -> bool:
    return any(part in name for name in class_names(model))


def class_names(model: nn.Module) -> list[str]:
    return [base.__name__ for base in type(_unwrapped(model)).__mro__]


def _config(model: nn.Module, name: str) -> Any:
    return getattr(getattr(_unwrapped(model), "config", None), name, None)


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model beneath an adapter."""
    unwrapped = getattr(model, "get_base_model", None)
    return unwrapped() if callable(unwrapped) else model
