"""Weighted graphs by rows, made from lists of neighbours."""

from typing import NamedTuple

import numpy as np

from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.fast import loops


class Graph(NamedTuple):
    """A weighted graph by rows: the neighbours of row i are `neighbors[start[i]:start[i + 1]]`, ascending or by
    distance.

    Attributes:
        start: (n + 1,) int64.
        neighbors: (edges,) int64.
        distances: (edges,) float64.
    """

    start: Ints
    neighbors: Ints
    distances: Floats

    @property
    def rows(self) -> Ints:
        """(edges,) int64 the row that each edge starts from."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


def directed_graph(neighbors: Ints, distances: Floats) -> Graph:
    """Every row's own neighbours, as they come."""
    n, k = neighbors.shape
    return Graph(np.arange(n + 1, dtype=np.int64) * k, neighbors.ravel().astype(np.int64), distances.ravel())


def union_graph(neighbors: Ints, distances: Floats) -> Graph:
    """An edge both ways wherever either row is a neighbour of the other."""
    n, k = neighbors.shape
    if (compiled := loops()) is not None:
        start, joined = np.empty(n + 1, dtype=np.int64), np.empty(2 * n * k, dtype=np.int64)
        lengths = np.empty(2 * n * k)
        compiled.join(neighbors, distances, start, joined, lengths)
        return Graph(start, joined[: start[n]], lengths[: start[n]])
    rows = np.repeat(np.arange(n), k)
    low, high = np.minimum(rows, neighbors.ravel()), np.maximum(rows, neighbors.ravel())
    pairs, first = np.unique(low * n + high, return_index=True)
    low, high, distances = pairs // n, pairs % n, distances.ravel()[first]
    source, target = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.argsort(source * n + target)
    start = np.searchsorted(source[order], np.arange(n + 1))
    return Graph(start, target[order], np.concatenate([distances, distances])[order])
