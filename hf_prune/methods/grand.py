"""GraNd: how far one step on an example would move the model's last layer."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_prune.errors import ArgumentError, MissingSignalError
from hf_prune.kernels import Floats
from hf_prune.methods.el2n import EL2N
from hf_prune.methods.score import Score
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class GraNd(Score):
    """Keeps the examples whose loss has the largest gradient.

    Score: norm of the gradient of the loss by weights and bias of the classification head, (n,) >= 0, higher = harder,
    in the last recorded epoch. With h the head's input it is EL2N times sqrt(|h|^2 + 1). Needs dynamics with features,
    of a run with one label a row, whose head is one Linear layer.

    Cost: O(n d).

    Reference: Paul et al. (2021), section 2. *Deviations*: the last layer in place of all weights; the last epoch of
    one run in place of an early one of several. For the paper's use train for a few epochs, and average over seeds.

    >>> import hf_prune, numpy as np
    >>> run = hf_prune.TrainingDynamics.from_logits([[[2.0, 0.0], [0.0, 2.0]]], [0, 0])
    >>> run.features["last"] = np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    >>> (hf_prune.GraNd().score(hf_prune.Signals(2, {"dynamics": run}), seed=0) / run["el2n"][0]).round(3).tolist()
    [5.099, 1.0]
    """

    name: ClassVar[str] = "grand"
    reference: ClassVar[str] = EL2N.reference
    reads: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    higher_is: ClassVar = "harder"

    def score(self, signals: Signals, seed: int) -> Floats:
        dynamics = signals.dynamics
        if dynamics.task != "single-label":
            raise ArgumentError(f"`grand`: wanted dynamics of a run with one label a row, got {dynamics.task!r}")
        if "last" not in dynamics.features:
            raise MissingSignalError(
                "`grand`: these dynamics hold no features; train with PruningTrainerCallback(features=True)"
            )
        error, features = dynamics.in_epochs("el2n", (dynamics.epochs - 1, dynamics.epochs)), dynamics.features["last"]
        squares = np.einsum("nd,nd->n", features, features, dtype=np.float64)
        scores: Floats = error[0] * np.sqrt(squares + 1)
        return scores
