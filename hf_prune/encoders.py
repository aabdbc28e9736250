"""From what a user calls an encoder to a function from the values of rows to vectors."""

import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from hf_prune.capture import head_of
from hf_prune.checkpoints import SentenceSettings, sentence_settings
from hf_prune.column_values import Kind
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.identity import function_digest, model_digest, processor_digest

POOLINGS = ("mean", "first", "last")
NO_LIMIT = 10**6
"""Tokenizers without a limit of their own give a number far above this one."""


@dataclass(frozen=True)
class Encoder:
    """What turns the values of rows into vectors.

    Attributes:
        name: for people.
        identity: digest of all that decides the vectors.
        prepare: (row positions, their values) -> what `encode` takes; runs in the loader's workers.
        encode: -> (batch, d) tensor or array.
        whole_rows: whether values are rows as dictionaries, in place of one column's.
        model: the module that `encode` calls, or None.
    """

    name: str
    identity: str
    prepare: Callable[[Sequence[int], list[Any]], Any]
    encode: Callable[[Any], Any]
    whole_rows: bool = False
    model: nn.Module | None = None

    @contextmanager
    def ready(self, precision: str) -> Iterator[None]:
        """Evaluation mode, no gradients, and the precision; the modes are afterwards what they were."""
        modes = {} if self.model is None else {module: module.training for module in self.model.modules()}
        device = torch.device("cpu") if self.model is None else device_of(self.model)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            try:
                if self.model is not None:
                    self.model.eval()
                yield
            finally:
                for module, training in modes.items():
                    module.training = training


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
    label: Any = options.name or getattr(encoder, "__qualname__", type(encoder).__qualname__)
    identity = options.name or function_digest("encoder", encoder)
    return Encoder(label, f"function {identity}", lambda rows, values: values, encoder)


def device_of(model: nn.Module) -> torch.device:
    return next((weight.device for weight in model.parameters()), torch.device("cpu"))


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
    # Checkpoints often lack this one, which then is random; no vector depends on it.
    random = {key for key in found["missing_keys"] if "pooler." in key}
    if lacking := sorted(set(found["missing_keys"]) - random):
        raise ArgumentError(
            f"`encoder`: {source!r} lacks {len(lacking)} weights of {type(model).__name__} ({lacking[0]}, ...), so "
            "vectors would be random; pass the checkpoint of a whole encoder"
        )
    settings = replace(settings, pooling=options.pooling or settings.pooling)
    options = replace(options, name=options.name or source)
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
        name=options.name or type(model).__name__,
        identity=identity,
        prepare=lambda rows, values: _without_labels(processor(values)),
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
        if processor.pad_token is None:  # decoders' tokenizers; what is padded is masked
            processor.pad_token = processor.eos_token
        prepare: Any = Texts(processor, _longest(model, processor, settings), options.truncate)
    else:
        prepare = Images(processor, "L" if _channels(model) == 1 else "RGB")
    identity = f"{model_digest(model, unused)} {processor_digest(processor)} {settings} {kind} {options.truncate}"
    return Encoder(
        options.name or type(model).__name__, identity, prepare, Vectors(model, kind, settings), model=model
    )


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


class Vectors:
    """From a batch to one vector a row: what a CLIP-like model calls features, what enters the head, or the pooled
    hidden states."""

    def __init__(self, model: Any, kind: Kind | None, settings: SentenceSettings) -> None:
        self._model, self._settings = model, settings
        self._features = getattr(model, f"get_{kind}_features", None)
        self._head = None if self._features else _head(model)
        if self._features is None and self._head is None:
            base = getattr(model, "base_model", model)
            encodes_alone = getattr(getattr(base, "config", None), "is_encoder_decoder", False)
            self._model = base.get_encoder() if encodes_alone else base

    def __call__(self, batch: Mapping[str, Any]) -> torch.Tensor:
        device = device_of(self._model)
        batch = {name: value.to(device) for name, value in batch.items() if isinstance(value, torch.Tensor)}
        if self._features is not None:
            output = self._features(**batch)
            hidden = output if isinstance(output, torch.Tensor) else output.pooler_output
        elif self._head is not None:
            hidden = self._into_head(batch)
        else:
            hidden = self._model(**batch).last_hidden_state
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
    """(batch, d) of (batch, tokens, d), (batch, d, height, width) or (batch, d).

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
    """The classification head of a trained model; base models have none."""
    if getattr(model, "base_model", None) is model:
        return None
    try:
        return head_of(model, True)
    except ArgumentError:
        return None


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


def _without_labels(batch: Any) -> Any:
    if not isinstance(batch, Mapping):
        raise ArgumentTypeError(
            f"`processor`: wanted a function from rows to a mapping of the model's inputs, got {type(batch).__name__}"
        )
    return {name: value for name, value in batch.items() if name not in ("label", "labels")}
