"""Variability: how much the confidence in the true class swings during training."""

from dataclasses import dataclass
from typing import ClassVar

from hf_prune.kernels import Floats
from hf_prune.methods.score import DynamicsScore
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class Variability(DynamicsScore):
    """Keeps the examples on which the model wavers most: the ambiguous ones.

    Score: standard deviation over `epochs` of the probability of the true class, (n,) in [0, 1/2], over the epochs in
    which the example was seen, higher = harder. Examples that are never learnt vary little, and so do easy ones.

    Cost: O(epochs * n).

    Reference: Swayamdipta et al. (2020), section 2.1. D2's authors use it as the difficulty for text.

    >>> import hf_prune
    >>> run = hf_prune.TrainingDynamics.from_logits([[[0.0, 0.0], [9.0, 0.0]], [[99.0, 0.0], [9.0, 0.0]]], [0, 0])
    >>> hf_prune.Variability().score(hf_prune.Signals(2, {"dynamics": run}), seed=0).tolist()
    [0.25, 0.0]
    """

    name: ClassVar[str] = "variability"
    reference: ClassVar[str] = (
        "Swayamdipta et al., Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics (2020), "
        "arXiv 2009.10795"
    )
    higher_is: ClassVar = "harder"

    def score(self, signals: Signals, seed: int) -> Floats:
        return signals.dynamics.std("p_true", self.epochs)
