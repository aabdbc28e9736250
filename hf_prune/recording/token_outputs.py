"""Outputs that have no logits but the log-probability of each token's label, as those of TRL's SFTTrainer since 1.15.

A language model's logits are large, so TRL makes the loss of a few tokens at a time, and keeps of each token the
log-probability of its label, and whether that is the likeliest word. Loss, p_true and correct are made of these;
margin and el2n need the logits of all words, so such a run doesn't have them.
"""

from collections.abc import Mapping
from typing import Any

import torch

from hf_prune.dynamics.formulas import FORMULAS, OneLabel
from hf_prune.errors import ArgumentError
from hf_prune.recording.guess import is_close
from hf_prune.recording.outputs import loss_in

NAMES = ("loss", "p_true", "correct")
"""The quantities of a row whose tokens have no logits, in the order of `token_signals`."""

TASK = "causal-lm"
"""What such outputs are of: the log-probability at a place is about the token after it."""


def has_tokens_only(output: Any) -> bool:
    """Whether an output has log-probabilities of labels in the place of logits."""
    if not isinstance(output, Mapping) or output.get("logits") is not None:
        return False
    return all(isinstance(output.get(name), torch.Tensor) for name in ("log_probs", "label_mask", "is_top1"))


@torch.no_grad()
def token_signals(output: Any) -> torch.Tensor:
    """(batch, quantities) float32: means over the tokens of each row that have a label, NaN where none has.

    Args:
        output: has `log_probs` (batch, tokens) in nats, `is_top1` (batch, tokens), whether the label is the likeliest
            word, and `label_mask` (batch, tokens), false where a token has no label.
    """
    log_p, mask = output["log_probs"].detach().float(), output["label_mask"].bool()
    rest: Any = None  # of the logits, which these quantities don't read
    tokens = OneLabel(rest, log_p, rest, rest, right=output["is_top1"].bool(), error=rest)
    values = torch.stack([FORMULAS[name][OneLabel](tokens, torch) for name in NAMES], dim=2)
    values = values.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf).masked_fill(~mask.unsqueeze(2), 0)
    means: torch.Tensor = values.sum(dim=1, dtype=torch.float64) / mask.sum(dim=1, keepdim=True)
    return means.float()


def check_tokens(output: Any, signals: torch.Tensor, task: str | None) -> bool:
    """Hold what is recorded against the loss that the model reports; whether the batch has anything to be held.

    Args:
        signals: those of the output.
        task: what the user said that the run is for.

    Raises:
        ArgumentError: the user said another task, or the model reports another loss.
    """
    if task not in (None, TASK):
        raise ArgumentError(
            f"`task`: wanted {TASK!r}, as the model returns log-probabilities of next tokens, got {task!r}; leave "
            "task= out"
        )
    counts, loss = output["label_mask"].sum(dim=1), loss_in(output)
    if not bool(counts.any()):
        return False
    mean = (signals[:, 0].double().nan_to_num(nan=0.0) * counts).sum() / counts.sum()
    balanced = output.get("aux_loss") is not None  # a mixture of experts adds a term of its own
    if loss is not None and not balanced and not is_close(mean, loss):
        raise ArgumentError(
            f"PruningTrainerCallback: the model reports a loss of {float(loss):.6g}, and its log_probs make one of "
            f"{float(mean):.6g}: they are of something else, and can't be recorded"
        )
    return True
