"""What every score is: a number for each row that says how hard it is, in the units of its paper."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import instance_of, whole_number
from hf_prune.config import Configurable, checked
from hf_prune.dynamics.data import Epochs
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.kernels import Floats
from hf_prune.signals.signals import Signals

Prefer = Literal["hard", "easy", "middle"]


class Score(Configurable):
    """Base of the scores; a subclass has a `name`, `higher_is`, and `score` in the paper's own units.

    `ByScore` keeps rows by a score, and D2 takes one as its difficulty.
    """

    kind = "score"

    higher_is: ClassVar[Literal["harder", "easier"]]
    prefer: ClassVar[Prefer] = "hard"
    """The end that the paper keeps, or the middle; what ByScore does by default."""

    def score(self, signals: Signals, seed: int) -> NDArray[Any]:
        """(n,) finite score of every row of the whole dataset."""
        raise NotImplementedError

    def scores_of(self, signals: Signals, seed: int) -> Floats:
        """(n,) `score` for the rows of `signals`, computed once over the whole dataset, and checked."""

        def compute(whole: Signals) -> Floats:
            scores = np.asarray(self.score(whole, seed), dtype=np.float64)
            if scores.shape != (len(whole),):
                raise ArgumentError(
                    f"`{self.name}`: wanted a score for each of {len(whole)} rows, got shape {scores.shape}"
                )
            if len(bad := np.flatnonzero(~np.isfinite(scores))):
                raise ArgumentError(
                    f"`{self.name}`: row {bad[0]} has the score {scores[bad[0]]} ({len(bad)} rows not finite)"
                )
            return scores

        return signals.shared((self, seed), compute)

    def of_run(self, dynamics: TrainingDynamics) -> Floats:
        """(n,) `score` of a training run, for scores that read nothing else."""
        return self.scores_of(Signals(len(dynamics), {"dynamics": dynamics}), seed=0)

    def difficulty(self, signals: Signals, seed: int) -> Floats:
        """(n,) the score turned so that higher is harder, and never negative.

        If the lowest oriented score of the whole dataset is negative it is subtracted; others are used as they are.
        """

        def turn(whole: Signals) -> Floats:
            scores = self.scores_of(whole, seed)
            oriented = scores if self.higher_is == "harder" else -scores
            lowest = oriented.min(initial=0.0)
            return oriented - lowest if lowest < 0 else oriented

        return signals.shared(("difficulty", self, seed), turn)


A_SCORE = checked(instance_of, kind=Score, example="hf_prune.AUM()")
"""The metadata of a field that holds a score."""


def epoch_range(name: str, epochs: Any) -> tuple[int, int]:
    """The half-open range (start, stop) of epochs that users mean."""
    if isinstance(epochs, list | tuple):
        if len(epochs) != 2:
            raise ArgumentTypeError(f"`{name}`: wanted (start, stop) or a number of epochs, got {epochs!r}")
        start = whole_number(name, epochs[0], at_least=0)
        return start, whole_number(name, epochs[1], at_least=start + 1)
    return 0, whole_number(name, epochs, at_least=1)


@dataclass(frozen=True)
class DynamicsScore(Score):
    """Base of the scores that are read from training dynamics.

    Args:
        epochs: the half-open range of epochs to read, as (start, stop); an int means the first so many; None means
            all.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    epochs: Epochs = field(default=None, metadata=checked(epoch_range))
