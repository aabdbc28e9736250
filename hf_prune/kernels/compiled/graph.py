"""The compiled loops over a graph: the union of neighbour lists, and D2's two passes."""

import numba
import numpy as np

from hf_prune.kernels import Floats, Ints

_loop = numba.njit(nogil=True, cache=True)


@_loop
def join(neighbors: Ints, distances: Floats, start: Ints, joined: Ints, lengths: Floats) -> None:
    """Fill in the union graph of (n, k) neighbours, every row's ascending.

    Args:
        start: (n + 1,) to fill in.
        joined: (2 * n * k,) to fill in, of which the first start[n] are used.
        lengths: (2 * n * k,) to fill in likewise.
    """
    n, k = neighbors.shape
    # Who has each row as a neighbour: a counting sort, so ascending.
    filled = np.zeros(n + 1, dtype=np.int64)
    for row in range(n):
        for i in range(k):
            filled[neighbors[row, i] + 1] += 1
    for row in range(n):
        filled[row + 1] += filled[row]
    sources, arriving = np.empty(n * k, dtype=np.int64), np.empty(n * k)
    for row in range(n):
        for i in range(k):
            at = filled[neighbors[row, i]]
            sources[at], arriving[at] = row, distances[row, i]
            filled[neighbors[row, i]] += 1
    # Both lists of a row merged; `filled` now has the end of each row's.
    at, edge, own = 0, 0, np.empty(k, dtype=np.int64)
    for row in range(n):
        start[row] = edge
        for i in range(k):
            j = i
            while j and neighbors[row, own[j - 1]] > neighbors[row, i]:
                own[j] = own[j - 1]
                j -= 1
            own[j] = i
        i = 0
        while i < k or at < filled[row]:
            mine = neighbors[row, own[i]] if i < k else n
            theirs = sources[at] if at < filled[row] else n
            # In both: the lower row's distance counts.
            from_mine = mine < theirs or (mine == theirs and row < mine)
            joined[edge] = min(mine, theirs)
            lengths[edge] = distances[row, own[i]] if from_mine else arriving[at]
            i += mine <= theirs
            at += theirs <= mine
            edge += 1
    start[n] = edge


@_loop
def gather_messages(start: Ints, neighbors: Ints, weights: Floats, scores: Floats, messages: Floats) -> None:
    """The forward pass of `greedy.messages`; fills in (n,) `messages`."""
    for row in range(len(messages)):
        total = 0.0
        for edge in range(start[row], start[row + 1]):
            total += weights[edge] * scores[neighbors[edge]]
        messages[row] = total


@_loop
def pick(
    start: Ints, neighbors: Ints, weights: Floats, order: Ints, left: Floats, suppressed_by: Ints, suppression: Floats
) -> None:
    """The reverse pass of `greedy.pick`, with a tournament tree: every node holds the better of the two below it.

    Args:
        order: (budget,) to fill in.
        left: (n,) densities, changed in place; of a picked row the density that it was picked with.
        suppressed_by: (n,) -1 everywhere, to fill in.
        suppression: (n,) 0 everywhere, to fill in.
    """
    n = len(left)
    leaves = 1
    while leaves < n:
        leaves *= 2
    value = np.full(leaves, -np.inf)
    value[:n] = left
    best = np.empty(2 * leaves, dtype=np.int64)
    best[leaves:] = np.arange(leaves)
    for node in range(leaves - 1, 0, -1):
        first, second = best[2 * node], best[2 * node + 1]
        best[node] = first if value[first] >= value[second] else second
    for place in range(len(order)):
        row = best[1]
        order[place] = row
        density, value[row] = value[row], -np.inf
        for edge in range(start[row] - 1, start[row + 1]):
            changed = row  # itself first, then its neighbours
            if edge >= start[row]:
                changed = neighbors[edge]
                if value[changed] == -np.inf:
                    continue
                taken = weights[edge] * density
                value[changed] -= taken
                left[changed] = value[changed]
                if taken > suppression[changed]:
                    suppression[changed], suppressed_by[changed] = taken, row
            node = (leaves + changed) // 2
            while node:
                first, second = best[2 * node], best[2 * node + 1]
                better = first if value[first] >= value[second] else second
                if better == best[node] and better != changed:
                    break  # nothing above knows the changed row
                best[node] = better
                node //= 2
