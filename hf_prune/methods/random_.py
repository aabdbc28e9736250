"""Random pruning, the baseline that everything is compared with."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_prune.kernels import Floats
from hf_prune.kernels.keyed_hash import keyed_hash
from hf_prune.methods.base import Method
from hf_prune.methods.choice import Choice
from hf_prune.selection.explain import Row
from hf_prune.signals.signals import Signals


@dataclass(frozen=True)
class Random(Method):
    """Keeps a uniformly random subset.

    Rows are kept in the order of a keyed 64-bit hash of (seed, position in the dataset), smallest first. So a smaller
    budget keeps a subset of what a larger one keeps, shards can be treated apart, and no generator's version matters.

    Selection.scores is that hash as a fraction of 2**64: (n,) float64 in [0, 1), lower is kept first.

    Cost: O(n log n).

    >>> from datasets import Dataset
    >>> import hf_prune
    >>> Dataset.from_dict({"x": range(10)}).prune("random", keep=3, seed=0)["x"]
    Column([0, 3, 8])
    """

    name: ClassVar[str] = "random"

    def scores(self, signals: Signals, seed: int) -> Floats:
        return keyed_hash(seed, signals.ids) / 2.0**64

    def select(self, signals: Signals, budget: int, seed: int) -> Choice:
        key = keyed_hash(seed, signals.ids)  # as a fraction it would tie where 64 bits don't
        return Choice(np.argsort(key, kind="stable")[:budget], key / 2.0**64)

    def explain(self, row: Row) -> list[str]:
        return [f"key {row.score:.4g}, lowest first{row.last_kept()}"]
