"""From what a user calls an encoder to a function from the values of rows to vectors."""

import copy
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from hf_prune.embeddings.fingerprint import function_digest, model_digest, processor_digest
from hf_prune.embeddings.pooling import Vectors
from hf_prune.embeddings.sentence_transformers import SentenceSettings, sentence_settings
from hf_prune.embeddings.values import Kind
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.models import device_of, evaluation_mode

NO_LIMIT = 10**6
"""Tokenizers without a limit of their own give a number far above this one."""


@dataclass(frozen=True)
class Encoder:
    """What turns the values of rows into vectors.

    Attributes:
        identity: digest of all that decides the vectors.
        prepare: (row positions, their values) -> what `encode` takes; runs in the loader's workers.
        encode: -> (batch, d) tensor or array.
        whole_rows: whether values are rows as dictionaries, in place of one column's.
        model: the module that `encode` calls, or None.
    """

    identity: str
    prepare: Callable[[Sequence[int], list[Any]], Any]
    encode: Callable[[Any], Any]
    whole_rows: bool = False
    model: nn.Module | None = None

    @contextmanager
    def ready(self, precision: str) -> Iterator[None]:
        """Evaluation mode, no gradients, and the precision."""
        device = torch.device("cpu") if self.model is None else device_of(self.model)
        mode = nullcontext() if self.model is None else evaluation_mode(self.model)
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"),
            mode,
        ):
            yield


@dataclass(frozen=True)
class Options:
    """As in `embed`."""

    pooling: str | None = None
    truncate: bool = False
    revision: str | None = None
    name: str | None = None


def encoder_of(
    encoder: Any, processor: Any, kind: Kind | None, holds: str, options: Options, device: torch.device
) -> Encoder:
    """The encoder that the user means.

    Args:
        encoder, processor: as in `embed`.
        kind: what the column holds; None for anything else.
        holds: the same in words.
        device: for a checkpoint that is loaded here.

    Raises:
        ArgumentError, ArgumentTypeError: it can't be loaded, or is none.
    """
    if isinstance(encoder, str | os.PathLike):
        if kind is None:
            raise ArgumentTypeError(f"`column`: wanted one of texts or images for a checkpoint, {holds}")
        return _of_checkpoint(os.fspath(encoder), kind, options, device)
    if isinstance(encoder, nn.Module):
        return _of_model(encoder, processor, kind, holds, options)
    if not callable(encoder):
        raise ArgumentTypeError(
            "`encoder`: wanted a checkpoint's Hub id or folder, a model, or a function from a list of values to "
            f"(batch, d) numbers; got {encoder!r}"
        )
    identity = options.name or function_digest("encoder", encoder)
    return Encoder(f"function {identity}", _unchanged, encoder)


def _of_checkpoint(source: str, kind: Kind, options: Options, device: torch.device) -> Encoder:
    settings = sentence_settings(source, options.revision)
    where = {"revision": options.revision, "subfolder": settings.subfolder}
    loader = AutoTokenizer if kind == "text" else AutoImageProcessor
    try:
        with torch.random.fork_rng(devices=[]):  # weights that a checkpoint lacks are drawn
            model, found = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True, **where)
        processor = loader.from_pretrained(source, **where)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ArgumentError(
            f"`encoder`: {source!r} could not be loaded, as a folder or from the Hub, as {loader.__name__} and "
            f"AutoModel: {error}\nWithout a network download it first where there is one, `hf download {source}`, "
            "or pass the folder of a checkpoint"
        ) from error
    # Checkpoints often lack this one, which then is random; no vector depends on it but those of CLIP and its like.
    unused = "pooler." if not hasattr(model, f"get_{kind}_features") else "no such weight"
    random = {key for key in found["missing_keys"] if unused in key}
    if lacking := sorted(set(found["missing_keys"]) - random):
        raise ArgumentError(
            f"`encoder`: {source!r} lacks {len(lacking)} weights of {type(model).__name__} ({lacking[0]}, ...), so "
            "vectors would be random; pass the checkpoint of a whole encoder"
        )
    settings = replace(settings, pooling=options.pooling or settings.pooling)
    return _transformers(model.to(device), processor, kind, settings, options, random)


def _of_model(model: nn.Module, processor: Any, kind: Kind | None, holds: str, options: Options) -> Encoder:
    part = {"text": "tokenizer", "image": "image_processor"}.get(kind or "")
    if part and hasattr(processor, part):  # a processor for both, as of CLIP
        processor = getattr(processor, part)
    settings = SentenceSettings(pooling=options.pooling or "mean")
    if hasattr(processor, "save_pretrained"):
        if kind is None:
            raise ArgumentTypeError(
                f"`column`: wanted one of texts or images for the processor, {holds}; or pass a function from rows to "
                "the model's batch as processor=, such as trainer.data_collator"
            )
        return _transformers(model, processor, kind, settings, options)
    if not callable(processor):
        raise ArgumentTypeError(
            "`processor`: a model needs its tokenizer or image processor, or the function that makes its batches of "
            f"rows, as in processor=trainer.data_collator; got {processor!r}"
        )
    identity = f"{model_digest(model)} {function_digest('processor', processor)} {settings.pooling}"
    return Encoder(
        identity=identity,
        prepare=Collated(processor),
        encode=Vectors(model, None, settings),
        whole_rows=True,
        model=model,
    )


def _transformers(
    model: Any,
    processor: Any,
    kind: Kind,
    settings: SentenceSettings,
    options: Options,
    unused: Container[str] = (),
) -> Encoder:
    """A model with its tokenizer or image processor; `unused` weights don't decide the vectors."""
    if kind == "text":
        if processor.pad_token is None:  # as of decoders; what is padded is masked
            processor = copy.deepcopy(processor)
            processor.pad_token = processor.eos_token
        prepare: Any = Texts(processor, _longest(model, processor, settings), options.truncate)
    else:
        prepare = Images(processor, "L" if _channels(model) == 1 else "RGB")
    identity = f"{model_digest(model, unused)} {processor_digest(processor)} {settings} {kind} {options.truncate}"
    return Encoder(identity, prepare, Vectors(model, kind, settings), model=model)


def _unchanged(rows: Sequence[int], values: list[Any]) -> list[Any]:
    return values


@dataclass(frozen=True)
class Collated:
    """Rows as the user's own batch, without labels."""

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
    """Texts as a padded batch of tokens."""

    tokenizer: Any
    longest: int
    truncate: bool

    def __call__(self, rows: Sequence[int], texts: list[str]) -> Mapping[str, Any]:
        limit = {"truncation": True, "max_length": self.longest} if self.truncate and self.longest < NO_LIMIT else {}
        batch: Mapping[str, Any] = self.tokenizer(texts, padding=True, return_tensors="pt", **limit)
        if batch["input_ids"].shape[1] > self.longest:
            tokens = batch["attention_mask"].sum(1)
            at = int(tokens.argmax())
            raise ArgumentError(
                f"`column`: row {rows[at]} has {int(tokens[at])} tokens, the encoder takes {self.longest}; pass "
                "truncate=True to hf_prune.embed to read only the beginning of such rows, or split them"
            )
        return batch


@dataclass(frozen=True)
class Images:
    """Images as a batch of pixels."""

    processor: Any
    mode: str

    def __call__(self, rows: Sequence[int], images: list[Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.processor([image.convert(self.mode) for image in images], return_tensors="pt")
        return found


def _longest(model: Any, tokenizer: Any, settings: SentenceSettings) -> int:
    """Tokens that the model takes."""
    config = getattr(model.config, "text_config", model.config)
    limits: list[int | None] = [
        tokenizer.model_max_length,
        getattr(config, "max_position_embeddings", None),
        settings.longest,
    ]
    return min(limit for limit in limits if limit is not None)


def _channels(model: Any) -> int:
    config: Any = getattr(model.config, "vision_config", model.config)
    return int(getattr(config, "num_channels", 3))
