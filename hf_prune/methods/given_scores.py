"""The user's own difficulty scores."""

from dataclasses import dataclass
from typing import ClassVar

from hf_prune.kernels import Floats
from hf_prune.methods.score import Score
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class GivenScores(Score):
    """Keeps the rows with the highest of the `scores=` that the user passed.

    Score: as given, (n,) float64, higher = harder.

    Cost: O(n log n).

    >>> from datasets import Dataset
    >>> import hf_prune
    >>> Dataset.from_dict({"x": "abc"}).prune("given_scores", keep=1, scores=[0.1, 0.9, 0.5])["x"]
    Column(['b'])
    """

    name: ClassVar[str] = "given_scores"
    reads: ClassVar[frozenset[str]] = frozenset({"scores"})
    higher_is: ClassVar = "harder"

    def score(self, signals: Signals, seed: int) -> Floats:
        return signals.scores
