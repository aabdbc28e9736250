"""Rows that are exact copies of many others, and so need no search of their own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Ints
from hf_prune.kernels.tiles import tiles

VALUES_AT_A_TIME = 2**16
"""Numbers of a part that is compared or hashed at once; it fits into a processor's cache."""


def row_keys(points: NDArray[Any]) -> NDArray[np.uint64]:
    """(n,) uint64, the same for rows of the same numbers, and hardly ever for others.

    Args:
        points: (n, d) finite floats of any width.

    Cost: one pass over the points.
    """
    n, d = points.shape
    # Any odd weights will do: what is found by the keys is compared.
    weights = np.random.default_rng(0).integers(2**63, size=d, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys = np.empty(n, dtype=np.uint64)
    for tile in tiles(n, max(1, VALUES_AT_A_TIME // d)):
        # 0.0 is added so that -0.0, which is as near to everything, has the bits of 0.0.
        bits = np.ascontiguousarray(np.add(points[tile], 0.0, dtype=np.float64)).view(np.uint64)
        bits ^= bits >> np.uint64(32)  # short numbers have zeros at the low end, where a product would keep them
        keys[tile] = bits @ weights
    return keys


def stand_ins(points: NDArray[Any], k: int, keys: NDArray[np.uint64]) -> Ints | None:
    """(n,) int64 for each row one that has the same k neighbours; None if that is every row itself.

    Of equal rows the first k + 1 stand in for all: ties go to the lower row, so that no later copy is ever among
    the k nearest. The (k + 1)th has the k before it for neighbours, or rows that are as near and lower still, and so
    have all that follow it.

    Args:
        keys: what `row_keys` gives; equal keys of rows that differ cost time and nothing else.

    Cost: O(n log n) time, and the copies are read once.
    """
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0))
    sizes = np.diff(np.append(starts, len(keys)))
    many = sizes > k + 1
    stand_in = np.arange(len(keys))
    for start, size in zip(starts[many].tolist(), sizes[many].tolist(), strict=True):
        copies = order[start : start + size]
        if _are_equal(points, copies):
            stand_in[copies[k + 1 :]] = copies[k]
    return None if (stand_in == np.arange(len(keys))).all() else stand_in


def _are_equal(points: NDArray[Any], rows: Ints) -> bool:
    first = points[rows[0]]
    parts = tiles(len(rows), max(1, VALUES_AT_A_TIME // len(first)))
    return all(bool((points[rows[part]] == first).all()) for part in parts)
