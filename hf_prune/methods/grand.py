"""GraNd: how far one step on an example would move the model's last layer."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError, MissingSignalError
from hf_prune.kernels.tiles import tiles
from hf_prune.methods.score import Score
from hf_prune.signals.signals import Signals

ROWS_AT_A_TIME = 2**14


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
    reference: ClassVar[str] = (
        "Paul, Ganguli, Dziugaite, Deep Learning on a Data Diet: Finding Important Examples Early in Training (2021), "
        "arXiv 2107.07075"
    )
    reads: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    higher_is: ClassVar = "harder"

    def score(self, signals: Signals, seed: int) -> NDArray[np.float64]:
        dynamics = signals.dynamics
        if dynamics.task != "single-label":
            raise ArgumentError(f"`grand`: wanted dynamics of a run with one label a row, got {dynamics.task!r}")
        if "last" not in dynamics.features:
            raise MissingSignalError(
                "`grand`: these dynamics hold no features; train with PruningTrainerCallback(features=True)"
            )
        error, features = dynamics.in_epochs("el2n", (dynamics.epochs - 1, dynamics.epochs)), dynamics.features["last"]
        scores: NDArray[np.float64] = error[0].astype(np.float64)
        for rows in tiles(len(features), ROWS_AT_A_TIME):
            scores[rows] *= np.sqrt(np.square(features[rows].astype(np.float64)).sum(axis=1) + 1)
        return scores
