"""A random order of rows that needs no generator: a hash of each position, keyed by the seed."""

import numpy as np
from numpy.typing import NDArray


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
