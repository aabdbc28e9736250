"""Makes a function from the values of rows to vectors of what a user calls an encoder."""

import copy
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from hf_prune.embeddings.batches import Collated, Images, Texts
from hf_prune.embeddings.fingerprint import function_digest, model_digest, processor_digest
from hf_prune.embeddings.pooling import Vectors
from hf_prune.embeddings.sentence_transformers import (
    Sentences,
    SentenceSettings,
    SentenceVectors,
    default_prompt,
    is_sentence_transformer,
    library_is_installed,
    load_with_library,
    plain_settings,
    sentence_modules,
)
from hf_prune.embeddings.values import Kind
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.models import device_of, evaluation_mode


@dataclass(frozen=True)
class Encoder:
    """Turns the values of rows into vectors.

    Attributes:
        identity: a digest of all that decides the vectors.
        prepare: makes what `encode` takes from row positions and their values; runs in the loader's workers.
        encode: makes a (batch, d) tensor or array.
        whole_rows: whether values are rows as dictionaries, in place of one column's.
        model: the module that `encode` calls, or None.
        libraries: the packages whose versions may change the vectors.
    """

    identity: str
    prepare: Callable[[Sequence[int], list[Any]], Any]
    encode: Callable[[Any], Any]
    whole_rows: bool = False
    model: nn.Module | None = None
    libraries: tuple[str, ...] = ("torch", "transformers")

    @contextmanager
    def ready(self, precision: str) -> Iterator[None]:
        """Turns on evaluation mode and the precision, and gradients off."""
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
    """Holds the arguments of `embed` of the same names."""

    pooling: str | None = None
    truncate: bool = False
    revision: str | None = None
    name: str | None = None


def encoder_of(
    encoder: Any, processor: Any, kind: Kind | None, holds: str, options: Options, device: torch.device
) -> Encoder:
    """Returns the encoder that the user means.

    Args:
        encoder, processor: as in `embed`.
        kind: what the column holds; None for anything else.
        holds: the same in words.
        device: for a checkpoint that is loaded here.

    Raises:
        ArgumentError, ArgumentTypeError: it can't be loaded, or is none.
        MissingExtraError: only sentence-transformers can run it.
    """
    if isinstance(encoder, str | os.PathLike):
        if kind is None:
            raise ArgumentTypeError(f"`column`: wanted one of texts or images for a checkpoint, {holds}")
        return _of_checkpoint(os.fspath(encoder), kind, options, device)
    if is_sentence_transformer(encoder):
        if kind is None or options.pooling is not None:
            wanted = "a column of texts or images, and no pooling= beside the model's own"
            raise ArgumentTypeError(f"`encoder`: wanted {wanted}, for a SentenceTransformer; {holds}")
        return _of_sentence_transformer(encoder, kind, options)
    if isinstance(encoder, nn.Module):
        return _of_model(encoder, processor, kind, holds, options)
    if not callable(encoder):
        raise ArgumentTypeError(
            "`encoder`: wanted a checkpoint's Hub id or folder, a model, or a function from a list of values to "
            f"(batch, d) numbers; got {encoder!r}"
        )
    identity = options.name or function_digest("encoder", encoder)
    return Encoder(f"function {identity}", _unchanged, encoder, libraries=())


def _of_checkpoint(source: str, kind: Kind, options: Options, device: torch.device) -> Encoder:
    modules = sentence_modules(source, options.revision)
    if modules is not None and options.pooling is None and library_is_installed():
        with _loading(source, "SentenceTransformer"):
            model, missing = load_with_library(source, modules[0]["path"], options.revision, device)
        random = _random_weights(source, model.transformers_model, missing, kind)
        return _of_sentence_transformer(model, kind, options, random)
    settings = SentenceSettings() if modules is None else plain_settings(source, modules, options.revision)
    where = {"revision": options.revision, "subfolder": settings.subfolder}
    loader = AutoTokenizer if kind == "text" else AutoImageProcessor
    with _loading(source, f"{loader.__name__} and AutoModel"):
        with torch.random.fork_rng(devices=[]):  # weights that a checkpoint lacks are drawn
            model, loading = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True, **where)
        processor = loader.from_pretrained(source, **where)
    random = _random_weights(source, model, loading["missing_keys"], kind)
    settings = replace(settings, pooling=options.pooling or settings.pooling)
    return _transformers(model.to(device), processor, kind, settings, options, random)


@contextmanager
def _loading(source: str, classes: str) -> Iterator[None]:
    """Says what to do where a checkpoint can't be loaded."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ArgumentError(
            f"`encoder`: {source!r} could not be loaded, as a folder or from the Hub, as {classes}: {error}\n"
            f"Without a network download it first where there is one, `hf download {source}`, or pass the folder of a "
            "checkpoint"
        ) from error


def _random_weights(source: str, model: Any, missing: Iterable[str], kind: Kind) -> set[str]:
    """Returns the weights that the checkpoint lacks and that no vector depends on.

    Checkpoints often lack the pooler, which only vectors of CLIP and its like depend on.

    Raises:
        ArgumentError: others are missing.
    """
    unused = "pooler." if not hasattr(model, f"get_{kind}_features") else "no such weight"
    random = {key for key in missing if unused in key}
    if lacking := sorted(set(missing) - random):
        raise ArgumentError(
            f"`encoder`: {source!r} lacks {len(lacking)} weights of {type(model).__name__} ({lacking[0]}, ...), so "
            "vectors would be random; pass the checkpoint of a whole encoder"
        )
    return random


def _of_sentence_transformer(model: Any, kind: Kind, options: Options, random: Container[str] = ()) -> Encoder:
    """Makes an encoder of the library's model, whose settings stand in its repr and in its processor."""
    if not model.supports(kind):
        raise ArgumentTypeError(f"`column`: holds {kind}s, and the encoder takes {model.modalities}")
    processor = getattr(model[0], "processor", None) or getattr(model[0], "tokenizer", None)
    saved = hasattr(processor, "save_pretrained")
    digest = processor_digest(processor) if saved else function_digest("encoder", processor)
    settings = f"{model} {default_prompt(model)!r} {model.truncate_dim} {model.max_seq_length}"
    return Encoder(
        identity=f"{model_digest(model, random)} {digest} {settings} {kind} {options.truncate}",
        prepare=Sentences(model, options.truncate),
        encode=SentenceVectors(model),
        model=model,
        libraries=("torch", "transformers", "sentence-transformers"),
    )


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
    random: Container[str] = (),
) -> Encoder:
    """Makes an encoder of a model with its tokenizer or image processor; `random` weights decide no vector."""
    if kind == "text":
        if processor.pad_token is None:  # as of decoders; what is padded is masked
            processor = copy.deepcopy(processor)
            processor.pad_token = processor.eos_token
        prepare: Any = Texts(processor, _longest(model, processor, settings), options.truncate)
    else:
        prepare = Images(processor, "L" if _channels(model) == 1 else "RGB")
    identity = f"{model_digest(model, random)} {processor_digest(processor)} {settings} {kind} {options.truncate}"
    return Encoder(identity, prepare, Vectors(model, kind, settings), model=model)


def _unchanged(rows: Sequence[int], values: list[Any]) -> list[Any]:
    return values


def _longest(model: Any, tokenizer: Any, settings: SentenceSettings) -> int:
    """Returns how many tokens the model takes; a sentence-transformers checkpoint overrules its tokenizer."""
    config = getattr(model.config, "text_config", model.config)
    limit: int = settings.longest or tokenizer.model_max_length
    return min(limit, getattr(config, "max_position_embeddings", None) or limit)


def _channels(model: Any) -> int:
    config: Any = getattr(model.config, "vision_config", model.config)
    return int(getattr(config, "num_channels", 3))
