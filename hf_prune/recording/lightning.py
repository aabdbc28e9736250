"""Recording training dynamics under Lightning's Trainer, by the parts that record transformers' and plain loops."""

from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from hf_prune.arguments import one_of, whole_number
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.dynamics.formulas import TASKS
from hf_prune.errors import ArgumentError, MissingExtraError
from hf_prune.models import head_of
from hf_prune.recording.arrays import Recording
from hf_prune.recording.refused import check_model
from hf_prune.recording.tap import Tap
from hf_prune.recording.train_data import TrainData, digests_of

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:  # said where it is used, so that this module can be read without it
    Callback = None


_Callback: Any = Callback or object


class LightningPruningCallback(_Callback):
    """Records what PruningTrainerCallback does, of a module whose `training_step` calls a model on the batch.

    Give it to Lightning's Trainer, `Trainer(callbacks=[recorder])`. Weights and random numbers are those of a run
    without it. The training data is one DataLoader over a dataset that can be counted; its batches are dicts, or
    tuples and lists that end with the labels. One process trains. What can't be recorded is an error before the run or
    after its first batch. A run that goes on from a checkpoint is recorded from there on, and NaN before.

    Args:
        model: the name of the module that `training_step` calls with tensors of the batch, and that returns logits;
            None takes the LightningModule's `model`, or the LightningModule itself where it has none.
        features: as in PruningTrainerCallback; a name is one within that module.
        every: as in PruningTrainerCallback.
        task: as in PruningTrainerCallback; a module that returns logits and no loss may need it.
        label_name: the batch's key for labels; by default "labels", "label", or those of question answering.

    >>> # recorder = hf_prune.LightningPruningCallback(model="net", features=True)
    >>> # lightning.Trainer(max_epochs=5, callbacks=[recorder]).fit(module, DataLoader(ds, batch_size=32))
    >>> # ds.prune("d2", keep=0.3, dynamics=recorder)
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        features: bool | str = False,
        every: int = 1,
        task: str | None = None,
        label_name: str | None = None,
    ) -> None:
        if Callback is None:
            raise MissingExtraError('LightningPruningCallback needs lightning: pip install "hf_prune[lightning]"')
        self.model, self.features, self.label_name = model, features, label_name
        self.every = whole_number("every", every, at_least=1)
        self.task = None if task is None else one_of("task", task, TASKS)
        self._tap: Tap | None = None
        self._source: Any = None
        self._recording = Recording(0, epochs=0)

    @property
    def dynamics(self) -> TrainingDynamics:
        """What was recorded of the last run, up to its last finished epoch."""
        if not self._recording.finished:
            raise ArgumentError(
                "`dynamics`: nothing is recorded yet: pass it to Lightning's Trainer, callbacks=[recorder], "
                "and fit for at least one epoch"
            )
        return self._recording.dynamics()

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._detach()
        if trainer.world_size > 1:
            raise ArgumentError(
                f"LightningPruningCallback records one process, got {trainer.world_size}; pass devices=1 to the "
                "Trainer, or train by transformers' Trainer or accelerate, of which several are recorded"
            )
        module = self._module_of(pl_module)
        # Lightning makes the first epoch's iterator before it calls any hook with the loader, so the loader is
        # watched where it is asked for.
        self._source = trainer.fit_loop._data_source
        ask = self._source.dataloader

        def watched() -> Any:
            loader = ask()
            self._begin(trainer, module, loader)
            return loader

        self._source.dataloader = watched

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._recording.begin_epoch()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if self._tap is None:
            return
        try:
            self._tap.step_is_over()
        except ArgumentError as error:
            raise ArgumentError(
                f"{error}. The module that was listened to is {type(self._module_of(pl_module)).__name__}; name "
                "another, as in LightningPruningCallback(model='net')"
            ) from error

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._recording.end_epoch()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._detach()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._detach()

    def _module_of(self, pl_module: nn.Module) -> nn.Module:
        if self.model is None:
            inner = getattr(pl_module, "model", None)
            return inner if isinstance(inner, nn.Module) else pl_module
        modules: dict[str, nn.Module] = dict(pl_module.named_modules())
        if self.model not in modules:
            raise ArgumentError(
                f"`model`: the {type(pl_module).__name__} has no module {self.model!r}; it has "
                f"{[name for name, _ in pl_module.named_children()]}"
            )
        return modules[self.model]

    def _begin(self, trainer: Any, module: nn.Module, loader: Any) -> None:
        """Begin a run, or go on with a loader that is loaded again within one."""
        if not isinstance(loader, DataLoader):
            raise ArgumentError(
                f"LightningPruningCallback wants one torch DataLoader as training data, got {type(loader).__name__}"
            )
        n, tap = TrainData.of(loader).n, self._tap
        if tap is None:
            epochs = trainer.max_epochs if (trainer.max_epochs or -1) > 0 else None
            self._recording = Recording(n, epochs, trainer.current_epoch, self.every)
            self._recording.digests = digests_of(loader)
            self._recording.begin_epoch()  # a run that goes on within an epoch never says that one starts
        elif n != self._recording.n:
            raise ArgumentError(f"LightningPruningCallback: the loader had {self._recording.n} rows before, now {n}")
        else:
            tap.close()
        names = None if self.label_name is None else (self.label_name,)
        check_model(module)
        head = head_of(module, self.features) if self.features else None
        self._tap = Tap(loader, module, names, head, self._recording.add, self.task)
        if tap is not None and tap.task is not None:
            self._tap.settle(tap.task)

    def _detach(self) -> None:
        if self._tap is not None:
            self._tap.close()
            self._tap = None
        if self._source is not None:
            vars(self._source).pop("dataloader", None)
            self._source = None
