"""Forgetting events: how often an example that was learnt is lost again."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_prune.errors import ArgumentError
from hf_prune.kernels import Floats
from hf_prune.methods.score import DynamicsScore
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class Forgetting(DynamicsScore):
    """Keeps the examples that were forgotten most often.

    Score: number of times that an example was classified correctly at one presentation and wrongly at the next, (n,)
    events, higher = harder. An example that was never classified correctly gets epochs + 1.

    Cost: O(epochs * n).

    Raises:
        ArgumentError: the dynamics are merged from runs that disagree, or are means over tokens.

    Reference: Toneva et al. (2019), Algorithm 1. *Deviations*: the paper gives never-learnt examples infinitely many
    events; epochs + 1 puts them in the same place, above all others, and keeps the score a number that D2 can use.

    >>> import hf_prune, numpy as np
    >>> logits = np.array([[[1, 0], [1, 0]], [[0, 1], [1, 0]], [[1, 0], [1, 0]]])
    >>> run = hf_prune.TrainingDynamics.from_logits(logits, labels=[0, 1])
    >>> hf_prune.Forgetting().score(hf_prune.Signals(2, {"dynamics": run}), seed=0).tolist()
    [1.0, 4.0]
    """

    name: ClassVar[str] = "forgetting"
    reference: ClassVar[str] = (
        "Toneva et al., An Empirical Study of Example Forgetting during Deep Neural Network Learning (2019), "
        "arXiv 1812.05159"
    )
    higher_is: ClassVar = "harder"

    def score(self, signals: Signals, seed: int) -> Floats:
        correct = signals.dynamics.in_epochs("correct", self.epochs)
        events = np.zeros(correct.shape[1])
        ever = np.zeros(correct.shape[1], dtype=bool)
        before = np.zeros(correct.shape[1], dtype=np.float32)
        for now in correct:
            if ((now > 0) & (now < 1)).any():
                if signals.dynamics.task not in ("single-label", "multi-label"):
                    raise ArgumentError(
                        "`forgetting` counts rows that are right or wrong as a whole, and those of the task "
                        f"{signals.dynamics.task!r} are right in a share of their tokens; pass "
                        '"el2n" or "variability"'
                    )
                raise ArgumentError(
                    "`forgetting` counts events of one run, and these dynamics are the mean of several; average what "
                    'each run scores: np.mean([run.scores("forgetting") for run in runs], axis=0)'
                )
            # NaN compares false: an epoch that didn't show the example is no presentation.
            events += (before == 1) & (now == 0)
            ever |= now == 1
            before = np.where(np.isnan(now), before, now)
        return np.where(ever, events, len(correct) + 1)
