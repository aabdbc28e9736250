"""Makes the batch that a model takes of the values of rows; this runs in the loader's workers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_prune.errors import ArgumentError, ArgumentTypeError

NO_LIMIT = 10**6
"""Tokenizers without a limit of their own give a number far above this one."""


@dataclass(frozen=True)
class Collated:
    """Makes the user's own batch of whole rows, and leaves labels out."""

    collate: Callable[[list[Any]], Any]

    def __call__(self, rows: Sequence[int], values: list[Any]) -> Mapping[str, Any]:
        batch = self.collate(values)
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

    def __call__(self, rows: Sequence[int], texts: list[str]) -> Mapping[str, Any]:
        limit = {"truncation": True, "max_length": self.longest} if self.truncate and self.longest < NO_LIMIT else {}
        batch: Mapping[str, Any] = self.tokenizer(texts, padding=True, return_tensors="pt", **limit)
        check_lengths(rows, batch, self.longest)
        return batch


@dataclass(frozen=True)
class Images:
    """Makes a batch of pixels."""

    processor: Any
    mode: str

    def __call__(self, rows: Sequence[int], images: list[Any]) -> Mapping[str, Any]:
        batch: Mapping[str, Any] = self.processor([image.convert(self.mode) for image in images], return_tensors="pt")
        return batch


def check_lengths(rows: Sequence[int], batch: Mapping[str, Any], longest: float) -> None:
    """Refuses a batch with a row that has more tokens than the encoder takes."""
    tokens = batch["attention_mask"].sum(1)
    at = int(tokens.argmax())
    if tokens[at] > longest:
        raise ArgumentError(
            f"`column`: row {rows[at]} has {int(tokens[at])} tokens, the encoder takes {longest}; pass "
            "truncate=True to hf_prune.embed to read only the beginning of such rows, or split them"
        )
