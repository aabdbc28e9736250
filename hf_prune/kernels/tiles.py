"""Cutting rows into parts that fit into memory, and dimensions into the lanes of a sum."""

import math

LANES = 16
"""Partial sums of a squared distance: dimension j is added to sum j % LANES, then the sums are added pairwise."""

ALIGNED = 64
"""Parts begin at multiples of it, where vector and matrix units work best."""


def tiles(n: int, size: int) -> list[slice]:
    """`range(n)` in parts of at most `size`, and if that is a multiple of ALIGNED, of about the same length."""
    if size % ALIGNED == 0 and n > size:
        even = math.ceil(n / math.ceil(n / size))
        size = math.ceil(even / ALIGNED) * ALIGNED
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
