"""AUM: the area under the margin, which is low for ambiguous and mislabelled examples."""

from dataclasses import dataclass
from typing import ClassVar

from hf_prune.kernels import Floats
from hf_prune.methods.score import DynamicsScore
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class AUM(DynamicsScore):
    """Keeps the examples with the largest area under the margin; those with the lowest are probably mislabelled.

    Score: mean over `epochs` of (logit of the label - largest other logit), (n,) in logits, higher = easier.

    By default ByScore keeps the easy end, which is the paper's use: the low end is removed as mislabelled. Comparisons
    of pruning methods on clean data use AUM as a difficulty and keep the low end: that is `prefer="hard"`.

    Cost: O(epochs * n).

    Reference: Pleiss et al. (2020), equation 2. *Deviations*: no threshold samples; the budget decides how much is
    removed.

    >>> import hf_prune
    >>> run = hf_prune.TrainingDynamics.from_logits([[[2.0, 0.0], [0.0, 1.0]]], labels=[0, 0])
    >>> hf_prune.AUM().score(hf_prune.Signals(2, {"dynamics": run}), seed=0).tolist()
    [2.0, -1.0]
    """

    name: ClassVar[str] = "aum"
    reference: ClassVar[str] = (
        "Pleiss et al., Identifying Mislabeled Data using the Area Under the Margin Ranking (2020), arXiv 2001.10528"
    )
    higher_is: ClassVar = "easier"
    prefer: ClassVar = "easy"

    def score(self, signals: Signals, seed: int) -> Floats:
        return signals.dynamics.mean("margin", self.epochs)
