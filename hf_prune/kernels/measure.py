"""Exact distances: in float64, and always added up in the same order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.fast import loops
from hf_prune.kernels.threads import Share
from hf_prune.kernels.tiles import LANES, tiles

ROWS_AT_A_TIME = 1024
WORKING_BYTES = 64 * 2**20


def closest(
    points: NDArray[Any], rows: Ints, among: Ints, at_least: Floats, k: int, share: Share | None
) -> tuple[Ints, Floats]:
    """The k nearest of each row's candidates, (rows, c), itself excluded, by squared distance and then by row.

    Args:
        at_least: (rows, c) what the squared distances can't be below.
        share: threads for the compiled loop, or None for the plain one.
    """
    near, far = np.empty((len(rows), k), dtype=np.int64), np.empty((len(rows), k))
    if share is not None:

        def fill(part: slice) -> None:
            loops().closest(points, rows[part], among[part], at_least[part], near[part], far[part])

        share(fill, tiles(len(rows), ROWS_AT_A_TIME))
        return near, far
    for part in tiles(len(rows), max(1, WORKING_BYTES // (8 * among.shape[1] * points.shape[1]))):
        squared = _squared_distances(points, rows[part], among[part])
        order = np.lexsort((among[part], squared), axis=1)[:, :k]
        near[part] = np.take_along_axis(among[part], order, axis=1)
        far[part] = np.take_along_axis(squared, order, axis=1)
    return near, far


def _squared_distances(points: NDArray[Any], rows: Ints, among: Ints) -> Floats:
    """(rows, c) float64, infinite to itself; added up as `compiled` does."""
    d = points.shape[1]
    sums = np.zeros((*among.shape, LANES))
    for first in range(0, d, LANES):
        lanes = slice(first, min(first + LANES, d))
        difference = points[among, lanes].astype(np.float64) - points[rows, None, lanes]
        sums[:, :, : lanes.stop - first] += difference * difference
    while sums.shape[2] > 1:
        half = sums.shape[2] // 2
        sums = sums[:, :, :half] + sums[:, :, half:]
    squared: Floats = sums[:, :, 0]
    squared[among == rows[:, None]] = np.inf
    return squared
