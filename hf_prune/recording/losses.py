"""Taps the loss of sentence-transformers' trainers, which calls the model itself, on texts of the batch.

The trainer hands labels and columns to a loss, and that one tokenizes, calls the model, and keeps the logits. Where a
loss holds each row's logits against its label, the rows are those of the labels, the logits are what one module of the
loss returns, and the loss itself is what the recorded losses are held against. Other losses compare rows with each
other, or distances of embeddings with labels, and are refused by name.
"""

from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.data import ConcatDataset

from hf_prune.errors import ArgumentError
from hf_prune.models import processes
from hf_prune.recording.loader import bare_loader
from hf_prune.recording.tap import Tap, hidden

LOGITS: dict[str, tuple[str, str | None]] = {
    "BinaryCrossEntropyLoss": ("activation_fn", "binary"),
    "CrossEntropyLoss": ("activation_fn", None),
    "MSELoss": ("activation_fn", "regression"),
    "SoftmaxLoss": ("classifier", None),
}
"""For each loss that can be recorded the module in it that returns logits, and its task where shapes leave it open.

sentence-transformers calls two losses MSELoss; that of embeddings has no such module.
"""

ONLY = (
    "Losses of one row's logits and label are recorded: BinaryCrossEntropyLoss, CrossEntropyLoss and MSELoss of a "
    "CrossEncoder, SoftmaxLoss of a SentenceTransformer. For others, SetFit's among them, train without the callback "
    "and prune by embeddings: hf_prune.embed(ds, model, column=...)"
)

UNFOUND = "PruningTrainerCallback saw no loss of sentence-transformers that holds the model as its `model`. " + ONLY


def has_own_loss(model: nn.Module) -> bool:
    """Whether it is a model of sentence-transformers, whose trainers compute the loss apart from it."""
    return any(base.__module__.startswith("sentence_transformers.") for base in type(model).__mro__)


class LossTap(Tap):
    """Taps the loss in place of the model, as soon as it is called: the trainer shows it to no callback before."""

    _model: nn.Module
    _loss: nn.Module | None
    _logits: torch.Tensor | None

    def __init__(self, loader: Any, model: nn.Module, *args: Any, in_training: bool, **options: Any) -> None:
        if not in_training:
            raise ArgumentError("`clean_eval`: a model of sentence-transformers returns no loss; leave it out")
        if processes() > 1:
            raise ArgumentError(
                f"PruningTrainerCallback can't record {processes()} processes of sentence-transformers' trainers, "
                "which need not see as many batches each; train in one"
            )
        if isinstance(bare_loader(loader).dataset, ConcatDataset):
            raise ArgumentError(
                "PruningTrainerCallback wants one train_dataset, got several in a DatasetDict; concatenate them, or "
                "train on one after the other"
            )
        super().__init__(loader, model, *args, in_training=in_training, **options)

    def close(self) -> None:
        self._finder.remove()
        super().close()

    def check(self) -> None:
        if not self._recorded and self._loss is None:
            self._finder.remove()  # a run that ends so says to no callback that it has ended
            raise ArgumentError(UNFOUND)
        super().check()

    def take(self, batch: Any, ids: torch.Tensor) -> None:
        try:
            super().take(batch, ids)
        except ArgumentError as error:
            if self._loss is not None:
                raise
            self._leave_out(str(error))  # what the loss is says more about it

    def _listen(self, model: nn.Module) -> None:
        self._model, self._loss, self._logits = extract_model_from_parallel(model), None, None
        self._finder = register_module_forward_pre_hook(hidden(self._find_loss))

    def _find_loss(self, module: nn.Module, args: Any) -> None:
        model = None if module is self._model else getattr(module, "model", None)
        if not isinstance(model, nn.Module) or extract_model_from_parallel(model) is not self._model:
            return
        self._finder.remove()
        self._loss = module
        name = type(module).__name__
        part, task = LOGITS.get(name, ("", None))
        logits = getattr(module, part, None)
        if not isinstance(logits, nn.Module) or not type(module).__module__.startswith("sentence_transformers."):
            raise ArgumentError(f"PruningTrainerCallback can't record {name}, which gives a row no logits. {ONLY}")
        self._reader.task = self._reader.task or task
        super()._listen(module)
        self._hooks.append(logits.register_forward_hook(hidden(self._keep_logits)))
        self._find_batch(module, args, {})  # of this very call

    def _find_batch(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return super()._find_batch(module, args, kwargs) if self._model.training else (args, kwargs)

    def _keep_logits(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._arriving is not None:
            self._logits = output

    def _read_output(self, module: nn.Module, args: Any, output: Any) -> None:
        logits, self._logits = self._logits, None
        super()._read_output(module, args, {"loss": output} if logits is None else {"loss": output, "logits": logits})
