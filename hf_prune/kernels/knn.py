"""Exact k-nearest-neighbour graphs under the Euclidean distance."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError

ROWS_AT_A_TIME = 4096
SPARE_CANDIDATES = 16
WORKING_BYTES = 64 * 2**20
FLOAT32_UNIT, FLOAT64_UNIT = 2.0**-24, 2.0**-53


class Graph(NamedTuple):
    """A weighted graph by rows: the neighbours of row i are `neighbors[start[i]:start[i + 1]]`, ascending or by
    distance.

    Attributes:
        start: (n + 1,) int64.
        neighbors: (edges,) int64.
        distances: (edges,) float64.
    """

    start: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    distances: NDArray[np.float64]

    @property
    def rows(self) -> NDArray[np.int64]:
        """(edges,) int64 the row that each edge starts from."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


def nearest_neighbors(
    points: NDArray[Any], k: int, track: Callable[[list[slice]], Iterable[slice]] = iter
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest other rows of every row, nearest first, ties to the lower row.

    A row is never its own neighbour, but its duplicates are. faiss proposes candidates in float32, which are measured
    again in float64; a row whose k-th neighbour is not certainly nearer than what faiss may have left out is searched
    again in full. So the result doesn't depend on float32 rounding.

    Args:
        points: (n, d) finite floats of any width.
        k: 0 <= k < n.
        track: what goes through the tiles of rows, such as a progress bar.

    Returns:
        (n, k) int64 rows and (n, k) float64 distances.

    Cost: O(n^2 d) time; one float32 copy of `points` beside working space of some 200 MB.
    """
    import faiss

    n, d = points.shape
    neighbors, squared = np.empty((n, k), dtype=np.int64), np.empty((n, k))
    if k == 0:
        return neighbors, squared
    centred = _Centred(points)
    index = faiss.IndexFlatL2(d)
    for tile in _tiles(n, ROWS_AT_A_TIME):
        index.add(centred[tile].astype(np.float32))
    wanted = min(n, k + 1 + SPARE_CANDIDATES)
    for tile in track(_tiles(n, max(1, min(ROWS_AT_A_TIME, WORKING_BYTES // (8 * wanted * d))))):
        queries = centred[tile].astype(np.float32)
        near, candidates = index.search(queries, wanted)
        rows = np.arange(tile.start, tile.stop)
        error = centred.error(queries, FLOAT32_UNIT)
        # Candidates that are certainly farther than k others need no measuring; itself counts as one of the near.
        possible = (near <= (near[:, min(k, wanted - 1)] + 2 * error)[:, None]).sum(axis=1).max()
        neighbors[tile], squared[tile] = _closest(points, rows, candidates[:, :possible], k)
        if wanted < n:
            error = centred.error(queries, FLOAT32_UNIT, np.sqrt(squared[tile][:, -1]) * centred.scale)
            left_out = (near[:, -1] - error) / centred.scale**2
            unsure = rows[~(squared[tile][:, -1] < left_out)]
            for part in _tiles(len(unsure), max(1, WORKING_BYTES // (8 * n))):
                _search_all(points, centred, unsure[part], k, neighbors, squared)
    return neighbors, np.sqrt(squared)


class _Centred:
    """Points centred and scaled, so that neither a far origin nor huge or tiny values cost digits.

    Args:
        points: (n, d) finite floats.
    """

    def __init__(self, points: NDArray[Any]) -> None:
        self._points = points
        self._center = points.mean(axis=0, dtype=np.float64)
        tiles = (points[tile] - self._center for tile in _tiles(len(points), ROWS_AT_A_TIME))
        largest = max(float(np.linalg.norm(tile, axis=1).max()) for tile in tiles)
        if not largest < 2.0**510:
            raise ArgumentError("`embeddings`: so large that squared distances overflow; scale them down")
        # A power of two is exact; it brings the largest norm to between 1 and 2.
        self.scale = 2.0 ** min(1000, -math.floor(math.log2(largest))) if largest > 0 else 1.0
        self._largest = largest * self.scale

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (self._points[rows] - self._center) * self.scale
        return found

    def error(
        self, queries: NDArray[Any], unit: float, within: float | NDArray[np.float64] = math.inf
    ) -> NDArray[np.float64]:
        """(rows,) by how much scaled squared distances may be wrong: rounded input and dot products of length d, in
        any order of summation, (d + 8) units in the last place of (|x| + |y|)^2.

        Args:
            unit: half the distance from 1 to the next number: 2**-24 for float32, 2**-53 for float64.
            within: only to points y at most that far, which have |y| <= |x| + within; so one outlier costs the others
                nothing.
        """
        norms = np.linalg.norm(queries.astype(np.float64), axis=1)
        others = np.minimum(self._largest, norms + within)
        wrong: NDArray[np.float64] = (queries.shape[1] + 8) * unit * (norms + others) ** 2
        return wrong


def directed_graph(neighbors: NDArray[np.int64], distances: NDArray[np.float64]) -> Graph:
    """Every row's own neighbours, as they come."""
    n, k = neighbors.shape
    return Graph(np.arange(n + 1, dtype=np.int64) * k, neighbors.ravel().astype(np.int64), distances.ravel())


def union_graph(neighbors: NDArray[np.int64], distances: NDArray[np.float64]) -> Graph:
    """An edge both ways wherever either row is a neighbour of the other."""
    n, k = neighbors.shape
    rows = np.repeat(np.arange(n), k)
    low, high = np.minimum(rows, neighbors.ravel()), np.maximum(rows, neighbors.ravel())
    pairs, first = np.unique(low * n + high, return_index=True)
    low, high, distances = pairs // n, pairs % n, distances.ravel()[first]
    source, target = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.argsort(source * n + target)
    start = np.searchsorted(source[order], np.arange(n + 1))
    return Graph(start, target[order], np.concatenate([distances, distances])[order])


def _closest(
    points: NDArray[Any], rows: NDArray[np.int64], candidates: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest of each row's candidates, (rows, c), itself excluded, by squared distance and then by row."""
    difference = points[candidates].astype(np.float64, copy=False) - points[rows][:, None, :]
    squared = np.einsum("rcd,rcd->rc", difference, difference)
    squared[candidates == rows[:, None]] = np.inf
    order = np.lexsort((candidates, squared), axis=1)[:, :k]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(squared, order, axis=1)


def _search_all(
    points: NDArray[Any],
    centred: _Centred,
    rows: NDArray[np.int64],
    k: int,
    neighbors: NDArray[np.int64],
    squared: NDArray[np.float64],
) -> None:
    """Fill in `rows` of the result from all points: a float64 product leaves few to measure, but for duplicates."""
    queries = centred[rows]
    half = np.empty((len(rows), len(points)))  # half the squared distance less |x|^2 / 2, which a row's entries share
    for tile in _tiles(len(points), ROWS_AT_A_TIME):
        others = centred[tile]
        half[:, tile] = np.square(others).sum(axis=1) / 2 - queries @ others.T
    half[np.arange(len(rows)), rows] = np.inf
    kth = np.partition(half, k - 1, axis=1)[:, k - 1]
    possible = half <= (kth + centred.error(queries, FLOAT64_UNIT))[:, None]
    for row, near in zip(rows, possible, strict=True):
        best = np.empty(0, dtype=np.int64)
        candidates = np.flatnonzero(near)
        for tile in _tiles(len(candidates), max(1, WORKING_BYTES // (8 * points.shape[1]))):
            among = np.concatenate([best, candidates[tile]])[None]
            best = _closest(points, np.array([row]), among, k)[0][0]
        neighbors[row], squared[row] = (found[0] for found in _closest(points, np.array([row]), best[None], k))


def _tiles(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
