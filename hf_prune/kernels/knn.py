"""Exact k-nearest-neighbour graphs under the Euclidean distance."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Floats, Ints, candidates
from hf_prune.kernels.candidates import FLOAT64_UNIT, Centred, rounding
from hf_prune.kernels.copies import row_keys, stand_ins
from hf_prune.kernels.fast import loops
from hf_prune.kernels.measure import closest
from hf_prune.kernels.proposers import proposers
from hf_prune.kernels.threads import Share, threads
from hf_prune.kernels.tiles import tiles

WORKING_BYTES = 64 * 2**20


def nearest_neighbors(
    points: NDArray[Any],
    k: int,
    track: Callable[[list[slice]], Iterable[slice]] = iter,
    *,
    rows: Ints | None = None,
    keys: NDArray[np.uint64] | None = None,
) -> tuple[Ints, Floats]:
    """The k nearest other rows of every row, nearest first, ties to the lower row.

    A row is never its own neighbour, but its duplicates are. Candidates are proposed in low precision (see
    `candidates`) and measured in float64, always in the same order of summation. A row whose k-th neighbour is not
    certainly nearer than all that was left out is proposed again in higher precision, at last in float64. So the
    result does not depend on which way it was found. Of more than k + 1 equal rows only the first are searched.

    Args:
        points: (n, d) finite floats of any width.
        k: 0 <= k < n.
        track: what goes through the tiles of rows, such as a progress bar.
        rows: (m,) int64, those to search for; all by default.
        keys: (n,) what `copies.row_keys` gives of the points, if it is there.

    Returns:
        (m, k) int64 rows and (m, k) float64 distances.

    Cost: O(m n d) time, where n and m count no more than k + 1 of equal rows; some 150 MB beside the result, without
    numba one float32 copy of `points`, and a copy of what is searched where more rows are equal.
    """
    points = np.asarray(points)
    rows = np.arange(len(points)) if rows is None else rows
    stand_in = stand_ins(points, k, row_keys(points) if keys is None else keys) if k and len(rows) else None
    if stand_in is None:
        return _search(points, k, track, rows)
    among = np.flatnonzero(stand_in == np.arange(len(points)))
    searched, place = np.unique(stand_in[rows], return_inverse=True)
    neighbors, distances = _search(points[among], k, track, np.searchsorted(among, searched))
    return among[neighbors][place], distances[place]


def _search(
    points: NDArray[Any], k: int, track: Callable[[list[slice]], Iterable[slice]], rows: Ints
) -> tuple[Ints, Floats]:
    neighbors, squared = np.empty((len(rows), k), dtype=np.int64), np.empty((len(rows), k))
    if k == 0 or not len(rows):
        return neighbors, squared
    centred = Centred(points)
    unsure = np.arange(len(rows))
    compiled = loops() is not None and points.dtype in (np.float32, np.float64)
    with threads() if compiled else nullcontext(None) as share:
        for propose in proposers(centred, k, share):
            if not len(unsure):
                break
            parts, unsure_parts = tiles(len(unsure), candidates.ROWS_AT_A_TIME), []
            for part in track(parts) if len(unsure) == len(rows) else parts:
                places = unsure[part]
                proposed = propose(rows[places])
                near, far = closest(points, rows[places], proposed.points, proposed.at_least, k, share)
                neighbors[places], squared[places] = near, far
                unsure_parts.append(places[~(far[:, -1] < proposed.left_out(far[:, -1]))])
            unsure = np.concatenate(unsure_parts)
            del propose, proposed  # whose room the next one needs
        for part in tiles(len(unsure), max(1, WORKING_BYTES // (8 * len(points)))):
            _search_all(centred, rows, unsure[part], neighbors, squared, share)
    return neighbors, np.sqrt(squared)


def _search_all(
    centred: Centred, rows: Ints, places: Ints, neighbors: Ints, squared: Floats, share: Share | None
) -> None:
    """Fill in `places` of the result from all points: a float64 product leaves few to measure, but for duplicates."""
    points, k = centred.points, neighbors.shape[1]
    queries = centred[rows[places]]
    norms = np.linalg.norm(queries, axis=1)
    # Half the squared distances less |x|^2 / 2, which a row's entries share.
    half = np.empty((len(places), len(points)))
    for tile in tiles(len(points), candidates.POINTS_AT_A_TIME):
        others = centred[tile]
        half[:, tile] = np.square(others).sum(axis=1) / 2 - queries @ others.T
    half[np.arange(len(places)), rows[places]] = np.inf
    kth = np.partition(half, k - 1, axis=1)[:, k - 1]
    within = norms + np.sqrt(squared[places, -1]) * centred.scale
    possible = half <= (kth + rounding(points.shape[1], norms, within, FLOAT64_UNIT))[:, None]
    for place, near in zip(places, possible, strict=True):
        among = np.flatnonzero(near)[None]
        one = closest(points, rows[[place]], among, np.zeros(among.shape), k, share)
        neighbors[place], squared[place] = one[0][0], one[1][0]
