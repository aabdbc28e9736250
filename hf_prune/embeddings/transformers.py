"""Models of transformers, and other torch modules: the batches that they take, and one vector for each row.

The loader's workers call `Texts`, `Images` and `Collated`, which make the batches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import nn

from hf_prune.embeddings.values import Kind, Rows
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.models import device_of, head_of

POOLINGS = ("mean", "first", "last")
NO_LIMIT = 10**6
"""Tokenizers without a limit of their own give a number far above this one."""


@dataclass(frozen=True)
class Collated:
    """Makes the user's own batch of whole rows, and leaves labels out."""

    collate: Callable[[list[Any]], Any]

    def __call__(self, rows: Rows) -> Mapping[str, Any]:
        batch = self.collate(rows.values)
        if not isinstance(batch, Mapping):
            raise ArgumentTypeError(
                "`processor`: wanted a function from rows to a mapping of the model's inputs, got "
                f"{type(batch).__name__}"
            )
        return {name: value for name, value in batch.items() if name not in ("label", "labels")}


@dataclass(frozen=True)
class Texts:
    """Makes a padded batch of tokens."""

    tokenizer: Any
    longest: int
    truncate: bool

    def __call__(self, rows: Rows) -> Mapping[str, Any]:
        limit = min(self.longest, NO_LIMIT) if self.truncate else None
        batch: Mapping[str, Any] = self.tokenizer(
            rows.values, padding=True, truncation=self.truncate, max_length=limit, return_tensors="pt"
        )
        check_lengths(rows, batch, self.longest)
        return batch


@dataclass(frozen=True)
class Images:
    """Makes a batch of pixels."""

    processor: Any
    mode: str

    def __call__(self, rows: Rows) -> Mapping[str, Any]:
        images = [image.convert(self.mode) for image in rows.values]
        batch: Mapping[str, Any] = self.processor(images, return_tensors="pt")
        return batch


def check_lengths(rows: Rows, batch: Mapping[str, Any], longest: float) -> None:
    """Refuses a batch with a row that has more tokens than the encoder takes."""
    tokens = batch["attention_mask"].sum(1)
    at = int(tokens.argmax())
    if tokens[at] > longest:
        raise ArgumentError(
            f"`column`: row {rows.positions[at]} has {int(tokens[at])} tokens, the encoder takes {longest}; pass "
            "truncate=True to hf_prune.embed to read only the beginning of such rows, or split them"
        )


class Vectors:
    """Gives one vector a row: what a CLIP-like model calls features, what enters the head, or pooled hidden states."""

    def __init__(self, model: Any, kind: Kind | None, pooling: str, normalize: bool) -> None:
        self._model, self._pooling, self._normalize = model, pooling, normalize
        self._forward: Any = getattr(model, f"get_{kind}_features", None)
        self._output = "pooler_output"
        if self._forward is not None:
            return
        self._output = "last_hidden_state"
        if head := _head(model):
            self._forward = partial(_into_head, model, head)
        else:
            base = getattr(model, "base_model", model)
            encodes_alone = getattr(getattr(base, "config", None), "is_encoder_decoder", False)
            self._forward = base.get_encoder() if encodes_alone else base

    def __call__(self, batch: Mapping[str, Any]) -> torch.Tensor:
        batch = send_to_device(batch, device_of(self._model))
        output = self._forward(**batch)
        hidden = output if isinstance(output, torch.Tensor) else getattr(output, self._output, None)
        if hidden is None:
            raise ArgumentTypeError(
                f"`encoder`: {type(self._model).__name__} gives {type(output).__name__}, wanted a tensor or an output "
                f"with {self._output}; pass a function from a list of values to numbers instead"
            )
        vectors = pooled(hidden.float(), batch.get("attention_mask"), self._pooling)
        return nn.functional.normalize(vectors, dim=1) if self._normalize else vectors


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


def _into_head(model: nn.Module, head: nn.Module, **batch: Any) -> torch.Tensor:
    """Returns what enters the head in a forward pass."""
    caught: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
    try:
        model(**batch)
    finally:
        hook.remove()
    return caught[-1]
