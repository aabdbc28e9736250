"""EL2N: the error of the predicted probabilities early in training."""

from dataclasses import dataclass
from typing import ClassVar

from hf_prune.kernels import Floats
from hf_prune.methods.score import DynamicsScore
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class EL2N(DynamicsScore):
    """Keeps the examples with the largest EL2N score.

    Score: mean over `epochs` of ||softmax(logits) - onehot(label)||_2, (n,) in [0, sqrt(2)], higher = harder.

    Cost: O(epochs * n).

    Reference: Paul et al. (2021), Definition 2.2. *Deviations*: the paper averages one early epoch over ten runs; this
    averages the epochs of one run, so `epochs=` should be early ones where the run is long. The paper's own is one
    epoch of ten runs that TrainingDynamics.merge has averaged.

    >>> import hf_prune
    >>> from datasets import Dataset
    >>> run = hf_prune.TrainingDynamics.from_logits([[[9.0, 0.0], [1.0, 0.0], [0.0, 9.0]]], labels=[0, 0, 0])
    >>> Dataset.from_dict({"label": [0, 0, 0]}).prune("el2n", keep=1, dynamics=run).selection.indices
    array([2])
    """

    name: ClassVar[str] = "el2n"
    reference: ClassVar[str] = (
        "Paul, Ganguli, Dziugaite, Deep Learning on a Data Diet: Finding Important Examples Early in Training (2021), "
        "arXiv 2107.07075"
    )
    higher_is: ClassVar = "harder"

    def score(self, signals: Signals, seed: int) -> Floats:
        return signals.dynamics.mean("el2n", self.epochs)
