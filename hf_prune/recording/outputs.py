"""What a model returns: its logits, and the loss that it reports."""

from collections.abc import Mapping
from typing import Any

import torch

from hf_prune.errors import ArgumentError
from hf_prune.recording.order import POSITIONS


def logit_parts(output: Any, label_names: tuple[str, ...]) -> list[torch.Tensor]:
    """The logits of an output as they are: one tensor, for question answering two, or none."""
    wanted = _wanted(label_names)
    if isinstance(output, Mapping):
        parts = [output[name] for name in wanted if name in output]
    else:
        # A tuple begins with the loss, a scalar, where the model computed one.
        parts = list(output) if isinstance(output, tuple | list) else [output]
    found = [part for part in parts if isinstance(part, torch.Tensor) and part.ndim >= 1][: len(wanted)]
    return found if len(found) == len(wanted) else []


def logits_in(output: Any, label_names: tuple[str, ...]) -> torch.Tensor:
    """The logits of an output; for question answering those of starts and ends as (rows, 2, tokens).

    Raises:
        ArgumentError: it has none.
    """
    found = logit_parts(output, label_names)
    if found:
        return found[0] if len(found) == 1 else torch.stack(found, dim=1)
    returned = f"the entries {sorted(output)}" if isinstance(output, Mapping) else type(output).__name__
    raise ArgumentError(
        "PruningTrainerCallback needs a model that returns logits, as "
        f"{' and '.join(map(repr, _wanted(label_names)))}, as a tensor or in a tuple after the loss; got {returned}. "
        "A loss that is computed without logits can't be recorded: train without the callback, and prune by "
        "embeddings=, or by scores= of your own"
    )


def _wanted(label_names: tuple[str, ...]) -> tuple[str, ...]:
    return ("start_logits", "end_logits") if label_names == POSITIONS else ("logits",)


def reported_loss(output: Any) -> torch.Tensor | None:
    """The loss that a model reports for the batch, one number; None where it reports none."""
    loss: Any = output.get("loss") if isinstance(output, Mapping) else None
    if isinstance(output, tuple | list) and output:
        loss = output[0]
    is_number = isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.is_floating_point()
    return loss if is_number else None


def loss_in(output: Any) -> torch.Tensor | None:
    """The loss that a model reports for the batch as a scalar without its history; None where it reports none."""
    loss = reported_loss(output)
    return None if loss is None else loss.detach().reshape(())


def vectors_of(features: torch.Tensor | None, task: str, labels: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The head's input, a vector a row; of a multiple choice that of the right answer."""
    rows = len(labels)
    if task == "multiple-choice" and features is not None and len(features) == logits.numel():
        right = labels.reshape(rows).clamp(min=0)
        return features.reshape(*logits.shape, -1)[torch.arange(rows, device=labels.device), right]
    if features is None or len(features) != rows or features.ndim != 2:
        raise ArgumentError(
            "`features`: wanted a module whose input has the shape (batch, d), in floats, got "
            f"{None if features is None else tuple(features.shape)}; name another, as in "
            "PruningTrainerCallback(features='classifier')"
        )
    return features
