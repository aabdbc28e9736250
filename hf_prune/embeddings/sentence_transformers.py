"""Checkpoints of sentence-transformers: run by that library where it is installed, else read here if they are plain.

A plain checkpoint is a transformer, one way of pooling and perhaps unit length. Prompts, lower-casing and other layers
are the library's own, and without it such a checkpoint is refused.
"""

import importlib.util
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, RepositoryNotFoundError
from transformers import PreTrainedModel

from hf_prune.embeddings.batches import check_lengths
from hf_prune.errors import ArgumentError, HFPruneError, MissingExtraError
from hf_prune.models import device_of

_POOLINGS = {"mean": "mean", "cls": "first", "lasttoken": "last"}
_LEGACY_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
}
_TRANSFORMER_FILES = [
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
"""Names that the settings of the transformer have had; the first file that is there counts."""
_PLAIN_TRANSFORMER = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}


@dataclass(frozen=True)
class SentenceSettings:
    """How token vectors become one vector; the defaults are those of a checkpoint that says nothing.

    Attributes:
        pooling: "mean", "first" or "last".
        normalize: whether vectors get unit length.
        longest: tokens that are read, or None for as many as the tokenizer takes.
        subfolder: where the weights are.
    """

    pooling: str = "mean"
    normalize: bool = False
    longest: int | None = None
    subfolder: str = ""


def sentence_modules(source: str, revision: str | None) -> list[dict[str, str]] | None:
    """Returns the parts that a sentence-transformers checkpoint lists, and None for any other checkpoint."""
    modules: list[dict[str, str]] | None = _json(source, "modules.json", revision)
    return modules


def library_is_installed() -> bool:
    return importlib.util.find_spec("sentence_transformers") is not None


def is_sentence_transformer(encoder: Any) -> bool:
    """Whether the user made a model with the library, which then is imported already."""
    library = sys.modules.get("sentence_transformers")
    return library is not None and isinstance(encoder, library.SentenceTransformer)


def load_with_library(source: str, subfolder: str, revision: str | None, device: torch.device) -> tuple[Any, set[str]]:
    """Returns the library's model in float32, and the weights of its transformer that `subfolder` lacks."""
    from sentence_transformers import SentenceTransformer

    with torch.random.fork_rng(devices=[]):  # weights that a checkpoint lacks are drawn
        model = SentenceTransformer(
            source, device=str(device), revision=revision, model_kwargs={"dtype": torch.float32}
        )
    transformer: Any = getattr(model[0], "model", None)
    if not isinstance(transformer, PreTrainedModel):
        return model, set()
    # The library doesn't say what was missing; on the meta device the answer costs no memory.
    where: dict[str, Any] = {"revision": revision, "subfolder": subfolder, "device_map": "meta"}
    loading: Any = type(transformer).from_pretrained(source, output_loading_info=True, **where)
    prefix = next(name for name, module in model.named_modules() if module is transformer)
    return model, {f"{prefix}.{name}" for name in loading[1]["missing_keys"]}


@dataclass(frozen=True)
class Sentences:
    """Makes the batch of a sentence-transformers model, with the prompt that is the model's default."""

    model: Any
    truncate: bool

    def __call__(self, rows: Sequence[int], values: list[Any]) -> Mapping[str, Any]:
        whole = {} if self.truncate else {"processing_kwargs": {"text": {"truncation": False, "max_length": None}}}
        batch: dict[str, Any] = self.model.preprocess(values, prompt=default_prompt(self.model), **whole)
        if "attention_mask" in batch:  # static embeddings read texts of any length
            check_lengths(rows, batch, self._longest)
        return batch

    @property
    def _longest(self) -> float:
        """How many tokens `model.encode` reads."""
        processing = getattr(self.model[0], "processing_kwargs", {})
        limits = [self.model.max_seq_length, *(options.get("max_length") for options in processing.values())]
        return min((limit for limit in limits if limit is not None), default=math.inf)


@dataclass(frozen=True)
class SentenceVectors:
    """Gives the vectors that `model.encode` gives."""

    model: Any

    def __call__(self, batch: Mapping[str, Any]) -> torch.Tensor:
        outputs = self.model(send_to_device(batch, device_of(self.model)))
        vectors: torch.Tensor = outputs["sentence_embedding"][:, : self.model.truncate_dim]
        return vectors


def default_prompt(model: Any) -> str | None:
    """Returns what the library puts before every text when no prompt is asked for."""
    prompt: str | None = model.prompts.get(model.default_prompt_name)
    return prompt


def plain_settings(source: str, modules: Sequence[Mapping[str, str]], revision: str | None) -> SentenceSettings:
    """Returns how to read a checkpoint without the library so that vectors are the library's.

    Raises:
        MissingExtraError, ArgumentError: it is more than a plain one; the message says what to do.
    """
    names = [module["type"].rpartition(".")[2] for module in modules]
    own = all(module["type"].startswith("sentence_transformers.") for module in modules)
    if not own or names[:2] != ["Transformer", "Pooling"] or names[2:] not in ([], ["Normalize"]):
        raise _beyond(source, f"the parts {[module['type'] for module in modules]}")
    subfolder, pooling_folder = modules[0]["path"], modules[1]["path"]
    settings = _json(source, "config_sentence_transformers.json", revision) or {}
    for name, plain in (("default_prompt_name", None), ("truncate_dim", None), ("model_type", "SentenceTransformer")):
        if settings.get(name, plain) != plain:
            raise _beyond(source, f"{name} {settings[name]!r}")
    files = (_json(source, f"{subfolder}/{file}".lstrip("/"), revision) for file in _TRANSFORMER_FILES)
    transformer: dict[str, Any] = next((file for file in files if file is not None), {})
    for name, value in transformer.items():
        if name != "max_seq_length" and value and value != _PLAIN_TRANSFORMER.get(name):
            raise _beyond(source, f"{name} {value!r}")
    if "modality_config" not in transformer and _has_chat_template(source, subfolder, revision):
        raise _beyond(source, "a chat template")
    pooling = _pooling(_json(source, f"{pooling_folder}/config.json", revision) or {})
    if pooling is None:
        raise _beyond(source, "another pooling than mean, first or last")
    return SentenceSettings(pooling, len(names) == 3, transformer.get("max_seq_length"), subfolder)


def _pooling(settings: Mapping[str, Any]) -> str | None:
    """Returns our name of a pooling module's only mode, or None where it has others or several."""
    mode = settings.get("pooling_mode")
    if mode is not None:
        return _POOLINGS.get(mode) if isinstance(mode, str) else None
    on = [key for key, value in settings.items() if key.startswith("pooling_mode") and value]
    return _LEGACY_POOLINGS.get(on[0]) if len(on) == 1 else None


def _has_chat_template(source: str, subfolder: str, revision: str | None) -> bool:
    tokenizer = _json(source, f"{subfolder}/tokenizer_config.json".lstrip("/"), revision) or {}
    file = f"{subfolder}/chat_template.jinja".lstrip("/")
    return bool(tokenizer.get("chat_template")) or _file(source, file, revision) is not None


def _beyond(source: str, what: str) -> HFPruneError:
    says = f"`encoder`: {source!r} is a sentence-transformers checkpoint with {what}, which only that library computes"
    if library_is_installed():  # and was not asked, because of pooling=
        return ArgumentError(f"{says}; leave pooling= out")
    return MissingExtraError(f'{says}: pip install "hf_prune[text]"')


def _file(source: str, file: str, revision: str | None) -> Path | None:
    """Returns the path of a file in a folder or on the Hub, and None where there is no such file."""
    if Path(source).is_dir():
        path = Path(source) / file
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(source, file, revision=revision))
    except (EntryNotFoundError, RepositoryNotFoundError, HFValidationError, OSError):
        return None  # loading the model will say what is wrong, if more than this file is missing


def _json(source: str, file: str, revision: str | None) -> Any:
    """Returns what the file holds, and None where there is no such file."""
    path = _file(source, file, revision)
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentError(f"`encoder`: {str(path)!r} is damaged: {error}") from error
