"""Training dynamics as one safetensors file, and back."""

import os
from pathlib import Path

import numpy as np

from hf_prune.dynamics.contents import FEATURES, Contents
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.errors import ArgumentError
from hf_prune.files import whole_file

_FORMAT = "hf_prune.dynamics/2"
_LABELS = "labels"


def write_file(path: str | os.PathLike[str], run: Contents) -> None:
    """Write one tensor for each signal under its name, the labels, and the features under `features.MOMENT`."""
    from safetensors.numpy import save_file

    tensors = {**run.signals, _LABELS: run.labels}
    tensors |= {FEATURES + moment: array for moment, array in run.features.items()}
    with whole_file(path, suggested="dynamics.safetensors") as complete:
        contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        save_file(contiguous, complete, metadata={"format": _FORMAT, "task": run.task})


def read_file(path: str | os.PathLike[str]) -> Contents:
    """Read what `write_file` wrote, with the signals that the file holds and this version knows.

    Raises:
        ArgumentError: no such file, or one that is damaged or another program's.
    """
    from safetensors import SafetensorError, safe_open

    shown = f"`dynamics`: {os.fspath(path)!r}"
    if not Path(path).is_file():
        raise ArgumentError(f"`dynamics`: no file at {os.fspath(path)!r}; wanted one that TrainingDynamics.save wrote")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, names = file.metadata() or {}, file.keys()
            # Another program's tensors may be huge, or of a type that numpy lacks.
            if metadata.get("format") != _FORMAT or _LABELS not in names or not set(SIGNALS) & set(names):
                raise ArgumentError(f"{shown} was not written by TrainingDynamics.save")
            signals = {name: file.get_tensor(name) for name in SIGNALS if name in names}
            features = {
                name.removeprefix(FEATURES): file.get_tensor(name) for name in names if name.startswith(FEATURES)
            }
            return Contents(signals, file.get_tensor(_LABELS), features, metadata.get("task", "single-label"))
    except SafetensorError as error:
        raise ArgumentError(f"{shown} is damaged or no safetensors file ({error})") from error
