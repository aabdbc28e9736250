"""Recording training dynamics under an unmodified Trainer, in the forward passes that it does anyway."""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_prune.arguments import one_of, true_or_false, whole_number
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.dynamics.formulas import TASKS
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.models import head_of
from hf_prune.recording.arrays import Recording
from hf_prune.recording.checkpoints import Checkpoints
from hf_prune.recording.clean_pass import clean_pass, rehearse
from hf_prune.recording.loader import bare_loader, unwatch_rest, watch_rest, watchers
from hf_prune.recording.losses import LossTap, has_own_loss
from hf_prune.recording.order import POSITIONS
from hf_prune.recording.refused import (
    check_arguments,
    check_loop,
    check_model,
    check_smoothing,
    checked_after_a_step,
)
from hf_prune.recording.tap import Tap
from hf_prune.recording.train_data import TrainData, digests_of
from hf_prune.recording.trl_runs import check_trl

logger = logging.getLogger(__name__)


class PruningTrainerCallback(TrainerCallback):
    """Records loss, probability of the true class, margin, correctness and EL2N of every example in every epoch.

    Give it to any Trainer, `Trainer(..., callbacks=[recorder])`, and nothing else changes: no forward pass is added,
    and weights and random numbers are those of a run without it. The values are those of the training forward passes,
    with dropout and augmentation where the run has them. Evaluation is not recorded. The loss that is recorded is that
    of the task, without weights, smoothing or further terms, whatever the run trains.

    Works for classification with one label a row, several or a soft one, one logit with a binary loss, multiple
    choice, regression, question answering, token classification, and causal and sequence-to-sequence language models;
    hf_prune.dynamics.formulas says what the values mean. Rows are positions in the Trainer's train_dataset. Rows that
    an epoch didn't show are NaN; of a row that it showed twice, or that two passes of a step are over, the first pass
    counts. A row whose label the loss leaves out (-100) is NaN, too, and has -100 in `dynamics.labels`. Values that
    are not finite, as when a run diverges, are infinite: they don't end the run, and are an error where a score reads
    them. TRL's SFTTrainer makes no logits, so its runs hold loss, p_true and correct, and all with clean_eval=True.

    Of sentence-transformers' trainers the losses of a row's logits and label are recorded; TRAINERS.md has what else
    was tried. LightningPruningCallback is for Lightning's Trainer.

    Nothing is added to what the model, a teacher or the loss is given. A pass is over a batch of the loader if it
    takes one of the batch's tensors, or their values. What can't be recorded is an error before the run, or after its
    first step: a model of detection, segmentation or CTC; a collate function that drops, packs or reorders rows (which
    shows where rows and batch have a column in common); a pass that takes no tensor of the batch, or only a part of
    the model; a task that the loss contradicts that the model reports; a loss that isn't made of the logits that the
    model returns, as its gradient shows. What happens later than that ends no run: such rows are NaN in that epoch,
    and the log says why.

    With several processes (`torchrun`, `accelerate launch`) the first one gets what all have seen, and has `dynamics`.
    Every checkpoint of the Trainer gets a file with the dynamics so far, `hf_prune_dynamics.safetensors`, and a run
    that goes on from it, also within an epoch, ends with those of an uninterrupted one.

    Streams without positions and several GPUs in one process are refused at the start. GPUs, FSDP, DeepSpeed and
    tensor parallelism are untested, which the log says where it can tell.

    Args:
        features: also record the input of the classification head, at an early epoch (a fifth of the planned ones,
            and the third at the earliest) and at each row's last pass. `prune` reads the early ones as embeddings,
            which have not memorised wrong labels yet, and the last where a row has no early ones; GraNd reads the
            last. True finds the last Linear layer with as many outputs as the model has labels; a name, as in
            `model.named_modules()`, takes that module's input.
        clean_eval: record one pass in evaluation mode at the end of each epoch instead of the training passes: without
            dropout, and all rows by the same weights. It costs a prediction of all rows an epoch and changes nothing
            else in the run. An epoch that ends early has all rows too.
        every: 2 keeps the values of the first, third, fifth epoch and so on, in half of the memory; `dynamics.epochs`
            counts those that are kept. Features are of the same epochs as with 1.
        id_column: for a train_dataset that is read in a stream, the column with the position of each row, from 0 to
            num_examples - 1, which are then the rows of `dynamics`. A run that goes on from a checkpoint records what
            it still shows.
        num_examples: rows of such a dataset.
        task: "single-label", "multiple-choice", "soft-label", "binary", "multi-label", "regression",
            "token-classification", "causal-lm", "seq2seq" or "question-answering"; None reads it from the model's
            class and the shapes of the first batch, and holds it against the loss that the model reports for it. Where
            these leave it open it has to be named.
        resume_from: folder of the checkpoint from which `train` goes on, where it is not in the run's output_dir.

    Memory: 4 bytes a row, epoch and signal, and with features 8 bytes a row and dimension, in the first process;
    arrays above 1 GiB lie in a temporary file that is mapped into memory. As much is written with every checkpoint.
    All columns of a `datasets.Dataset` are read once when the run starts, by which its rows are recognised later:
    0.1 ms for an image of 86 kB, 2 to 4% of the time in which an epoch decodes and resizes it, and 4 to 20 ns for
    each number of a column of arrays.

    >>> from hf_prune import PruningTrainerCallback
    >>> recorder = PruningTrainerCallback(features=True)
    >>> # Trainer(model, args, train_dataset=ds, callbacks=[recorder]).train()
    >>> # ds.prune("d2", keep=0.3, dynamics=recorder)
    """

    def __init__(
        self,
        *,
        features: bool | str = False,
        clean_eval: bool = False,
        every: int = 1,
        id_column: str | None = None,
        num_examples: int | None = None,
        task: str | None = None,
        resume_from: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(features, bool | str):
            raise ArgumentTypeError(f"`features`: wanted True, False or the name of a module, got {features!r}")
        if (id_column is None) != (num_examples is None):
            raise ArgumentError("`id_column`, `num_examples`: give both, for a streaming dataset, or none")
        if id_column is not None and clean_eval:
            raise ArgumentError("`clean_eval`: a streaming dataset is read once an epoch; leave it out")
        self.id_column = id_column
        self.num_examples = None if num_examples is None else whole_number("num_examples", num_examples, at_least=1)
        self.features = features
        self.clean_eval = true_or_false("clean_eval", clean_eval)
        self.every = whole_number("every", every, at_least=1)
        self.task = None if task is None else one_of("task", task, TASKS)
        self.resume_from = resume_from
        self._tap: Tap | None = None
        self._recording = Recording(0, epochs=0)
        self._looping = False
        self._trained_on: TrainData | None = None
        self._told: str | None = None
        self._checkpoints = Checkpoints(self._recording, 0, resume_from)

    @property
    def dynamics(self) -> TrainingDynamics:
        """What was recorded of the last run, up to its last finished epoch."""
        if not self._recording.whole:
            raise ArgumentError(
                "`dynamics`: the first process has them; read them there, as in `if trainer.is_world_process_zero():`"
            )
        if not self._recording.finished:
            raise ArgumentError(
                "`dynamics`: nothing is recorded yet: pass this callback to a Trainer, callbacks=[recorder], and "
                "train it for at least one epoch"
            )
        return self._recording.dynamics()

    @contextmanager
    def record(self, model: torch.nn.Module, dataloader: Any, *, label_name: str | None = None) -> Iterator[None]:
        """Record one epoch of a loop without a Trainer, a plain one or accelerate's; the next call has the next epoch.

        An epoch that an error ended is not kept.

            for epoch in range(3):
                with recorder.record(model, loader):
                    for batch in loader:
                        model(**batch)["loss"].backward()

        Args:
            model: called in training mode with tensors of a batch, as they are or on another device.
            dataloader: the one that the loop iterates, as accelerate prepared it. Its batches are dicts, or tuples and
                lists that end with the labels, and its workers may not outlive an epoch.
            label_name: the batch's key for labels; by default "labels", "label", or those of question answering.

        Raises:
            ArgumentError: no pass of the model took a batch of this loader, or the loader is that of another dataset.
        """
        if self.clean_eval:
            raise ArgumentError("`clean_eval`: a loop without a Trainer has no such pass; leave it out")
        check_loop(model, dataloader)
        loader = bare_loader(dataloader)
        data = TrainData.of(loader, self.num_examples)
        if self._trained_on is None or not self._looping:
            self._recording, self._looping = Recording(data.n, epochs=None, every=self.every), True
            self._told, self._trained_on = None, data
            self._keep_digests(loader)
        data.check_same(self._trained_on)
        recording = self._recording
        recording.begin_epoch()
        names = None if label_name is None else (label_name,)
        tap = self._tap_of(dataloader, extract_model_from_parallel(model), names)
        if self._told is not None:
            tap.settle(self._told)  # as the first epoch did, also where this one's first batch leaves it open
        try:
            with checked_after_a_step(tap, model):
                yield
        finally:
            tap.close()
        tap.check()
        self._told = tap.task
        recording.end_epoch()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._detach()  # a run that crashed, or is tried again with another batch size, never said that it ended
        check_trl(args)
        loader = bare_loader(kwargs["train_dataloader"])
        self._looping = False
        check_smoothing(kwargs["model"], getattr(args, "label_smoothing_factor", 0))
        data = TrainData.of(loader, self.num_examples)
        data.say_if_dropped(self._trained_on, self._recording.finished)
        self._trained_on = data
        if self.id_column is None:
            check_arguments(args, data.n)
            epochs = math.ceil(state.num_train_epochs)
            # The Trainer counts so where it resumes; state.epoch is that of the batch size before.
            steps_an_epoch = max(1, math.ceil(len(kwargs["train_dataloader"]) / args.gradient_accumulation_steps))
            first = state.global_step // steps_an_epoch
            self._recording = Recording(data.n, epochs, first, self.every)
            self._keep_digests(loader)
        else:
            check_arguments(args, rows=0)
            if step := state.global_step:
                logger.warning("the run goes on in a stream: epochs before step %d are not recorded", step)
            self._recording, steps_an_epoch = Recording(data.n, epochs=None, every=self.every), None
        self._checkpoints = Checkpoints(self._recording, watchers(loader), self.resume_from)
        if self._recording.whole:
            self._checkpoints.begin(args, state, steps_an_epoch)
        names = tuple(args.label_names) if args.label_names else None
        names = names if names is None or set(names) == set(POSITIONS) else names[:1]
        self._tap = self._tap_of(kwargs["train_dataloader"], kwargs["model"], names)
        if state.global_step:
            watch_rest(kwargs["train_dataloader"])

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        self._recording.begin_epoch()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        tap = self._tap
        if tap is not None and self.clean_eval and not tap.has_recorded:
            tap.rehearses = True
            rehearse(kwargs["model"], bare_loader(kwargs["train_dataloader"]), args.per_device_eval_batch_size)
            tap.rehearses = False
            tap.check()
        if tap is not None:
            tap.step_is_over()
        self._checkpoints.save_ahead(args, state, control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.clean_eval:
            clean_pass(kwargs["model"], bare_loader(kwargs["train_dataloader"]), args.per_device_eval_batch_size)
        self._recording.end_epoch()
        self._checkpoints.save_ahead(args, state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._checkpoints.save(args, state)

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        self._checkpoints.discard_ahead()
        self._detach()

    def _keep_digests(self, loader: Any) -> None:
        if self.id_column is None and self._recording.whole:
            self._recording.digests = digests_of(loader)

    def _tap_of(self, loader: Any, model: torch.nn.Module, label_names: tuple[str, ...] | None) -> Tap:
        check_model(model)
        head = head_of(model, self.features) if self.features else None
        receive, ids, in_training = self._recording.add, self.id_column, not self.clean_eval
        kind = LossTap if has_own_loss(model) else Tap
        return kind(loader, model, label_names, head, receive, self.task, id_column=ids, in_training=in_training)

    def _detach(self) -> None:
        if self._tap is not None:
            self._tap.close()
            self._tap = None
            unwatch_rest()
