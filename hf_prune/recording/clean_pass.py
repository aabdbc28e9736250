"""One more pass over the training rows, in evaluation mode, that leaves no trace in the run."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import distributed, nn
from torch.utils.data import DataLoader

from hf_prune.models import device_of, evaluation_mode, processes


def clean_pass(model: nn.Module, loader: Any, batch_size: int) -> None:
    """Let `model` predict all rows of `loader`, whose own collate function makes the batches.

    With several processes each takes its part of the rows. Random numbers and the mode of every module are afterwards
    what they were; buffers don't change in evaluation mode.
    """
    part = distributed.get_rank() if processes() > 1 else 0
    rows = range(part, len(loader.dataset), processes())
    batches = DataLoader(loader.dataset, batch_size=batch_size, sampler=rows, collate_fn=loader.collate_fn)
    with _unchanged_random_numbers(), torch.no_grad(), evaluation_mode(model):
        for batch in batches:
            model(**send_to_device(batch, device_of(model)))


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
