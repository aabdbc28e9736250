"""D2 as its authors run it: every distance in one matrix, float64, one argmax over all rows for each pick.

Written from the paper's description; O(n^2) memory and time. Slow and plain on purpose: it is what the kernels are
held to, and what the benchmark compares them with.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def by_differences(points: Matrix) -> Matrix:
    """(n, n) distances, exact to the last bits also for duplicates and far from the origin."""
    squared = [np.square(points - point).sum(axis=1) for point in points]
    return np.sqrt(np.array(squared))


def by_product(points: Matrix) -> Matrix:
    """(n, n) distances by one matrix product, as the common libraries compute them: fast, but duplicates may come out
    apart."""
    norms = np.square(points).sum(axis=1)
    squared = norms[:, None] + norms - 2 * (points @ points.T)
    return np.sqrt(np.maximum(squared, 0.0))


def shifted(scores: NDArray[Any]) -> Matrix:
    """Difficulties that begin at 0 where some are negative; over the whole dataset, before it is cut into pools."""
    scores = np.asarray(scores, dtype=np.float64)
    return scores - min(scores.min(initial=0.0), 0.0)


def dense_graph(
    points: NDArray[Any],
    difficulty: Matrix,
    *,
    k: int = 10,
    gamma: float = 1.0,
    forward: str = "sum",
    reverse: str = "weighted",
    graph: str = "union",
    squared: bool = False,
    normalize: bool = True,
    distances: Callable[[Matrix], Matrix] = by_differences,
) -> tuple[Matrix, Matrix]:
    """(n,) densities after the forward pass and (n, n) shares that a pick takes from others, 0 without an edge."""
    n = len(points)
    k = min(k, n - 1)
    length = distances(points.astype(np.float64))
    np.fill_diagonal(length, np.inf)
    own = np.zeros((n, n), dtype=bool)
    if k:
        kth = np.partition(length, k - 1, axis=1)[:, k - 1]
        for row in range(n):
            near = np.flatnonzero(length[row] <= kth[row])
            own[row, near[np.argsort(length[row, near], kind="stable")[:k]]] = True
    either = own | own.T
    if normalize and k:
        length /= np.median(length[np.triu(either)]) or 1.0
    edges = either if graph == "union" else own
    length = np.where(edges, length, 0.0)
    if squared:
        length = np.square(length)
    sent = np.maximum(difficulty, 1e-7) if graph == "union" else difficulty
    message = np.where(edges, np.exp(-length), 0.0) @ sent
    density = message + difficulty if forward == "sum" else message * difficulty
    return density, np.where(edges, np.exp(-gamma * length), 0.0) if reverse == "weighted" else edges.astype(float)


def greedy(density: Matrix, shares: Matrix, budget: int) -> NDArray[np.int64]:
    """(budget,) rows in picking order."""
    left, taken = density.copy(), np.zeros(len(density), dtype=bool)
    order = np.empty(budget, dtype=np.int64)
    for place in range(budget):
        row = order[place] = np.where(taken, -np.inf, left).argmax()
        taken[row] = True
        left -= shares[row] * left[row]
    return order


def leads(density: Matrix, shares: Matrix, order: NDArray[np.int64]) -> Matrix:
    """(picks,) by how much each pick of `order` was ahead of the best other row, in units of the largest density.

    Below zero it was no argmax. Within rounding of zero it was a tie, which another order of summation may break.
    """
    left, found = density.copy(), np.full(len(order), np.inf)
    unit = np.abs(density).max() or 1.0
    waiting = np.ones(len(density), dtype=bool)
    for place, row in enumerate(order):
        waiting[row] = False
        if waiting.any():
            found[place] = (left[row] - left[waiting].max()) / unit
        left -= shares[row] * left[row]
    return found


def d2_dense(points: NDArray[Any], difficulty: Matrix, budget: int, **options: Any) -> NDArray[np.int64]:
    """(budget,) rows of one pool in picking order; `options` are those of `dense_graph`."""
    return greedy(*dense_graph(points, difficulty, **options), budget)


def d2_dense_per_class(
    points: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], quotas: NDArray[np.int64], **options: Any
) -> NDArray[np.int64]:
    """The rows kept of all classes, ascending: `quotas[label]` of each."""
    difficulty, kept = shifted(scores), []
    for label, quota in enumerate(quotas):
        rows = np.flatnonzero(labels == label)
        kept.append(rows[d2_dense(points[rows], difficulty[rows], int(quota), **options)])
    return np.sort(np.concatenate(kept))
