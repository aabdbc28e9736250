"""Digests that tell one encoder from another, so that its vectors are not taken for the other's."""

import hashlib
import inspect
import json
import pickle
import tempfile
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from datasets.fingerprint import Hasher
from torch import nn

from hf_prune.errors import ArgumentError

LIBRARIES = ("torch.", "transformers.")
"""Modules whose code goes with the version of their library, and not with the encoder."""

PASSING = frozenset({"truncation", "padding", "name_or_path", "is_local"})
"""Entries of a tokenizer's files that its last call has left there, or that say where it was loaded from."""


def model_digest(model: nn.Module, without: Container[str] = ()) -> str:
    """Digests the classes, the settings and every weight but those named, wherever the model came from."""
    digest = hashlib.blake2b(digest_size=16)
    classes = {f"{cls.__module__}.{cls.__qualname__}": cls for cls in map(type, model.modules())}
    for name, cls in sorted(classes.items()):
        digest.update(name.encode())
        if not name.startswith(LIBRARIES):
            with suppress(OSError, TypeError):  # typed into an interpreter
                digest.update(inspect.getsource(cls).encode())
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        settings = {name: value for name, value in config.to_dict().items() if not name.startswith("_")}
        settings.pop("transformers_version", None)
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, torch.Tensor) and name not in without:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            # numpy has bytes, and no bfloat16.
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def processor_digest(processor: Any) -> str:
    """Digests a tokenizer or image processor by the files that it saves."""
    digest = hashlib.blake2b(f"{type(processor).__qualname__}".encode(), digest_size=16)
    with tempfile.TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        for file in sorted(Path(folder).rglob("*")):
            content = file.read_bytes() if file.is_file() else b""
            if file.name in ("tokenizer.json", "tokenizer_config.json"):
                saved = json.loads(content)
                content = json.dumps({key: saved[key] for key in sorted(saved) if key not in PASSING}).encode()
            digest.update(f"{file.relative_to(folder)} {len(content)}".encode())
            digest.update(content)
    return digest.hexdigest()


def function_digest(argument: str, function: Any) -> str:
    """Digests a function's code and all that it refers to, as `Dataset.map` tells functions apart.

    Raises:
        ArgumentError: it refers to something that can't be read, such as an open connection.
    """
    try:
        return str(Hasher.hash(function))
    except (pickle.PickleError, TypeError, ValueError, AttributeError, RuntimeError, OSError, ImportError) as error:
        raise ArgumentError(
            f"`{argument}`: can't tell {function!r} from other functions ({type(error).__name__}: {error}); pass "
            "name= with a text that changes whenever the vectors do"
        ) from error
