"""A linear classifier of embeddings that stands in for a network: trained in a blink, and with dynamics of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hf_prune.comparison.parts import places_in_class
from hf_prune.dynamics.dynamics import TrainingDynamics

ROWS_AT_A_TIME = 4096
"""Rows of embeddings that are predicted together."""

FOLDS = 5
"""Parts of the training rows, each of which is predicted by a model that trained on the others."""

BETAS = (0.9, 0.999)
"""Of Adam: how much of the running means of the gradient and of its square stays at each step."""


@dataclass(frozen=True, eq=False)
class Scale:
    """What embeddings are shifted and divided by: the means of the training part, and one standard deviation."""

    mean: NDArray[np.float64]
    deviation: float

    @classmethod
    def of(cls, embeddings: NDArray[Any]) -> Self:
        """Of (n, d) floats, read a part at a time."""
        parts = range(0, len(embeddings), ROWS_AT_A_TIME)
        read = (embeddings[start : start + ROWS_AT_A_TIME].astype(np.float64) for start in parts)
        total = sum((part.sum(axis=0) for part in read), np.zeros(embeddings.shape[1]))
        mean = total / len(embeddings)
        read = (embeddings[start : start + ROWS_AT_A_TIME].astype(np.float64) for start in parts)
        squared = sum(float(np.sum((part - mean) ** 2)) for part in read)
        return cls(mean, float(np.sqrt(squared / embeddings.size)) or 1.0)

    def applied(self, embeddings: NDArray[Any]) -> NDArray[np.float64]:
        """(n, d + 1) float64: scaled, and a column of ones for the bias."""
        scaled = (embeddings.astype(np.float64) - self.mean) / self.deviation
        return np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)


@dataclass(frozen=True)
class SoftmaxRegression:
    """Multinomial logistic regression, trained for a number of steps of Adam whatever the number of rows.

    Weights begin at 0, so that a seed settles no more than the order of the rows: each once in random order before any
    comes again. The learning rate falls to 0 as a cosine. All is computed in float64. Learning rate and weight decay
    were chosen once, for training on all rows of five small data sets of digits and texts.

    Attributes:
        steps: of the optimiser.
        batch: rows in each step.
        learning_rate: of the first step, for embeddings in units of their standard deviation.
        weight_decay: decoupled from the gradient, as in AdamW.
        snapshots: how often a recorded training predicts all its rows, at equal distances.
    """

    steps: int
    batch: int = 128
    learning_rate: float = 0.01
    weight_decay: float = 1.0
    snapshots: int = 20

    @classmethod
    def of_rows(cls, n: int) -> Self:
        """With steps for ten epochs of n rows, and 600 at least."""
        return cls(steps=max(600, -(-10 * n // cls.batch)))

    def in_part(self, share: float) -> Self:
        """The same training in a share of the steps."""
        return replace(self, steps=max(1, round(share * self.steps)))

    def fit(
        self,
        embeddings: NDArray[Any],
        labels: NDArray[np.int64],
        rows: NDArray[np.int64],
        classes: int,
        scale: Scale,
        seed: int,
    ) -> Iterator[NDArray[np.float64]]:
        """The (d + 1, classes) weights after each step, one array that changes.

        Args:
            embeddings, labels: of all rows, (n, d) and (n,).
            rows: positions of those to train on.
        """
        weights = np.zeros((embeddings.shape[1] + 1, classes))
        means = np.zeros((2, *weights.shape))
        for step, places in enumerate(batches(len(rows), self.batch, self.steps, seed)):
            batch = rows[places]
            x = scale.applied(embeddings[batch])
            error = softmax(x @ weights)
            error[np.arange(len(batch)), labels[batch]] -= 1
            gradient = x.T @ error / len(batch)
            for mean, beta, value in zip(means, BETAS, (gradient, gradient**2), strict=True):
                mean *= beta
                mean += (1 - beta) * value
            first, second = (mean / (1 - beta ** (step + 1)) for mean, beta in zip(means, BETAS, strict=True))
            rate = self.learning_rate * (1 + np.cos(np.pi * step / self.steps)) / 2
            weights -= rate * (first / (np.sqrt(second) + 1e-8) + self.weight_decay * weights)
            yield weights


@dataclass(frozen=True, eq=False)
class Proxy:
    """The linear classifier of one training part.

    Attributes:
        embeddings: (n, d) floats of the training rows.
        labels: (n,) int64 class of each.
        classes: their number.
    """

    embeddings: NDArray[Any]
    labels: NDArray[np.int64]
    classes: int

    @cached_property
    def scale(self) -> Scale:
        return Scale.of(self.embeddings)

    @property
    def model(self) -> SoftmaxRegression:
        return SoftmaxRegression.of_rows(len(self.labels))

    def predictions(
        self, rows: NDArray[np.int64], held_out: NDArray[Any], seed: int, share: float = 1.0
    ) -> NDArray[np.int64]:
        """(m,) classes of (m, d) embeddings, after training on these rows for a share of the steps."""
        model = self.model.in_part(share)
        *_, weights = model.fit(self.embeddings, self.labels, rows, self.classes, self.scale, seed)
        classes: NDArray[np.int64] = logits_of(weights, held_out, self.scale).argmax(axis=1)
        return classes

    def dynamics(self, seed: int) -> TrainingDynamics:
        """What training on all rows shows of each; every snapshot, in which all are predicted, is an epoch."""
        model, everything = self.model, np.arange(len(self.labels))
        trained = model.fit(self.embeddings, self.labels, everything, self.classes, self.scale, seed)
        epochs = [
            TrainingDynamics.from_logits(logits_of(weights, self.embeddings, self.scale)[None], self.labels)
            for step, weights in enumerate(trained, start=1)
            if step * model.snapshots % model.steps < model.snapshots
        ]
        signals = {name: np.concatenate([epoch[name] for epoch in epochs]) for name in epochs[0].signals}
        return TrainingDynamics(signals, self.labels)

    def held_out_predictions(self, seed: int) -> NDArray[np.int64]:
        """(n,) class of each training row by a model that trained on the other folds of each class."""
        fold = places_in_class(self.labels, seed) % FOLDS
        predicted = np.empty_like(self.labels)
        for number in range(FOLDS):
            held, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            if len(held) and len(rest):
                predicted[held] = self.predictions(rest, self.embeddings[held], seed)
        return predicted


def batches(n: int, size: int, steps: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """The rows of each step, `size` of them or all: every row once, in random order, before any comes again."""
    rng = np.random.default_rng(seed)
    size, waiting = min(size, n), np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(n)])
        yield waiting[:size]
        waiting = waiting[size:]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, classes) probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def logits_of(weights: NDArray[np.float64], embeddings: NDArray[Any], scale: Scale) -> NDArray[np.float64]:
    """(n, classes) logits."""
    parts = range(0, len(embeddings), ROWS_AT_A_TIME)
    return np.concatenate(
        [scale.applied(embeddings[start : start + ROWS_AT_A_TIME]) @ weights for start in parts]
        or [np.empty((0, weights.shape[1]))]
    )
