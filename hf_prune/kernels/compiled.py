"""The inner loops of the kernels, compiled by numba (`pip install "hf_prune[fast]"`); imported only where it is there.

Each loop has a plain twin in numpy that gives the same result to the last bit; `measure`, `graph` and `greedy` choose.
Loops hold no lock, so that threads can share the rows out.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.tiles import LANES

BLOCK = 64
"""Products that are compared with the limit at once."""
PART = 16
"""Products that are looked at one by one where a block has something below the limit."""

_loop = numba.njit(nogil=True, cache=True)
_bound = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})  # only for bounds, never results


@_loop
def _squared_distance(x: Any, y: Any, sums: Any) -> Any:
    d = len(x)
    whole = d - d % LANES
    sums[:] = 0.0
    for j in range(0, whole, LANES):
        for lane in range(LANES):
            difference = np.float64(x[j + lane]) - np.float64(y[j + lane])
            sums[lane] += difference * difference
    for j in range(whole, d):
        difference = np.float64(x[j]) - np.float64(y[j])
        sums[j - whole] += difference * difference
    half = LANES // 2
    while half:
        for lane in range(half):
            sums[lane] += sums[lane + half]
        half //= 2
    return sums[0]


@_loop
def closest(
    points: NDArray[Any], rows: Ints, candidates: Ints, at_least: Floats, neighbors: Ints, squared: Floats
) -> None:
    """Fill in the k nearest of each row's candidates, nearest first, ties to the lower row.

    Args:
        points: (n, d) float32 or float64.
        candidates: (rows, c) distinct rows; the row itself is passed over.
        at_least: (rows, c) what the squared distance can't be below; candidates that are too far aren't measured.
        neighbors: (rows, k) to fill in; -1 where there are too few candidates.
        squared: (rows, k) to fill in; infinite where there are too few candidates.
    """
    k = neighbors.shape[1]
    sums = np.empty(LANES)
    for place in range(len(rows)):
        row, near, far = rows[place], neighbors[place], squared[place]
        near[:] = -1
        far[:] = np.inf
        for c in range(candidates.shape[1]):
            other = candidates[place, c]
            if other == row or at_least[place, c] > far[k - 1]:
                continue
            distance = _squared_distance(points[row], points[other], sums)
            at = k
            while at and (distance < far[at - 1] or (distance == far[at - 1] and other < near[at - 1])):
                at -= 1
            if at < k:
                for later in range(k - 1, at, -1):
                    near[later], far[later] = near[later - 1], far[later - 1]
                near[at], far[at] = other, distance


@_bound
def round_to_bfloat16(
    points: NDArray[Any], center: Floats, scale: float, rounded: NDArray[np.uint16], norms: Floats, rests: Floats
) -> None:
    """Centre, scale and round points to bfloat16.

    Args:
        rounded: (rows, d) to fill in, the bits.
        norms: (rows,) to fill in, the norms of the rounded points.
        rests: (rows,) to fill in, the norms of what was rounded off.
    """
    d = points.shape[1]
    exact, bits = np.empty(d, dtype=np.float32), np.empty(d, dtype=np.uint32)
    for row in range(len(points)):
        for j in range(d):
            exact[j] = (np.float64(points[row, j]) - center[j]) * scale
        bits[:] = exact.view(np.uint32)
        for j in range(d):  # to the nearest, ties to even
            odd = (bits[j] >> np.uint32(16)) & np.uint32(1)
            bits[j] = (bits[j] + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
        short = bits.view(np.float32)
        norm = rest = 0.0
        for j in range(d):
            value, lost = np.float64(short[j]), np.float64(exact[j]) - np.float64(short[j])
            norm += value * value
            rest += lost * lost
        for j in range(d):
            rounded[row, j] = bits[j] >> np.uint32(16)
        norms[row] = np.sqrt(norm)
        rests[row] = np.sqrt(rest)


@_loop
def _keep_smallest(keys: Any, count: int, wanted: int) -> None:
    """Reorder `keys[:count]` so that the `wanted` smallest come first."""
    low, high = 0, count - 1
    while low < high:
        pivot = keys[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if wanted - 1 <= j:
            high = j
        elif wanted - 1 >= i:
            low = i
        else:
            return


@_loop
def _first_limit(values: Any, wanted: int, lanes: Any) -> Any:
    """Something above the `wanted` smallest of `values`: no fewer lanes than that have a smallest value below it."""
    width = len(lanes)
    lanes[:] = values[:width]
    for block in range(1, len(values) // width):
        part = values[block * width : (block + 1) * width]
        for lane in range(width):
            lanes[lane] = lanes.dtype.type(min(part[lane], lanes[lane]))
    _keep_smallest(lanes, width, wanted)
    return lanes[:wanted].max() + 1


@_loop
def scan(tile: NDArray[Any], first: int, wanted: int, keys: Ints, counts: Ints, limits: NDArray[Any]) -> None:
    """Add to each row's candidates the columns of `tile` that belong to its `wanted` smallest so far.

    Args:
        tile: (rows, columns) ints that order like the numbers whose bits they are.
        first: the point that the first column stands for.
        keys: (rows, room) candidates so far as value * 2**32 + point, room >= wanted + BLOCK.
        counts: (rows,) how many those are.
        limits: (rows,) of the tile's type; nothing at or above it can be a candidate.
    """
    columns, room = tile.shape[1], keys.shape[1]
    whole = columns // BLOCK
    lanes = np.empty(BLOCK * (2 * wanted // BLOCK + 1), dtype=tile.dtype)
    for row in range(len(tile)):
        values, kept, count, limit = tile[row], keys[row], counts[row], limits[row]
        if count == 0 and columns >= 4 * len(lanes):
            limit = min(limit, limits.dtype.type(_first_limit(values, wanted, lanes)))
        for block in range(whole + 1):
            begin, end = block * BLOCK, columns
            if block < whole:
                end = begin + BLOCK
                below = np.int16(0)
                for j in range(BLOCK):  # no branch inside, so that it becomes a few vector instructions
                    below = np.int16(below + np.int16(values[block * BLOCK + j] < limit))
                if below == 0:
                    continue
            for part in range(begin, end, PART):
                if part + PART <= end:
                    below = np.int16(0)
                    for j in range(PART):
                        below = np.int16(below + np.int16(values[part + j] < limit))
                    if below == 0:
                        continue
                for j in range(part, min(part + PART, end)):
                    kept[count] = (np.int64(values[j]) << 32) | (first + j)
                    count += np.int64(values[j] < limit)
            if count + BLOCK > room:
                _keep_smallest(kept, count, wanted)
                count = wanted
                limit = limits.dtype.type(kept[:wanted].max() >> 32)
        counts[row], limits[row] = count, limit


@_loop
def settle(wanted: int, keys: Ints, counts: Ints) -> None:
    """Cut each row's candidates to the `wanted` smallest, in order."""
    for row in range(len(keys)):
        kept = keys[row]
        if counts[row] > wanted:
            _keep_smallest(kept, counts[row], wanted)
            counts[row] = wanted
        kept[: counts[row]].sort()


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
