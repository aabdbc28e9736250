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
from huggingface_hub.errors import HFValidationError
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from hf_prune.embeddings.transformers import check_lengths
from hf_prune.embeddings.values import Rows
from hf_prune.errors import ArgumentError, HFPruneError, MissingExtraError
from hf_prune.models import device_of

_POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "first", "cls_token": "first", "lasttoken": "last"}
_TRANSFORMER_FILES = [
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
"""Names that the settings of the transformer have had; the first file that is there counts."""
_PLAIN = {
    "model_type": "SentenceTransformer",
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
"""Settings that change nothing; others must not be on."""


def library_is_installed() -> bool:
    return importlib.util.find_spec("sentence_transformers") is not None


def is_sentence_transformer(encoder: Any) -> bool:
    """Tells whether the user made a model with the library, which then is imported already."""
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
    return model, {f"0.model.{name}" for name in loading[1]["missing_keys"]}


@dataclass(frozen=True)
class Sentences:
    """Makes the batch of a sentence-transformers model, with the prompt that is the model's default."""

    model: Any
    truncate: bool

    def __call__(self, rows: Rows) -> Mapping[str, Any]:
        model = self.model
        whole = {} if self.truncate else {"processing_kwargs": {"text": {"truncation": False, "max_length": None}}}
        prompt = model.prompts.get(model.default_prompt_name)
        batch: dict[str, Any] = model.preprocess(rows.values, prompt=prompt, **whole)
        if "attention_mask" in batch:  # static embeddings read texts of any length
            processing = getattr(model[0], "processing_kwargs", {})
            limits = [model.max_seq_length, *(options.get("max_length") for options in processing.values())]
            check_lengths(rows, batch, min((limit for limit in limits if limit is not None), default=math.inf))
        return batch


def sentence_vectors(model: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """Returns the vectors that `model.encode` gives."""
    outputs = model(send_to_device(batch, device_of(model)))
    vectors: torch.Tensor = outputs["sentence_embedding"][:, : model.truncate_dim]
    return vectors


def plain_settings(
    source: str, modules: Sequence[Mapping[str, str]], revision: str | None
) -> tuple[str, bool, int | None]:
    """Returns how to read a checkpoint so that vectors are the library's: pooling, unit length, most tokens or None.

    Raises:
        MissingExtraError, ArgumentError: it is more than a plain one; the message says what to do.
    """
    names = [module["type"].rpartition(".")[2] for module in modules]
    own = all(module["type"].startswith("sentence_transformers.") for module in modules)
    if not own or names[:2] != ["Transformer", "Pooling"] or names[2:] not in ([], ["Normalize"]):
        raise _beyond(source, f"the parts {[module['type'] for module in modules]}")
    subfolder = modules[0]["path"]
    library = checkpoint_file(source, "config_sentence_transformers.json", revision, {})
    files = (checkpoint_file(source, file, revision, None, subfolder) for file in _TRANSFORMER_FILES)
    transformer: dict[str, Any] = next((file for file in files if file is not None), {})
    longest = transformer.pop("max_seq_length", None)
    settings = {name: library.get(name) for name in ("default_prompt_name", "truncate_dim", "model_type")}
    for name, value in (settings | transformer).items():
        if value and value != _PLAIN.get(name):
            raise _beyond(source, f"{name} {value!r}")
    tokenizer = checkpoint_file(source, "tokenizer_config.json", revision, {}, subfolder)
    template = tokenizer.get("chat_template") or _file(source, "chat_template.jinja", revision, subfolder)
    if template and "modality_config" not in transformer:
        raise _beyond(source, "a chat template")
    pooling = checkpoint_file(source, "config.json", revision, {}, modules[1]["path"])
    on = [name for name, value in pooling.items() if name.startswith("pooling_mode") and value]
    modes = pooling.get("pooling_mode", on)
    modes = [modes] if isinstance(modes, str) else modes
    ours = [_POOLINGS.get(mode.removeprefix("pooling_mode_")) for mode in modes]
    if len(ours) != 1 or ours[0] is None:
        raise _beyond(source, "another pooling than mean, first or last")
    return ours[0], len(names) == 3, longest


def _beyond(source: str, what: str) -> HFPruneError:
    says = f"`encoder`: {source!r} is a sentence-transformers checkpoint with {what}, which only that library computes"
    if library_is_installed():  # and was not asked, because of pooling=
        return ArgumentError(f"{says}; leave pooling= out")
    return MissingExtraError(f'{says}: pip install "hf_prune[text]"')


def _file(source: str, file: str, revision: str | None, subfolder: str = "") -> str | None:
    """Returns the path of a file in a folder or on the Hub, and None where there is no such file."""
    try:
        path: str | None = cached_file(source, file, revision=revision, subfolder=subfolder)
    except (OSError, HFValidationError):  # the latter of a folder that isn't there, from huggingface_hub before 1.0
        return None  # loading the model will say what is wrong, if more than this file is missing
    return path


def checkpoint_file(source: str, file: str, revision: str | None, default: Any = None, subfolder: str = "") -> Any:
    """Returns what the file holds, and the default where there is no such file."""
    path = _file(source, file, revision, subfolder)
    try:
        return default if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentError(f"`encoder`: {path!r} is damaged: {error}") from error
