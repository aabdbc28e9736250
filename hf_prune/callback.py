"""Recording training dynamics under an unmodified Trainer, in the forward passes that it does anyway."""

import logging
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_prune.capture import Seen, Tap, head_of
from hf_prune.dynamics import SIGNALS, UNSEEN, TrainingDynamics
from hf_prune.errors import ArgumentError, ArgumentTypeError

logger = logging.getLogger(__name__)

EARLY, EARLIEST = 0.2, 3
"""Share of the planned epochs after which the early features are taken, and the epoch before which they never are.

In its first epochs a network's features tell classes less well apart than its inputs do: with runs of 4 to 12 epochs
on letter and satimage, wrong labels were found better by the third epoch's than by those of a fifth of the run.
"""


class PruningTrainerCallback(TrainerCallback):
    """Records loss, probability of the true class, margin, correctness and EL2N of every example in every epoch.

    Give it to any Trainer, `Trainer(..., callbacks=[recorder])`, and nothing else changes: no forward pass is added,
    and weights and random numbers are those of a run without it. The values are those of the training forward passes,
    with dropout and augmentation where the run has them. Evaluation is not recorded.

    Works for single-label classification with logits of shape (batch, classes), in one process. Rows are positions in
    the Trainer's train_dataset. Rows that an epoch didn't show are NaN.

    Args:
        features: also record the input of the classification head, at an early epoch (a fifth of the planned ones,
            and the third at the earliest) and at each row's last pass, for `embeddings`. True finds the last Linear
            layer with as many outputs as the model has labels; a name, as in `model.named_modules()`, takes that
            module's input.

    Memory: 20 bytes a row and epoch, and with features 8 bytes a row and dimension.

    >>> from hf_prune import PruningTrainerCallback
    >>> recorder = PruningTrainerCallback(features=True)
    >>> # Trainer(model, args, train_dataset=ds, callbacks=[recorder]).train()
    >>> # ds.prune("d2", keep=0.3, dynamics=recorder)
    """

    def __init__(self, *, features: bool | str = False) -> None:
        if not isinstance(features, bool | str):
            raise ArgumentTypeError(f"`features`: wanted True, False or the name of a module, got {features!r}")
        self.features = features
        self._tap: Tap | None = None
        self._recording: _Recording | None = None

    @property
    def dynamics(self) -> TrainingDynamics:
        """What was recorded of the last run, up to its last finished epoch."""
        if self._recording is None or not self._recording.finished:
            raise ArgumentError(
                "`dynamics`: nothing is recorded yet: pass this callback to a Trainer, callbacks=[recorder], and "
                "train it for at least one epoch"
            )
        return self._recording.dynamics()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._detach()  # a run that crashed, or is tried again with another batch size, never said that it ended
        if args.world_size > 1 or args.n_gpu > 1:
            raise ArgumentError(
                f"PruningTrainerCallback records one process on one device; this run has {args.world_size} processes "
                f"and {args.n_gpu} GPUs a process"
            )
        loader = kwargs["train_dataloader"]
        # accelerate wraps the loader that fetches and collates; what is set on the wrapper never reaches it.
        loader = getattr(loader, "base_dataloader", loader)
        streaming = isinstance(loader.dataset, torch.utils.data.IterableDataset)
        if streaming or not hasattr(loader.dataset, "__len__"):
            raise ArgumentError(
                "PruningTrainerCallback needs a train_dataset with rows that can be counted; this one is streaming: "
                "load it without streaming=True"
            )
        epochs = math.ceil(state.num_train_epochs)
        # As the Trainer counts where it resumes; state.epoch is that of the batch size before.
        steps_an_epoch = max(1, math.ceil(len(kwargs["train_dataloader"]) / args.gradient_accumulation_steps))
        self._recording = _Recording(len(loader.dataset), epochs, first=state.global_step // steps_an_epoch)
        head = head_of(kwargs["model"], self.features) if self.features else None
        label_names = args.label_names or ["labels"]
        self._tap = Tap(loader, kwargs["model"], label_names[0], head, self._recording.add)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._running().begin_epoch()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._running().end_epoch()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._detach()

    def _running(self) -> "_Recording":
        assert self._recording is not None, "the Trainer says when training begins before it says that an epoch does"
        return self._recording

    def _detach(self) -> None:
        if self._tap is not None:
            self._tap.close()
            self._tap = None


BUFFERED_VALUES = 2**22
"""Floats that wait on the model's device before they are moved, so that a step needn't wait for a copy."""


class _Recording:
    """The arrays of one run, filled batch by batch.

    Args:
        n: rows in the train dataset.
        epochs: planned epochs.
        first: the epoch at which the run starts, above 0 where it was resumed.
    """

    def __init__(self, n: int, epochs: int, first: int) -> None:
        self.finished = first
        # Untouched pages cost nothing, so epochs that an early stop leaves out don't either.
        self._signals = np.empty((len(SIGNALS), epochs, n), dtype=np.float32)
        self._labels = np.full(n, UNSEEN, dtype=np.int64)
        self._features: dict[str, NDArray[np.float32]] = {}
        self._early = min(epochs, max(EARLIEST, round(EARLY * epochs))) - 1
        self._waiting: list[Seen] = []
        self._waiting_values = 0
        if first:
            logger.warning("the run was resumed: epochs before %d are not recorded and are NaN in the dynamics", first)
            self._signals[:, :first] = np.nan

    def begin_epoch(self) -> None:
        self._signals[:, self.finished] = np.nan

    def add(self, seen: Seen) -> None:
        self._waiting.append(seen)
        self._waiting_values += seen.signals.numel() + (0 if seen.features is None else seen.features.numel())
        if self._waiting_values > BUFFERED_VALUES:
            self._store()

    def end_epoch(self) -> None:
        self._store()
        self.finished += 1

    def dynamics(self) -> TrainingDynamics:
        return TrainingDynamics(self._signals[:, : self.finished], self._labels, self._features)

    def _store(self) -> None:
        if not self._waiting:
            return
        ids, labels, signals = (torch.cat(parts).cpu().numpy() for parts in list(zip(*self._waiting, strict=True))[:3])
        if (labels < 0).any():
            first = np.argmax(labels < 0)
            raise ArgumentError(
                f"PruningTrainerCallback: row {ids[first]} of the train dataset has the label {labels[first]}"
            )
        self._labels[ids] = labels
        self._signals[:, self.finished, ids] = signals.T
        if self._waiting[0].features is not None:
            features = torch.cat([seen.features for seen in self._waiting if seen.features is not None]).cpu().numpy()
            for moment in ("early", "last") if self.finished <= self._early else ("last",):
                self._array(moment, features.shape[1])[ids] = features
        self._waiting, self._waiting_values = [], 0

    def _array(self, moment: str, d: int) -> NDArray[np.float32]:
        if moment not in self._features:
            self._features[moment] = np.full((len(self._labels), d), np.nan, dtype=np.float32)
        return self._features[moment]
