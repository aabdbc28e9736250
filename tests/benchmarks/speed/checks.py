"""What a timed result is held to: float64 arithmetic that shares no code with the kernels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels.graph import Graph
from hf_prune.selection.selection import Selection
from tests.oracles.d2_dense import by_product, d2_dense

COLUMNS_AT_A_TIME = 16_384
SPARE = 32
BLOCK = 512


def nearest_of(points: NDArray[Any], rows: NDArray[np.int64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest other points of `rows`, in float64: a product proposes k + 32, differences decide."""
    queries = points[rows].astype(np.float64)
    half = np.empty((len(rows), len(points)))
    for start in range(0, len(points), COLUMNS_AT_A_TIME):
        others = points[start : start + COLUMNS_AT_A_TIME].astype(np.float64)
        half[:, start : start + len(others)] = np.square(others).sum(axis=1) / 2 - queries @ others.T
    half[np.arange(len(rows)), rows] = np.inf
    wanted = min(k + SPARE, len(points) - 1)
    candidates = np.sort(np.argpartition(half, wanted - 1, axis=1)[:, :wanted], axis=1)
    distances = np.array(
        [
            np.linalg.norm(points[near].astype(np.float64) - query, axis=1)
            for near, query in zip(candidates, queries, strict=True)
        ]
    )
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(distances, order, axis=1)


def check_graph(
    points: NDArray[Any], neighbors: NDArray[np.int64], distances: NDArray[np.float64], sample: int = 500
) -> str:
    """Holds a sample of rows of the graph to `nearest_of`."""
    rows = np.sort(np.random.default_rng(1).choice(len(points), min(sample, len(points)), replace=False))
    near, exact = nearest_of(points, rows, neighbors.shape[1])
    np.testing.assert_array_equal(neighbors[rows], near)
    np.testing.assert_allclose(distances[rows], exact, rtol=1e-12)
    return f"{len(rows):,} sampled rows equal to float64"


def check_classes(
    selection: Selection,
    points: NDArray[Any],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: list[int],
    k: int,
) -> str:
    """Holds what is kept of some classes to the dense oracle, and the quotas of all to be equal."""
    quotas = np.bincount(labels[selection.indices], minlength=labels.max() + 1)
    assert quotas.max() - quotas.min() <= 1, quotas
    for label in classes:
        rows = np.flatnonzero(labels == label)
        expected = d2_dense(points[rows], scores[rows], int(quotas[label]), k=k, distances=by_product)
        kept = selection.indices[labels[selection.indices] == label]
        np.testing.assert_array_equal(kept, np.sort(rows[expected]))
    return f"kept rows of {len(classes)} of {len(quotas):,} classes equal to the dense oracle's"


def check_union(graph: Graph, neighbors: NDArray[np.int64], distances: NDArray[np.float64]) -> None:
    """Holds a union graph to the maximum of a sparse matrix and its transpose."""
    from scipy.sparse import csr_array

    n, k = neighbors.shape
    own = csr_array((distances.ravel(), neighbors.ravel(), np.arange(n + 1) * k), shape=(n, n))
    union = csr_array(own.maximum(own.T))
    union.sort_indices()
    np.testing.assert_array_equal(graph.start, union.indptr)
    np.testing.assert_array_equal(graph.neighbors, union.indices)
    np.testing.assert_array_equal(graph.distances, union.data)


def greedy_by_blocks(
    graph: Graph, density: NDArray[np.float64], weights: NDArray[np.float64], budget: int
) -> NDArray[np.int64]:
    """The greedy order with plain arrays: the largest density of each block of rows, kept up to date."""
    blocks = -(-len(density) // BLOCK)
    left = np.full(blocks * BLOCK, -np.inf)
    left[: len(density)] = density
    tiles = left.reshape(blocks, BLOCK)
    best, order = tiles.max(axis=1), np.empty(budget, dtype=np.int64)
    for place in range(budget):
        block = best.argmax()
        row = order[place] = block * BLOCK + tiles[block].argmax()
        edges = slice(graph.start[row], graph.start[row + 1])
        near = graph.neighbors[edges]
        left[near] -= weights[edges] * left[row]  # what is taken stays at minus infinity
        left[row] = -np.inf
        touched = np.append(near // BLOCK, block)
        best[touched] = tiles[touched].max(axis=1)
    return order
