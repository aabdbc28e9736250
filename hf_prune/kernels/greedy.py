"""D2's two passes over a graph: densities, then the greedy choice."""

import heapq
from typing import NamedTuple

import numpy as np

from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.fast import loops
from hf_prune.kernels.graph import Graph


class Picks(NamedTuple):
    """What the reverse pass did.

    Attributes:
        order: (budget,) int64 rows in picking order.
        left: (n,) float64 density of each row at the end, or at its pick.
        suppressed_by: (n,) int64 the picked neighbour that took most from the row before the row was picked, the
            earliest of equals; -1 if none took anything.
        suppression: (n,) float64 what it took, 0 if none did.
    """

    order: Ints
    left: Floats
    suppressed_by: Ints
    suppression: Floats


def fading(lengths: Floats, rate: float = 1.0) -> Floats:
    """The (edges,) weight of each edge, exp(-rate * length)."""
    weights = lengths * -rate
    return np.exp(weights, out=weights)


def messages(graph: Graph, scores: Floats, weights: Floats) -> Floats:
    """The forward pass: (n,) sum over each row's neighbours of edge weight times score.

    Args:
        scores: (n,) as they are sent.
        weights: (edges,) in the order of the graph.
    """
    if (compiled := loops()) is not None:
        gathered = np.empty(len(scores))
        compiled.gather_messages(*graph[:2], weights, scores, gathered)
        return gathered
    sent = weights * scores[graph.neighbors]
    return np.bincount(graph.rows, sent, minlength=len(scores)).astype(np.float64, copy=False)


def pick(graph: Graph, density: Floats, weights: Floats, budget: int) -> Picks:
    """The reverse pass: `budget` times the row of the largest density, which then lowers that of its neighbours.

    The density of a picked row times the edge's weight is subtracted from each neighbour. Where the picked density is
    negative, neighbours rise. Ties go to the lowest row. Every prefix of the result is the result at that budget.

    Args:
        density: (n,) after the forward pass; not modified.
        weights: (edges,) in the order of the graph.

    Cost: O(edges * log n).
    """
    left, order = density.copy(), np.empty(budget, dtype=np.int64)
    picks = Picks(order, left, np.full(len(left), -1, dtype=np.int64), np.zeros(len(left)))
    if (compiled := loops()) is not None:
        compiled.pick(*graph[:2], weights, *picks)
        return picks
    waiting = np.ones(len(left), dtype=bool)
    # A heap with an entry for every density that a row has had; all but the last are stale.
    heap = list(zip((-left).tolist(), range(len(left)), strict=True))
    heapq.heapify(heap)
    for place in range(budget):
        value, row = heapq.heappop(heap)
        while not waiting[row] or -value != left[row]:
            value, row = heapq.heappop(heap)
        order[place] = row
        waiting[row] = False
        edges = slice(graph.start[row], graph.start[row + 1])
        near = graph.neighbors[edges]
        still = waiting[near]
        near, taken = near[still], weights[edges][still] * left[row]
        left[near] -= taken
        most = taken > picks.suppression[near]  # a negative pick takes nothing
        picks.suppressed_by[near[most]], picks.suppression[near[most]] = row, taken[most]
        for entry in zip((-left[near]).tolist(), near.tolist(), strict=True):
            heapq.heappush(heap, entry)
    return picks
