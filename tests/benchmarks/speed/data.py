"""The benchmark's data, drawn from fixed seeds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CLUSTERS = 100
SPREAD = 0.5
ROWS_AT_A_TIME = 65_536


def clustered(
    n: int, d: int, classes: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """(n, d) points, (n,) labels and (n,) scores.

    Each class has 100 centres from a standard Gaussian; a point is a random one of its class's centres plus Gaussian
    noise of 0.5. Label i % classes; scores uniform in [0, 1).
    """
    draw = np.random.default_rng(seed)
    centers = draw.standard_normal((classes, CLUSTERS, d), dtype=np.float32)
    labels, cluster = np.arange(n) % classes, draw.integers(CLUSTERS, size=n)
    points = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, ROWS_AT_A_TIME):
        rows = slice(start, min(start + ROWS_AT_A_TIME, n))
        noise = draw.standard_normal((rows.stop - start, d), dtype=np.float32)
        points[rows] = centers[labels[rows], cluster[rows]] + np.float32(SPREAD) * noise
    return points, labels, draw.random(n)


def random_neighbors(n: int, k: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n, k) distinct random other rows and ascending distances, uniform in [0.5, 1.5), the same both ways."""
    draw = np.random.default_rng(seed)
    # k ascending draws with repetition plus 0, 1, ..., k - 1 are k distinct steps from 1 to n - 1.
    steps = np.sort(draw.integers(1, n - k + 1, size=(n, k)), axis=1) + np.arange(k)
    neighbors = (np.arange(n)[:, None] + steps) % n
    distances = _of_pair(neighbors, n)
    order = np.argsort(distances, axis=1)
    return np.take_along_axis(neighbors, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _of_pair(neighbors: NDArray[np.int64], n: int) -> NDArray[Any]:
    rows = np.arange(n)[:, None]
    pair = np.minimum(rows, neighbors).astype(np.uint64) * np.uint64(n) + np.maximum(rows, neighbors).astype(np.uint64)
    mixed = pair * np.uint64(0x9E3779B97F4A7C15)  # overflow is meant: it mixes the bits
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return 0.5 + (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
