"""What the output of a training pass says of the rows of its batch, and of which task the run is."""

from typing import Any, NamedTuple

import torch
from torch import nn

from hf_prune.dynamics.formulas import signals_of
from hf_prune.errors import ArgumentError
from hf_prune.recording.guess import check_task, task_of
from hf_prune.recording.matching import Batch
from hf_prune.recording.order import POSITIONS
from hf_prune.recording.outputs import logits_in, loss_in, vectors_of
from hf_prune.recording.tasks import example_signals, row_labels
from hf_prune.recording.token_outputs import NAMES, TASK, check_tokens, has_tokens_only, token_signals


class BatchSignals(NamedTuple):
    """What one batch said of its rows, on the model's device.

    Attributes:
        ids: (batch,) int64 positions in the train dataset; negative for rows that are not recorded.
        labels: (batch,) int64, UNSEEN for tasks whose labels are no classes of rows, UNLABELLED for rows without any.
        signals: (batch, quantities) float32 in the order of `names`.
        features: (batch, d) float32 input of the head, or None.
        task: one of `formulas.TASKS`.
        names: of the quantities: all that the task has, or fewer.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    signals: torch.Tensor
    features: torch.Tensor | None
    task: str
    names: tuple[str, ...]


class Reader:
    """Reads outputs, by a task that is told or found in the first batch and held against the loss reported for it.

    Args:
        task: one of `formulas.TASKS`; None reads it from the first batch.
        wants_features: whether rows have a vector, too.

    Attributes:
        task: the task; None before it is known.
        is_checked: whether a batch had a label, so that the task could be held against the loss reported.
        loss_agrees: whether the losses of rows make the loss that the model reported for that batch.
    """

    def __init__(self, task: str | None, *, wants_features: bool) -> None:
        self.task, self._is_named, self._wants_features = task, task is not None, wants_features
        self.is_checked = self.loss_agrees = False
        self._names: tuple[str, ...] | None = None

    def settle(self, task: str) -> None:
        """Take a task as told and checked."""
        self.task, self.is_checked = task, True

    def read(
        self,
        module: nn.Module,
        batch: Batch,
        output: Any,
        *,
        features: torch.Tensor | None,
        items: Any,
    ) -> BatchSignals:
        """Read the output of a pass of `module` over a batch.

        Args:
            features: (batch, d) what the head took, or None.
            items: by what the model divides its sum of losses, where the loop says it.

        Raises:
            ArgumentError: it can't be recorded.
        """
        without_logits = has_tokens_only(output)
        logits = output["log_probs"] if without_logits else logits_in(output, batch.label_names).detach()
        labels = batch.labels.to(logits.device, non_blocking=True)
        _check_rows(batch.ids, labels, logits)
        if without_logits:
            signals = token_signals(output)
            self.is_checked = self.is_checked or check_tokens(output, signals, self.task)
            self.task = TASK
        else:
            if self.task is None and batch.label_names == POSITIONS:
                self.task = "question-answering"
            if not self.is_checked:
                self._settle_task(module, labels, logits, loss_in(output), items)
            assert self.task is not None
            signals = example_signals(self.task, logits, labels)
        names = NAMES if without_logits else signals_of(self.task)
        if names != (self._names or names):
            raise ArgumentError("PruningTrainerCallback needs logits in all passes of a run, or in none")
        if self._wants_features:
            features = vectors_of(features, self.task, labels, logits)
        self._names, ids = names, batch.ids.to(logits.device, non_blocking=True)
        return BatchSignals(ids, row_labels(self.task, labels, signals), signals, features, self.task, names)

    def _settle_task(
        self, module: nn.Module, labels: torch.Tensor, logits: torch.Tensor, loss: Any, items: Any
    ) -> None:
        """Tell the task from the first batch, and hold it against the first loss that the model reports."""
        task = self.task or task_of(module, labels, logits, loss=loss, items=items)
        if not bool(example_signals(task, logits, labels)[:, 0].isnan().all()):
            named = self._is_named
            self.loss_agrees = check_task(task, module, labels, logits, loss=loss, items=items, named=named)
            self.is_checked = True
        self.task = task


def _check_rows(ids: torch.Tensor, labels: torch.Tensor, logits: torch.Tensor) -> None:
    if len(ids) != len(logits):
        raise ArgumentError(
            f"PruningTrainerCallback wants labels and logits for each of the batch's {len(ids)} rows; got labels "
            f"{tuple(labels.shape)} and logits {tuple(logits.shape)}: does the model leave out rows?"
        )
