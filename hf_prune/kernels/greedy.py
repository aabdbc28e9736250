"""D2's two passes over a graph: densities, then the greedy choice."""

import heapq

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels.graph import Graph


def messages(graph: Graph, scores: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The forward pass: (n,) sum over each row's neighbours of edge weight times score.

    Args:
        scores: (n,) as they are sent.
        weights: (edges,) in the order of the graph.
    """
    sent = weights * scores[graph.neighbors]
    return np.bincount(graph.rows, sent, minlength=len(scores)).astype(np.float64, copy=False)


def pick(graph: Graph, density: NDArray[np.float64], weights: NDArray[np.float64], budget: int) -> NDArray[np.int64]:
    """The reverse pass: `budget` times the row of the largest density, which then lowers that of its neighbours.

    The density of a picked row times the edge's weight is subtracted from each neighbour. Where the picked density is
    negative, neighbours rise. Ties go to the lowest row. Every prefix of the result is the result at that budget.

    Args:
        density: (n,) after the forward pass; not modified.
        weights: (edges,) in the order of the graph.

    Returns:
        (budget,) int64 rows in picking order.

    Cost: O(edges * log n).
    """
    left = density.copy()
    waiting = np.ones(len(left), dtype=bool)
    # A heap with an entry for every density that a row has had; all but the last are stale.
    heap = list(zip((-left).tolist(), range(len(left)), strict=True))
    heapq.heapify(heap)
    order = np.empty(budget, dtype=np.int64)
    for place in range(budget):
        value, row = heapq.heappop(heap)
        while not waiting[row] or -value != left[row]:
            value, row = heapq.heappop(heap)
        order[place] = row
        waiting[row] = False
        edges = slice(graph.start[row], graph.start[row + 1])
        near = graph.neighbors[edges]
        left[near] -= weights[edges] * left[row]
        near = near[waiting[near]]
        for entry in zip((-left[near]).tolist(), near.tolist(), strict=True):
            heapq.heappush(heap, entry)
    return order
