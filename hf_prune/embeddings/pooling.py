"""Makes one vector for each row of a model's batch."""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import nn

from hf_prune.embeddings.sentence_transformers import SentenceSettings
from hf_prune.embeddings.values import Kind
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.models import device_of, head_of

POOLINGS = ("mean", "first", "last")


class Vectors:
    """Gives one vector a row: what a CLIP-like model calls features, what enters the head, or pooled hidden states."""

    def __init__(self, model: Any, kind: Kind | None, settings: SentenceSettings) -> None:
        self._model, self._settings = model, settings
        self._features = getattr(model, f"get_{kind}_features", None)
        self._head = None if self._features else _head(model)
        if self._features is None and self._head is None:
            base = getattr(model, "base_model", model)
            encodes_alone = getattr(getattr(base, "config", None), "is_encoder_decoder", False)
            self._model = base.get_encoder() if encodes_alone else base

    def __call__(self, batch: Mapping[str, Any]) -> torch.Tensor:
        batch = send_to_device(batch, device_of(self._model))
        if self._features is not None:
            output = self._features(**batch)
            hidden = output if isinstance(output, torch.Tensor) else output.pooler_output
        elif self._head is not None:
            hidden = self._into_head(batch)
        else:
            output = self._model(**batch)
            hidden = output if isinstance(output, torch.Tensor) else getattr(output, "last_hidden_state", None)
            if hidden is None:
                raise ArgumentTypeError(
                    f"`encoder`: {type(self._model).__name__} gives {type(output).__name__}, wanted a tensor or an "
                    "output with last_hidden_state; pass a function from a list of values to numbers instead"
                )
        vectors = pooled(hidden.float(), batch.get("attention_mask"), self._settings.pooling)
        return nn.functional.normalize(vectors, dim=1) if self._settings.normalize else vectors

    def _into_head(self, batch: Mapping[str, Any]) -> torch.Tensor:
        caught: list[torch.Tensor] = []
        assert self._head is not None, "of a model with a head"
        hook = self._head.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
        try:
            self._model(**batch)
        finally:
            hook.remove()
        return caught[-1]


def pooled(hidden: torch.Tensor, mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """Returns (batch, d) vectors of (batch, tokens, d), (batch, d, height, width) or (batch, d) hidden states.

    Args:
        mask: (batch, tokens), 0 where a token is padding; None where there is none.
        pooling: "mean" over the tokens, or the "first" or "last" of them.
    """
    if hidden.ndim == 4:
        return hidden.mean(dim=(2, 3))
    if hidden.ndim == 2:
        return hidden
    if mask is None or mask.shape != hidden.shape[:2]:
        mask = torch.ones(hidden.shape[:2], dtype=torch.int64, device=hidden.device)
    if pooling == "mean":
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    # Padding may stand at either end.
    places = torch.arange(1, hidden.shape[1] + 1, device=hidden.device) * mask
    at = places.argmax(1) if pooling == "last" else mask.argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), at]


def _head(model: Any) -> nn.Module | None:
    """Returns the classification head of a trained model, and None for a base model, which has none."""
    if getattr(model, "base_model", None) is model:
        return None
    try:
        return head_of(model, True)
    except ArgumentError:
        return None
