"""What recording costs: `python -m tests.benchmarks cost recording`, some ten minutes.

A Trainer trains a BERT of 4 x 256 (batches of 32, 64 tokens) and a small ResNet (batches of 32, 28 x 28 pixels) for
one epoch of 10 steps, in turn without a recorder, with one, and with one that predicts all rows after the epoch
instead, as other libraries do. Ratios are of the CPU time of `train()` in the same round; the bound is the upper end
of the 95% interval of their mean. Then the bookkeeping alone is fed ten epochs of a million rows, without a model.
"""

import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy.stats import t as student
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ResNetConfig,
    ResNetForImageClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from hf_prune import PruningTrainerCallback
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.recording.arrays import Recording
from hf_prune.recording.reading import BatchSignals
from tests.benchmarks.harness import MEGABYTE, resident_bytes

ROWS, BATCH, TOKENS, PIXELS, WORDS = 320, 32, 64, 28, 1000
MANY, EPOCHS = 1_000_000, 10
ROUNDS = 20
SIDES = ("plain", "recorded", "predicted")


class Predicting(TrainerCallback):
    """The other way: a pass over all rows after each epoch."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.predict(self.trainer.train_dataset)


def bert() -> tuple[torch.nn.Module, dict[str, Any]]:
    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    draw = np.random.default_rng(0)
    columns = {"input_ids": draw.integers(0, WORDS, (ROWS, TOKENS)), "labels": draw.integers(0, 2, ROWS)}
    return BertForSequenceClassification(BertConfig(vocab_size=WORDS, **sizes)), columns


def resnet() -> tuple[torch.nn.Module, dict[str, Any]]:
    config = ResNetConfig(
        num_channels=1, embedding_size=32, hidden_sizes=[32, 64, 128], depths=[1, 1, 1], layer_type="basic"
    )
    draw = np.random.default_rng(0)
    columns = {
        "pixel_values": draw.normal(size=(ROWS, 1, PIXELS, PIXELS)).astype(np.float32),
        "labels": draw.integers(0, 2, ROWS),
    }
    return ResNetForImageClassification(config), columns


MODELS: dict[str, Callable[[], tuple[torch.nn.Module, dict[str, Any]]]] = {
    "BERT 4 x 256, batches of 32 x 64 tokens": bert,
    "ResNet of 3 stages, batches of 32 images": resnet,
}


def seconds(make: Callable[[], tuple[torch.nn.Module, dict[str, Any]]], side: str, folder: str) -> tuple[float, float]:
    """CPU seconds of one run, and a sum of its final weights, which no side may change."""
    set_seed(0)
    model, columns = make()
    arguments = TrainingArguments(
        folder,
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(model, arguments, train_dataset=Dataset.from_dict(columns).with_format("torch"))
    if side == "recorded":
        trainer.add_callback(PruningTrainerCallback())
    if side == "predicted":
        trainer.add_callback(Predicting(trainer))
    start = time.process_time()
    trainer.train()
    took = time.process_time() - start
    return took, float(sum(tensor.double().sum() for tensor in model.state_dict().values()))


def pairs(make: Callable[[], tuple[torch.nn.Module, dict[str, Any]]], count: int) -> dict[str, Any]:
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, count):  # the first round warms up
            weights = set()
            for side in SIDES if number % 2 else reversed(SIDES):
                took, total = seconds(make, side, folder)
                weights.add(total)
                if number >= 0:
                    times[side].append(took)
            assert len(weights) == 1, "recording changed the run"
    return {"seconds": times, **{side: bounded(times[side], times["plain"]) for side in SIDES[1:]}}


def bounded(of: list[float], to: list[float]) -> dict[str, float]:
    """Mean ratio, and the upper end of its 95% interval."""
    ratios = np.array(of) / np.array(to)
    half = student.ppf(0.975, len(ratios) - 1) * ratios.std(ddof=1) / np.sqrt(len(ratios)) if len(ratios) > 1 else 0
    return {"ratio": float(ratios.mean()), "upper": float(ratios.mean() + half)}


def bookkeeping(batch: int) -> dict[str, float]:
    """Milliseconds a step and microseconds a row of ten epochs of a million rows, and megabytes beyond the arrays."""
    order = torch.randperm(MANY, generator=torch.Generator().manual_seed(0))
    signals, labels = torch.rand(batch, len(SIGNALS)), torch.zeros(batch, dtype=torch.int64)
    steps, before = MANY // batch, resident_bytes(peak=False)
    recording = Recording(MANY, EPOCHS)
    start = time.process_time()
    for _ in range(EPOCHS):
        recording.begin_epoch()
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            recording.add(BatchSignals(rows, labels, signals, None, "single-label", SIGNALS))
        recording.end_epoch()
    took = time.process_time() - start
    assert np.isnan(recording.dynamics()["loss"]).sum() == EPOCHS * (MANY - steps * batch)
    arrays = recording.dynamics()["loss"].nbytes * len(SIGNALS) + 8 * MANY
    return {
        "ms_a_step": 1e3 * took / (EPOCHS * steps),
        "us_a_row": 1e6 * took / (EPOCHS * steps * batch),
        "mb_beyond_the_arrays": (resident_bytes(peak=False) - before - arrays) / MEGABYTE,
    }


def measured(rounds: int) -> dict[str, Any]:
    return {
        "pairs": rounds,
        "models": {name: pairs(make, rounds) for name, make in MODELS.items()},
        "bookkeeping": {str(batch): bookkeeping(batch) for batch in (32, 1024)},
    }
