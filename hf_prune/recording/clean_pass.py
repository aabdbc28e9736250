"""One more pass over the training rows, in evaluation mode, that leaves no trace in the run."""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import distributed, nn
from torch.utils.data import DataLoader

from hf_prune.errors import ArgumentError
from hf_prune.models import device_of, evaluation_mode, processes


def clean_pass(model: nn.Module, loader: Any, batch_size: int, batches: int | None = None) -> None:
    """Let `model` predict the rows of `loader`, all or of some batches, which its own collate function makes.

    With several processes each takes its part of the rows. Random numbers and the mode of every module are afterwards
    what they were; buffers don't change in evaluation mode.
    """
    part = distributed.get_rank() if processes() > 1 else 0
    rows = range(part, len(loader.dataset), processes())
    predicted = DataLoader(loader.dataset, batch_size=batch_size, sampler=rows, collate_fn=loader.collate_fn)
    with _unchanged_random_numbers(), torch.no_grad(), evaluation_mode(model):
        for batch in itertools.islice(predicted, batches):
            model(**loader.collate_fn.handed_over(send_to_device(batch, device_of(model))))


def rehearse(model: nn.Module, loader: Any, batch_size: int) -> None:
    """Predict one batch.

    Raises:
        ArgumentError: the model can't be called with a whole batch.
    """
    try:
        clean_pass(model, loader, batch_size, batches=1)
    except TypeError as error:
        raise ArgumentError(
            f"`clean_eval`: wanted a model that can be called with a whole batch, as in model(**batch), got {error}; "
            "leave clean_eval out to record the passes of the training"
        ) from error


@contextmanager
def _unchanged_random_numbers() -> Iterator[None]:
    """A loader draws its seed from torch's numbers, and transforms draw from any."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
