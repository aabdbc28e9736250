"""Makes a function from the values of rows to vectors of what a user calls an encoder."""

import copy
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from hf_prune.embeddings.fingerprint import fingerprint
from hf_prune.embeddings.sentence_transformers import (
    Sentences,
    checkpoint_file,
    is_sentence_transformer,
    library_is_installed,
    load_with_library,
    plain_settings,
    sentence_vectors,
)
from hf_prune.embeddings.transformers import Collated, Images, Texts, Vectors
from hf_prune.embeddings.values import Kind, Rows
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.models import device_of, evaluation_mode


@dataclass(frozen=True)
class Encoder:
    """Turns the values of rows into vectors.

    Attributes:
        parts: the model or function and the processor, which decide the vectors, by the name of their argument.
        settings: what else decides them.
        prepare: makes what `encode` takes; runs in the loader's workers.
        encode: makes a (batch, d) tensor or array.
        model: the module that `encode` calls, or None.
        libraries: the packages whose versions may change the vectors.
        random: names of the model's weights that decide no vector.
    """

    parts: Mapping[str, Any]
    settings: str
    prepare: Callable[[Rows], Any]
    encode: Callable[[Any], Any]
    model: nn.Module | None = None
    libraries: tuple[str, ...] = ("torch", "transformers")
    random: Container[str] = ()

    def identity(self, cache_key: str | None) -> str:
        """Returns what tells it from others: the user's key, or else digests of its parts; and its settings."""
        if cache_key is not None:
            return f"{cache_key!r} {self.settings}"
        digests = [fingerprint(argument, part, self.random) for argument, part in self.parts.items()]
        return f"{digests} {self.settings}"

    @property
    def whole_rows(self) -> bool:
        """Tells whether values are rows as dictionaries, in place of one column's."""
        return isinstance(self.prepare, Collated)

    @contextmanager
    def ready(self, precision: str) -> Iterator[None]:
        """Turns gradients off and, for a model, evaluation mode and the precision on."""
        with torch.inference_mode(), ExitStack() as stack:
            if self.model is not None:
                reduced = precision == "bfloat16"
                stack.enter_context(torch.autocast(device_of(self.model).type, torch.bfloat16, enabled=reduced))
                stack.enter_context(evaluation_mode(self.model))
            yield


def encoder_of(
    encoder: Any,
    processor: Any,
    kind: Kind | None,
    holds: str,
    device: torch.device,
    *,
    pooling: str | None,
    truncate: bool,
    revision: str | None,
) -> Encoder:
    """Returns the encoder that the user means, by the arguments of `embed`.

    Args:
        kind: what the column holds; None for anything else.
        holds: the same in words.
        device: for a checkpoint that is loaded here.

    Raises:
        ArgumentError, ArgumentTypeError: it can't be loaded, or is none.
        MissingExtraError: only sentence-transformers can run it.
    """
    checkpoint, library = isinstance(encoder, str | os.PathLike), is_sentence_transformer(encoder)
    if processor is not None and (checkpoint or library or not isinstance(encoder, nn.Module)):
        raise ArgumentTypeError("`processor`: wanted beside a model only: checkpoints have theirs, and functions none")
    if not checkpoint and not isinstance(encoder, nn.Module):
        if not callable(encoder):
            raise ArgumentTypeError(
                "`encoder`: wanted a checkpoint's Hub id or folder, a model, or a function from a list of values to "
                f"(batch, d) numbers; got {encoder!r}"
            )
        return Encoder({"encoder": encoder}, "function", attrgetter("values"), encoder, libraries=())
    if kind is None:
        if checkpoint or library or hasattr(processor, "save_pretrained"):
            raise ArgumentTypeError(
                f"`column`: wanted one of texts or images for a checkpoint or processor, {holds}; a model takes other "
                "columns with the function from rows to its batch as processor=, such as trainer.data_collator"
            )
        return _of_model(encoder, processor, kind, truncate, pooling or "mean")
    if checkpoint:
        return _of_checkpoint(os.fspath(encoder), kind, pooling, truncate, revision, device)
    if library:
        if pooling is not None:
            raise ArgumentTypeError("`encoder`: a SentenceTransformer takes no pooling= beside the model's own")
        return _of_sentence_transformer(encoder, kind, truncate)
    # A processor for both, such as CLIP's, holds one for each.
    processor = getattr(processor, {"text": "tokenizer", "image": "image_processor"}[kind], processor)
    return _of_model(encoder, processor, kind, truncate, pooling or "mean")


def _of_checkpoint(
    source: str, kind: Kind, pooling: str | None, truncate: bool, revision: str | None, device: torch.device
) -> Encoder:
    modules: Any = checkpoint_file(source, "modules.json", revision)  # what a sentence-transformers checkpoint has
    subfolder, own_pooling, normalize, longest = "", "mean", False, None
    if modules is not None:
        subfolder = modules[0]["path"]
        if pooling is None and library_is_installed():
            with _loading(source, "SentenceTransformer"):
                model, missing = load_with_library(source, subfolder, revision, device)
            random = _random_weights(source, model.transformers_model, missing, kind)
            return _of_sentence_transformer(model, kind, truncate, random)
        own_pooling, normalize, longest = plain_settings(source, modules, revision)
    where = {"revision": revision, "subfolder": subfolder}
    loader = AutoTokenizer if kind == "text" else AutoImageProcessor
    with _loading(source, f"{loader.__name__} and AutoModel"):
        with torch.random.fork_rng(devices=[]):  # weights that a checkpoint lacks are drawn
            model, loading = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True, **where)
        processor = loader.from_pretrained(source, **where)
    if longest:
        processor.model_max_length = longest
    random = _random_weights(source, model, loading["missing_keys"], kind)
    return _of_model(model.to(device), processor, kind, truncate, pooling or own_pooling, normalize, random)


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


def _of_sentence_transformer(model: Any, kind: Kind, truncate: bool, random: Container[str] = ()) -> Encoder:
    """Makes an encoder of the library's model, which holds its processor and its settings."""
    if not model.supports(kind):
        raise ArgumentTypeError(f"`column`: holds {kind}s, and the encoder takes {model.modalities}")
    return Encoder(
        parts={"encoder": model},
        settings=f"{kind} {truncate}",
        prepare=Sentences(model, truncate),
        encode=partial(sentence_vectors, model),
        model=model,
        libraries=("torch", "transformers", "sentence-transformers"),
        random=random,
    )


def _of_model(
    model: Any,
    processor: Any,
    kind: Kind | None,
    truncate: bool,
    pooling: str,
    normalize: bool = False,
    random: Container[str] = (),
) -> Encoder:
    """Makes an encoder of a model with its processor or a function from rows; `random` weights decide no vector."""
    prepare: Collated | Texts | Images
    if kind is None or not hasattr(processor, "save_pretrained"):
        if not callable(processor):
            raise ArgumentTypeError(
                "`processor`: a model needs its tokenizer or image processor, or the function that makes its batches "
                f"of rows, as in processor=trainer.data_collator; got {processor!r}"
            )
        kind, prepare = None, Collated(processor)
    else:
        config = getattr(model.config, {"text": "text_config", "image": "vision_config"}[kind], model.config)
        prepare = Images(processor, "L" if getattr(config, "num_channels", 3) == 1 else "RGB")
        if kind == "text":
            if processor.pad_token is None:  # a decoder's; what is padded is masked
                processor = copy.deepcopy(processor)
                processor.pad_token = processor.eos_token
            limits = processor.model_max_length, getattr(config, "max_position_embeddings", None)
            prepare = Texts(processor, min(limit for limit in limits if limit), truncate)
    return Encoder(
        parts={"encoder": model, "processor": processor},
        settings=f"{kind} {truncate} {pooling} {normalize}",
        prepare=prepare,
        encode=Vectors(model, kind, pooling, normalize),
        model=model,
        random=random,
    )
