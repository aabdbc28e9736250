"""Training dynamics as one safetensors file, and back."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError
from hf_prune.files import whole_file

_FORMAT = "hf_prune.dynamics/1"
_FEATURES = "features."


def write_file(
    path: str | os.PathLike[str],
    names: Sequence[str],
    signals: NDArray[np.float32],
    labels: NDArray[np.int64],
    features: Mapping[str, NDArray[np.float32]],
    task: str,
) -> None:
    """As TrainingDynamics.save; `names` are those of the signals."""
    from safetensors.numpy import save_file

    tensors = {"signals": signals, "labels": labels}
    tensors |= {_FEATURES + moment: array for moment, array in features.items()}
    with whole_file(path, suggested="dynamics.safetensors") as complete:
        contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        metadata = {"format": _FORMAT, "signals": json.dumps(names), "task": task}
        save_file(contiguous, complete, metadata=metadata)


def read_file(
    path: str | os.PathLike[str], names: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.int64], dict[str, NDArray[np.float32]], str]:
    """Signals, labels, features and task, as TrainingDynamics.load."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise ArgumentError(f"`dynamics`: no file at {os.fspath(path)!r}; wanted one that TrainingDynamics.save wrote")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, there = file.metadata() or {}, file.keys()
            ours = metadata.get("format") == _FORMAT and metadata.get("signals") == json.dumps(names)
            # Another program's tensors may be huge, or of a type that numpy lacks.
            if not ours or not {"signals", "labels"} <= set(there):
                raise ArgumentError(f"`dynamics`: {os.fspath(path)!r} was not written by TrainingDynamics.save")
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in there}
    except SafetensorError as error:
        raise ArgumentError(f"`dynamics`: {os.fspath(path)!r} is damaged or no safetensors file ({error})") from error
    features = {name.removeprefix(_FEATURES): tensors[name] for name in tensors if name.startswith(_FEATURES)}
    return tensors["signals"], tensors["labels"], features, metadata.get("task", "single-label")
