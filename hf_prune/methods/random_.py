"""Random pruning, the baseline that everything is compared with."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_prune.methods.base import PoolMethod
from hf_prune.selection import Selection
from hf_prune.signals import Signals


@dataclass(frozen=True)
class Random(PoolMethod):
    """Keeps a uniformly random subset.

    Rows are kept in the order of a keyed 64-bit hash of (seed, position in the dataset), smallest first. So a smaller
    budget keeps a subset of what a larger one keeps, shards can be treated apart, and no generator's version matters.

    Selection.scores is that hash as a fraction of 2**64: (n,) float64 in [0, 1), lower is kept first.

    Args:
        cutoff: as in PoolMethod.

    Cost: O(n log n).

    >>> from datasets import Dataset
    >>> import hf_prune
    >>> Dataset.from_dict({"x": range(10)}).prune("random", keep=3, seed=0)["x"]
    Column([0, 3, 8])
    """

    name: ClassVar[str] = "random"

    def raw_scores(self, signals: Signals, seed: int) -> NDArray[np.float64]:
        return keyed_hash(seed, signals.ids) / 2.0**64

    def choose(self, pool: Signals, budget: int, seed: int) -> Selection:
        key = keyed_hash(seed, pool.ids)
        return Selection.from_order(np.argsort(key, kind="stable")[:budget], key / 2.0**64)


def keyed_hash(seed: int, ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(n,) uint64 hash of each id under `seed`; a bijection of the ids for every seed, so no two are equal.

    Two rounds of the finaliser of SplitMix64 (Steele, Lea and Flood, 2014), the seed mixed in before each.
    """
    key = _mix(np.array([seed], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return _mix(_mix(ids.astype(np.uint64) ^ key) + key)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
