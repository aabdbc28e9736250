"""Recording of loops without a Trainer, epoch by epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate.utils import extract_model_from_parallel
from torch import nn

from hf_prune.errors import ArgumentError
from hf_prune.models import head_of
from hf_prune.recording.arrays import Recording
from hf_prune.recording.tap import Tap, bare_loader, check_countable


def loop_recording(dataloader: Any, before: Recording | None, every: int) -> Recording:
    """The recording of the epochs `before` this one, or a new one where there are none.

    Raises:
        ArgumentError: the loader is that of another dataset, or of a stream.
    """
    dataset = bare_loader(dataloader).dataset
    if before is None:
        check_countable(dataset)
        return Recording(len(dataset), epochs=None, every=every)
    if before.n != len(dataset):
        raise ArgumentError(
            f"`dataloader`: the epochs before are of {before.n} rows, this dataset has {len(dataset)}; "
            "take a new PruningTrainerCallback for another dataset"
        )
    return before


@contextmanager
def recorded_epoch(
    recording: Recording,
    model: nn.Module,
    dataloader: Any,
    *,
    label_name: str,
    features: bool | str,
    task: str | None,
) -> Iterator[None]:
    """Record what the block shows `model` of `dataloader` as one epoch, unless the block ends with an error.

    Args:
        label_name, features, task: those of PruningTrainerCallback and its `record`.

    Raises:
        ArgumentError: no pass of the model took a batch of this loader.
    """
    bare = extract_model_from_parallel(model)
    head = head_of(bare, features) if features else None
    recording.begin_epoch()
    tap = Tap(bare_loader(dataloader), bare, label_name, head, recording.add, task)
    try:
        yield
    finally:
        tap.close()
    if not recording.saw_any:
        raise ArgumentError(
            "`model`: no pass in training mode took a batch of `dataloader`; call it with the whole batch, as in "
            "model(**batch), after model.train(), and use no persistent_workers"
        )
    recording.end_epoch()
