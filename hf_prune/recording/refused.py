"""Runs of which it is known before they begin that they can't be recorded."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import TrainingArguments
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from hf_prune.errors import ArgumentError
from hf_prune.recording.guess import class_names, hint
from hf_prune.recording.loader import bare_loader

logger = logging.getLogger(__name__)

CANNOT = {
    "ForCTC": "the labels of CTC are sequences that no token's logits belong to",
    "ObjectDetection": "detection has a set of boxes in place of a label",
    "Segmentation": "segmentation has a label for each pixel",
    "ForMaskGeneration": "segmentation has a label for each pixel",
    "DepthEstimation": "depth has a number for each pixel",
    "MaskedImageModeling": "an image whose patches are painted anew has no label",
    "ForPreTraining": "the losses of pretraining are several, or have no labels",
}
"""What can't be recorded, by what the names of transformers' classes say."""


def check_model(model: Any) -> None:
    """Refuse a model of which the class says that it can't be recorded."""
    if not isinstance(model, nn.Module):  # SetFit's, which trains an encoder on pairs of rows, then a head on its own
        raise ArgumentError(
            f"PruningTrainerCallback can't record {type(model).__name__}, which is no torch module: SetFit trains on "
            "pairs that it makes of rows; train it without the callback, and prune by embeddings="
            "hf_prune.embed(ds, model.model_body, column='text')"
        )
    for name in class_names(model):
        for part, why in CANNOT.items():
            if part in name:
                raise ArgumentError(
                    f"PruningTrainerCallback can't record {name}: {why}; train it without the callback, and prune by "
                    "embeddings=, or by scores= of your own"
                )


def check_smoothing(model: nn.Module, factor: float) -> None:
    """Refuse label smoothing of language models whose labels transformers' Trainer doesn't shift when it smooths.

    Its loss is then that of repeating each token, which no plain run of the model has.
    """
    name = class_names(model)[0]
    if factor and hint(model, ["causal-lm"]) == "causal-lm" and name not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
        raise ArgumentError(
            f"PruningTrainerCallback can't record label_smoothing_factor={factor} of {name}: transformers' Trainer "
            "doesn't shift the labels of this class when it smooths them, so that each token is trained to repeat "
            "itself; leave label_smoothing_factor at 0"
        )


def check_countable(dataset: Any) -> None:
    if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
        raise ArgumentError(
            "PruningTrainerCallback needs a train_dataset with rows that can be counted; this one is streaming: "
            "load it without streaming=True, or give it a column with the position of each row and pass "
            "id_column= and num_examples="
        )


def check_loop(model: Any, loader: Any) -> None:
    """Refuse what is no loop over a loader that can be watched."""
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"`model`: wanted the torch module that is trained, got {type(model).__name__}")
    base = bare_loader(loader)
    if not hasattr(base, "dataset") or not hasattr(base, "collate_fn"):
        raise ArgumentError(
            f"`dataloader`: wanted a torch DataLoader, also one that accelerate prepared, got {type(loader).__name__}"
        )
    if getattr(base, "persistent_workers", False) and base.num_workers:
        raise ArgumentError(
            "`dataloader`: its workers outlive an epoch, which can't be recorded; leave persistent_workers out"
        )


@contextmanager
def checked_after_a_step(tap: Any, model: nn.Module) -> Iterator[None]:
    """Raise the tap's errors once an optimizer has changed the model, as a loop doesn't say that a step is over."""

    def check(optimizer: Any, *_: Any) -> None:
        if tap.has_begun and not tap.is_checked:
            weights = set(map(id, model.parameters()))
            if any(id(weight) in weights for group in optimizer.param_groups for weight in group["params"]):
                tap.check()
                tap.check_trained()

    hook = register_optimizer_step_post_hook(check)
    try:
        yield
    finally:
        hook.remove()


def check_arguments(args: TrainingArguments, rows: int) -> None:
    """Refuse runs of which it is known that they can't be recorded; warn about those that nobody has tried."""
    if args.n_gpu > 1:
        raise ArgumentError(
            f"PruningTrainerCallback can't record {args.n_gpu} GPUs in one process (DataParallel); start one process "
            "for each, as in `torchrun --nproc-per-node`, or show it one GPU with CUDA_VISIBLE_DEVICES=0"
        )
    together = args.per_device_train_batch_size * args.world_size
    even_batches = getattr(args.accelerator_config, "even_batches", True)
    even = even_batches or args.dataloader_drop_last or rows % together == 0
    if args.world_size > 1 and not even:
        raise ArgumentError(
            f"PruningTrainerCallback: with even_batches=False {args.world_size} processes can't share out {rows} "
            f"rows, no multiple of {together}: one ends an epoch before the others; leave even_batches at True"
        )
    untested = {"FSDP": args.fsdp, "DeepSpeed": args.deepspeed, f"the device {args.device}": args.device.type != "cpu"}
    if names := [name for name, used in untested.items() if used]:
        logger.warning("PruningTrainerCallback is untested with %s: compare `recorder.dynamics`", " and ".join(names))
