"""Perplexity: how unlikely a text is to the language model that was trained on it."""

from dataclasses import dataclass
from typing import ClassVar

from hf_prune.kernels import Floats
from hf_prune.methods.score import DynamicsScore
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class Perplexity(DynamicsScore):
    """Keeps the texts whose perplexity lies in the middle: neither boilerplate nor noise.

    Score: exp of the mean loss of a row's tokens over `epochs`, (n,) >= 1, higher = harder. Needs dynamics of a causal
    or sequence-to-sequence language model. Losses of training passes fall while rows are read; in runs of few epochs
    record with PruningTrainerCallback(clean_eval=True), or rows are ranked by when they were read.

    Cost: O(epochs * n).

    Reference: Marion et al. (2023), who compare the rows of lowest, middle and highest perplexity with those that EL2N
    and memorization choose. *Deviations*: the perplexity is that of the run on the data to prune, which has seen each
    row, not of a reference model that was trained beforehand.

    >>> import hf_prune, numpy as np
    >>> losses = np.log([[9.0, 2.0, 3.0, 1.0]])
    >>> run = hf_prune.TrainingDynamics({"loss": losses}, np.full(4, -1), task="causal-lm")
    >>> signals = hf_prune.Signals(4, {"dynamics": run})
    >>> hf_prune.Perplexity().score(signals, seed=0).round(3).tolist()
    [9.0, 2.0, 3.0, 1.0]
    >>> hf_prune.ByScore(hf_prune.Perplexity()).select(signals, 2, seed=0).indices.tolist()
    [1, 2]
    """

    name: ClassVar[str] = "perplexity"
    reference: ClassVar[str] = (
        "Marion et al., When Less is More: Investigating Data Pruning for Pretraining LLMs at Scale (2023), "
        "arXiv 2309.04564"
    )
    higher_is: ClassVar = "harder"
    prefer: ClassVar = "middle"

    def score(self, signals: Signals, seed: int) -> Floats:
        return signals.dynamics.perplexity(self.epochs)
