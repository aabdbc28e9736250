"""The networks of the tables: an MLP on fixed features, and a small ResNet on pixels.

Both take the same number of optimiser steps whatever the number of rows, so a coreset is not trained less than all
rows are; a seed settles the initial weights and the order of the rows.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from numpy.typing import NDArray

from hf_prune import PruningTrainerCallback, TrainingDynamics
from tests.benchmarks.real_data import Data

sys.path.append(str(Path(__file__).parents[2] / "trainers"))
import image_classification as recipe

Predictions = dict[str, NDArray[np.int64]]
"""(m,) classes for each held-out part."""


@dataclass(frozen=True)
class _Steps:
    """A training of a number of steps."""

    steps: int

    def in_part(self, share: float) -> Self:
        """The same training in a share of the steps."""
        return replace(self, steps=max(1, round(share * self.steps)))


@dataclass(frozen=True)
class MLP(_Steps):
    """One hidden layer, AdamW, a learning rate that falls to 0 as a cosine.

    Steps and learning rate are those of the best mean in mlp_settings.py; nothing else was tried.

    Attributes:
        snapshots: how often a recorded run predicts all its rows, in eval mode and at equal distances; hf_prune gets
            these as its epochs.
    """

    name = "mlp"

    steps: int = 600
    batch: int = 128
    hidden: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    snapshots: int = 20

    def train(
        self, data: Data, y: NDArray, rows: NDArray, seed: int, record: bool = False
    ) -> tuple[Predictions, dict]:
        """(Predictions for the held-out parts, and if `record` the signals for `prune`), after training on `rows`.

        Args:
            y: (n,) labels to train on, perhaps noisy.
        """
        x, logits = torch.from_numpy(data.x[rows]), []

        def after(step: int, model: torch.nn.Module) -> None:
            if record and step * self.snapshots % self.steps < self.snapshots:
                logits.append(predicted(model, x))

        model = self.fitted(x, torch.from_numpy(y[rows]), len(data.classes), seed, after)
        held_out = {name: torch.from_numpy(part.x) for name, part in data.held_out.items()}
        predictions = {name: predicted(model, x).argmax(axis=1) for name, x in held_out.items()}
        if not record:
            return predictions, {}
        return predictions, {"dynamics": TrainingDynamics.from_logits(logits, y[rows]), "embeddings": data.x}

    def fitted(
        self,
        x: torch.Tensor,
        labels: torch.Tensor,
        classes: int,
        seed: int,
        after: Callable[[int, torch.nn.Module], None] | None = None,
    ) -> torch.nn.Module:
        """A model of these rows.

        Args:
            after: is called with the number of every step that is done and the model.
        """
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], self.hidden), torch.nn.ReLU(), torch.nn.Linear(self.hidden, classes)
        )
        optimizer = torch.optim.AdamW(
            model.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for step, batch in enumerate(in_batches(len(x), self.batch, self.steps), start=1):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
            if after is not None:
                after(step, model)
        return model


@dataclass(frozen=True)
class ResNet(_Steps):
    """The network, Trainer and settings of trainers/image_classification.py, whose features the callback records."""

    name = "resnet"

    steps: int = 200
    batch: int = 128
    learning_rate: float = 0.01

    def train(
        self, data: Data, y: NDArray, rows: NDArray, seed: int, record: bool = False
    ) -> tuple[Predictions, dict]:
        """Predictions and signals like those of MLP, these as PruningTrainerCallback recorded them in training."""
        size = data.pixels.shape[-1]
        features = Features(
            {"pixels": List(Value("uint8"), length=size * size), "label": ClassLabel(names=list(data.classes))}
        )
        recorder = PruningTrainerCallback(features=True)
        with tempfile.TemporaryDirectory() as folder:
            arguments = recipe.Arguments(
                image_size=size,
                max_steps=self.steps,
                batch_size=self.batch,
                learning_rate=self.learning_rate,
                output_dir=folder,
            )
            training = of_pixels(data.pixels[rows], y[rows], features)
            trainer = recipe.trained(arguments, features, training, seed, callbacks=[recorder] if record else [])
            held_out = {name: of_pixels(part.pixels, part.y, features) for name, part in data.held_out.items()}
            predictions = {name: trainer.predict(part).predictions.argmax(axis=1) for name, part in held_out.items()}
        return predictions, {"dynamics": recorder} if record else {}


NETWORKS = {network.name: network for network in (MLP(), ResNet())}


def in_batches(rows: int, batch: int, steps: int) -> torch.Tensor:
    """(steps, batch) positions: every row once, in random order, before any comes again."""
    epochs = -(-steps * batch // rows)
    return torch.cat([torch.randperm(rows) for _ in range(epochs)])[: steps * batch].view(steps, batch)


def predicted(model: torch.nn.Module, x: torch.Tensor) -> NDArray[np.float32]:
    with torch.inference_mode():
        return model(x).numpy()


def of_pixels(pixels: NDArray, y: NDArray, features: Any) -> Dataset:
    columns = {"pixels": pixels.reshape(len(pixels), -1), "label": y}
    return Dataset.from_dict(columns, features=features).with_format("numpy")
