"""Taps a loader and a model: which batch a training pass is about, and what its logits say of the batch's rows."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hf_prune.errors import ArgumentError
from hf_prune.recording.gradients import Gradients
from hf_prune.recording.ids import GAP, GAPS, labels_in
from hf_prune.recording.loader import unwatch, watch
from hf_prune.recording.matching import Batch, same_values, tensors_in
from hf_prune.recording.order import label_names_in
from hf_prune.recording.reading import BatchSignals, Reader

logger = logging.getLogger(__name__)

HELD = 16
"""Batches that are kept for a pass that takes none of their tensors; older ones only while the loop holds them."""

UNHEARD = (
    "PruningTrainerCallback saw no forward pass of the model in training mode over the batch: call the whole model, "
    "not a part of it as model.bert(...), in training mode, with gradients and tensors of the batch"
)
UNKNOWN = (
    "PruningTrainerCallback can't tell which rows a forward pass is about, as it takes no tensor of the batch as the "
    "loader gave it: pass at least one as it is, as the labels or the attention mask, and augment or tokenize in the "
    "dataset or the collate function"
)
BEFORE = (
    "PruningTrainerCallback saw forward passes of the model and no batch of the loader: begin to record before the "
    "loop calls iter(loader), and iterate the loader that was given to it"
)


class Tap:
    """Taps a data loader and a model until `close`: every training batch goes to `receive`.

    What can't be recorded is an error until the first batch was; later it is left out, and the log says so.

    Args:
        loader: the one that the loop iterates.
        model: the module whose forward pass takes the batch.
        label_names: the batch's keys for labels; None for the usual ones.
        head: the module whose input is the features, or None.
        receive: called with every training batch.
        task: one of `formulas.TASKS`; None reads it from the first batch.
        id_column: the entry of each row that holds its position, for datasets that are read in a stream.
        in_training: whether the passes in training mode are received, or else those in evaluation mode, which only
            batches of the training loader can be.

    Attributes:
        rehearses: whether what is recorded is only held against what can be, and not received.
    """

    def __init__(
        self,
        loader: Any,
        model: nn.Module,
        label_names: tuple[str, ...] | None,
        head: nn.Module | None,
        receive: Callable[[BatchSignals], None],
        task: str | None = None,
        *,
        id_column: str | None = None,
        in_training: bool = True,
    ) -> None:
        self._label_names = label_names
        self._loader, self._in_training, self._receive = loader, in_training, receive
        self._reader, self.rehearses = Reader(task, wants_features=head is not None), False
        self._gradients: Gradients | None = Gradients()
        self._recorded, self._problem = False, ""
        self._waiting: list[Batch] = []
        self._passes = 0  # of which nothing was recorded, before the first that was
        self._unmatched = ""  # why a pass since the step began is over no batch
        self._arriving: Batch | None = None
        self._same: torch.Tensor | None = None
        self._items: Any = None
        self._features: torch.Tensor | None = None
        self._collate = watch(loader, self.take, label_names, id_column)
        self._hooks: list[Any] = []
        self._listen(model)
        if head is not None:
            self._hooks.append(head.register_forward_pre_hook(hidden(self._read_features)))

    def _listen(self, model: nn.Module) -> None:
        self._hooks += [
            model.register_forward_pre_hook(hidden(self._find_batch), with_kwargs=True),
            model.register_forward_hook(hidden(self._read_output)),
        ]

    def close(self) -> None:
        """Leave loader and model as they were."""
        for hook in self._hooks:
            hook.remove()
        if self._recorded and self._in_training and not all(batch.done for batch in self._waiting):
            self._leave_out(self._unmatched or UNHEARD)
        unwatch(self._loader, self.take)
        self._waiting.clear()

    def settle(self, task: str) -> None:
        """Take a task as told and checked, and the run as one that trains what is recorded."""
        self._reader.settle(task)
        self._gradients = None

    def check(self) -> None:
        """Raise the error of a run of which a step is over and nothing could be recorded."""
        if not self._recorded:
            raise ArgumentError(self._problem or (BEFORE if not self._waiting and self._passes else UNHEARD))

    def check_trained(self) -> None:
        """Raise the error of a run of which a step is over that trained something else than was recorded."""
        if self._gradients is not None and self._reader.is_checked:
            gradients, self._gradients = self._gradients, None
            gradients.check(loss_agrees=self._reader.loss_agrees)

    def _still_waiting(self) -> list[Batch]:
        """The batches that a pass may still take; of others that were not recorded the log says so."""
        for batch in self._waiting[:-HELD]:
            batch.whole = None
        waiting = [batch for batch in self._waiting if batch.may_come]
        if self._recorded and len(waiting) < sum(not batch.done for batch in self._waiting):
            self._leave_out(self._unmatched or UNHEARD)
        return waiting

    @property
    def has_begun(self) -> bool:
        """Whether the loop has taken a batch, or passed anything to the model."""
        return bool(self._waiting) or self._passes > 0

    @property
    def has_recorded(self) -> bool:
        """Whether any pass could be recorded."""
        return self._recorded

    @property
    def is_checked(self) -> bool:
        """Whether a step has shown that what is recorded is trained."""
        return self._gradients is None

    @property
    def task(self) -> str | None:
        """One of formulas.TASKS; None before it is told."""
        return self._reader.task

    def take(self, batch: Any, ids: torch.Tensor) -> None:
        """Take note of a batch that the loop gets, and of the positions of its rows."""
        self._waiting = self._still_waiting()
        if self._waiting and not self._recorded and self._passes:
            self.check()
        try:
            self._check_order(ids)
            names = self._label_names = self._label_names or label_names_in(batch)
            labels = labels_in(batch, names)
            _check_labels(labels, ids)
        except ArgumentError as error:
            if not self._recorded:
                raise
            self._leave_out(str(error))
            return
        self._waiting.append(Batch(batch, ids, labels, names))

    def step_is_over(self) -> None:
        """Forget the batches of a step, of which each should have been recorded."""
        if self._in_training:
            self.check()
        self.check_trained()
        if self._in_training and not all(batch.done for batch in self._waiting):
            self._leave_out(self._unmatched or UNHEARD)
        self._waiting.clear()
        self._unmatched = ""

    def _check_order(self, ids: torch.Tensor) -> None:
        # To look at ids on another device would wait for it, which only the first batches may.
        if not self._recorded or ids.device.type == "cpu":
            first = int(ids[0]) if len(ids) else 0
            if GAP <= first < GAP + len(GAPS):
                raise ArgumentError(f"PruningTrainerCallback {GAPS[first - GAP]}")

    def _leave_out(self, problem: str) -> None:
        """Keep what can't be recorded for the error at the end of the step, or say it once, where a run goes on."""
        if self._recorded and problem != self._problem:
            logger.warning("a batch is not recorded, its rows have no values in this epoch: %s", problem)
        if self._recorded or not self._problem:
            self._problem = problem

    def _find_batch(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self._arriving = self._same = None
        if self._collate.key in kwargs:  # of a loader that was made of the one that is watched
            self._collate.handed_over(kwargs)
        if self._waiting and self._waiting[-1].trains and not torch.is_grad_enabled():
            return args, kwargs  # of the model as its own teacher, say
        given = [*tensors_in(args), *tensors_in(kwargs)] if self._waiting else []
        batch = max(self._waiting, key=lambda batch: _given_of(batch, given), default=None)
        if batch is not None and not _given_of(batch, given):
            batch = None
        if module.training != self._in_training:
            if batch is not None:
                batch.is_over()
            return args, kwargs
        self._items = kwargs.get("num_items_in_batch")
        self._arriving = batch or self._of_same_values(given)
        if self._arriving is None:
            self._passes, self._unmatched = self._passes + 1, UNKNOWN
            if any(not batch.done for batch in self._waiting):
                if not self._recorded:
                    self._leave_out(UNKNOWN)
            elif not self._recorded and self._passes == 2:
                self.check()
        return args, kwargs

    def _of_same_values(self, given: list[tuple[Any, torch.Tensor]]) -> Batch | None:
        """The batch whose values are given: looked at on the spot, unless only one is left and a run goes on."""
        left = [batch for batch in self._waiting if not batch.done]
        for batch in left:
            same = same_values(batch.whole, given, batch.ids)
            if same is None:
                continue
            if self._recorded and len(left) == 1:
                self._same = same  # which decides, without waiting for the device, whether the values are kept
                return batch
            if bool(same):
                return batch
        return None

    def _read_features(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if self._arriving is not None:
            vectors = args and isinstance(args[0], torch.Tensor) and args[0].is_floating_point()
            self._features = args[0].detach().float() if vectors else None

    def _read_output(self, module: nn.Module, args: Any, output: Any) -> None:
        batch, self._arriving = self._arriving, None
        features, self._features = self._features, None
        if self._gradients is not None and not self._in_training and module.training:
            self._gradients.follow(output, self._label_names or ())
        if batch is None or batch.done:
            return
        self._passes += 1
        try:
            seen = self._reader.read(module, batch, output, features=features, items=self._items)
        except ArgumentError as error:
            self._leave_out(str(error))
            return
        self._recorded = True
        batch.is_over()
        if self._gradients is not None and self._in_training:
            self._gradients.follow(output, batch.label_names)
        if self._same is not None:
            seen = seen._replace(ids=torch.where(self._same, seen.ids, GAP + len(GAPS) - 1))
        if not self.rehearses:
            self._receive(seen)


def hidden(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook out of sight of the compiler, which would otherwise recompile for every step."""
    disable: Callable[[Any], Any] = torch.compiler.disable
    disabled: Callable[..., Any] = disable(hook)
    return disabled


def _given_of(batch: Batch, given: list[tuple[Any, torch.Tensor]]) -> int:
    return sum(batch.is_given(tensor) for _, tensor in given)


def _check_labels(labels: Any, ids: torch.Tensor) -> None:
    if not isinstance(labels, torch.Tensor):
        raise ArgumentError(
            f"PruningTrainerCallback wants labels in one tensor, got a {type(labels).__name__}: the labels of "
            "detection, segmentation and the like are no labels of rows, and can't be recorded"
        )
    if labels.ndim == 0 or len(labels) != len(ids):
        raise ArgumentError(
            f"PruningTrainerCallback wants labels for each of the batch's {len(ids)} rows; got labels "
            f"{tuple(labels.shape)}: does the collate function pack or leave out rows?"
        )
