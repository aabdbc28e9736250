"""The nearest other rows of every row, exactly, or approximately where all pairs are too many."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.candidates import Centred
from hf_prune.kernels.copies import row_keys
from hf_prune.kernels.knn import nearest_neighbors
from hf_prune.kernels.tiles import tiles

EXACT_UP_TO = 500_000
"""Rows from which on "auto" searches approximately: all pairs of them take minutes on two cores."""

PROBES = 32
"""Clusters that a cluster's rows search, their own among them."""

TRAINED_ON = 64
"""Rows a cluster from which the centroids are made."""

SAMPLED = 1000
"""Rows whose neighbours are also found exactly, to measure the recall."""

ROWS_AT_A_TIME = 16384

Search = Literal["auto", "exact", "approximate"]


class Neighbors(NamedTuple):
    """A list of neighbours.

    Attributes:
        neighbors: (n, k) int64 rows, nearest first.
        distances: (n, k) float64, exact for the pairs that are there.
        recall: share of the true neighbours that are there, measured on SAMPLED rows; None where all are.
    """

    neighbors: Ints
    distances: Floats
    recall: float | None


def find_neighbors(
    points: NDArray[Any], k: int, track: Callable[[list[Any]], Iterable[Any]] = iter, *, search: Search = "auto"
) -> Neighbors:
    """The k nearest other rows of every row, exactly (`nearest_neighbors`) or approximately."""
    if search == "exact" or (search == "auto" and len(points) <= EXACT_UP_TO):
        return Neighbors(*nearest_neighbors(points, k, track), None)
    return approximate_neighbors(points, k, track)


def searched(recall: float | None) -> dict[str, Any]:
    """What a record says of a list of neighbours."""
    return {"search": "exact"} if recall is None else {"search": "approximate", "recall": recall}


def approximate_neighbors(
    points: NDArray[Any], k: int, track: Callable[[list[Any]], Iterable[Any]] = iter
) -> Neighbors:
    """Near other rows of every row: the nearest among those of its own and the next clusters.

    The rows are put into about sqrt(n) clusters by k-means on an evenly spaced sample. The rows of a cluster search
    exactly, by `nearest_neighbors`, those of the PROBES clusters whose centroids are nearest to its own, or of more
    if these hold too few. Nothing is drawn at random but faiss's start, which is seeded.

    Args:
        points: (n, d) finite floats of any width.
        k: 0 < k < n.
        track: what goes through the clusters, such as a progress bar.

    Cost: O(n^1.5 d) time and O(sqrt(n) d) beside the result for clusters of about the same size.
    """
    points = np.asarray(points)
    members, nearby = _clusters(points, k)
    keys = row_keys(points)
    neighbors, distances = np.empty((len(points), k), dtype=np.int64), np.empty((len(points), k))
    # K-means can leave clusters empty.
    for cluster in track([cluster for cluster, rows in enumerate(members) if len(rows)]):
        rows = members[cluster]
        # Ascending, so that ties still go to the lower row.
        among = np.sort(np.concatenate([members[other] for other in nearby[cluster]]))
        near, distances[rows] = nearest_neighbors(
            points[among], k, rows=np.searchsorted(among, rows), keys=keys[among]
        )
        neighbors[rows] = among[near]
    sample = np.unique(np.linspace(0, len(points) - 1, SAMPLED).astype(np.int64))
    exact = nearest_neighbors(points, k, rows=sample, keys=keys)[1]
    # By distance: of equally near rows any is right.
    as_near = distances[sample] <= exact[:, -1:]
    return Neighbors(neighbors, distances, float(as_near.mean()))


def _clusters(points: NDArray[Any], k: int) -> tuple[list[Ints], list[Ints]]:
    """For each cluster its rows, ascending, and the clusters to search, its own first."""
    import faiss

    n, d = points.shape
    centred, count = Centred(points), max(1, round(math.sqrt(n)))
    sample = np.unique(np.linspace(0, n - 1, TRAINED_ON * count).astype(np.int64))
    kmeans = faiss.Kmeans(d, count, niter=10, seed=0, min_points_per_centroid=1, max_points_per_centroid=TRAINED_ON)
    kmeans.train(centred[sample].astype(np.float32))
    assert kmeans.centroids is not None, "train sets them"
    assigned = np.empty(n, dtype=np.int64)
    for tile in tiles(n, ROWS_AT_A_TIME):
        assigned[tile] = kmeans.index.search(centred[tile].astype(np.float32), 1)[1][:, 0]
    order, sizes = np.argsort(assigned, kind="stable"), np.bincount(assigned, minlength=count)
    members = np.split(order, np.cumsum(sizes)[:-1])
    ranked = kmeans.index.search(kmeans.centroids, count)[1]
    nearby = []
    for cluster in range(count):
        by_distance = np.concatenate([[cluster], ranked[cluster][ranked[cluster] != cluster]])
        enough = int(np.searchsorted(np.cumsum(sizes[by_distance]), k, side="right")) + 1
        nearby.append(by_distance[: max(PROBES, enough)])
    return members, nearby
