"""What a sentence-transformers checkpoint says about how token vectors become one vector a text."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, RepositoryNotFoundError

from hf_prune.errors import ArgumentError

_POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first", "pooling_mode_lasttoken": "last"}


@dataclass(frozen=True)
class SentenceSettings:
    """How to pool; the defaults are those of a checkpoint that says nothing.

    Attributes:
        pooling: "mean", "first" or "last".
        normalize: whether vectors get unit length.
        longest: tokens that are read, or None for as many as the model takes.
        subfolder: where the weights are.
    """

    pooling: str = "mean"
    normalize: bool = False
    longest: int | None = None
    subfolder: str = ""


def sentence_settings(source: str, revision: str | None = None) -> SentenceSettings:
    """Those of a folder or Hub id; the defaults where it is no sentence-transformers checkpoint.

    Raises:
        ArgumentError: it has a part that this function doesn't know.
    """
    modules = _json(source, "modules.json", revision)
    if modules is None:
        return SentenceSettings()
    parts = {module["type"].rpartition(".")[2]: module["path"] for module in modules}
    subfolder = parts.pop("Transformer", None)
    pooling = _pooling(source, parts.pop("Pooling", None), revision)
    normalize = parts.pop("Normalize", None) is not None
    if subfolder is None or pooling is None or parts:
        raise ArgumentError(
            f"`encoder`: {source!r} is a sentence-transformers checkpoint with more than mean, first or last pooling "
            f"({[module['type'] for module in modules]}); pass its own function, as in "
            f"encoder=SentenceTransformer({source!r}).encode"
        )
    limits = _json(source, f"{subfolder}/sentence_bert_config.json".lstrip("/"), revision) or {}
    return SentenceSettings(pooling, normalize, limits.get("max_seq_length"), subfolder)


def _pooling(source: str, path: str | None, revision: str | None) -> str | None:
    """The one way of pooling that is on, if it is one of ours."""
    settings = None if path is None else _json(source, f"{path}/config.json", revision)
    on = [key for key, value in (settings or {}).items() if key.startswith("pooling_mode") and value]
    return _POOLING.get(on[0]) if len(on) == 1 else None


def _json(source: str, file: str, revision: str | None) -> Any:
    """What the file holds; None where there is no such file."""
    if Path(source).is_dir():
        path = Path(source) / file
        if not path.is_file():
            return None
    else:
        try:
            path = Path(hf_hub_download(source, file, revision=revision))
        except (EntryNotFoundError, RepositoryNotFoundError, HFValidationError, OSError):
            return None  # loading the model will say what is wrong, if more than this file is missing
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentError(f"`encoder`: {str(path)!r} is damaged: {error}") from error
