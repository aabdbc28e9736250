"""What a proposer answers: which points may be among a row's nearest, and how near all others can be at most.

`knn.nearest_neighbors` measures candidates exactly, so what is proposed decides the time and not the result.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError
from hf_prune.kernels import Floats, Ints

SPARE_CANDIDATES, MANY_SPARE_CANDIDATES = 24, 128
"""Candidates beyond k: bfloat16 settles nearly every row with the few, and most of the others with the many."""

ROWS_AT_A_TIME, QUERIES_AT_A_TIME, POINTS_AT_A_TIME = 32768, 1024, 8192
"""Rows of a search, rows of a matrix product, and its points: some 150 MB of working space for any n."""

BFLOAT16_UNIT, FLOAT32_UNIT, FLOAT64_UNIT = 2.0**-8, 2.0**-24, 2.0**-53
"""Half the distance from 1 to the next number."""
UNDERFLOW = 1e-30
"""Far above what is lost where a product of scaled numbers is too small for float32, far below what matters."""


class Candidates(NamedTuple):
    """What may be nearest to some rows.

    Attributes:
        points: (rows, c) int64; a row may be its own candidate.
        at_least: (rows, c) float64, what the squared distance to each can't be below.
        left_out: from the (rows,) squared distances to the k-th neighbours to the (rows,) squared distance that no
            point which is no candidate and nearer than these can be below.
    """

    points: Ints
    at_least: Floats
    left_out: Callable[[Floats], Floats]


Proposer: TypeAlias = Callable[[Ints], Candidates]
"""Proposes candidates for rows of the points that it was made for."""


class Centred:
    """Points centred and scaled, so that neither a far origin nor huge or tiny values cost digits.

    Args:
        points: (n, d) finite floats.
    """

    def __init__(self, points: NDArray[Any]) -> None:
        self.points = points
        self.center: Floats = points.mean(axis=0, dtype=np.float64)
        largest = 2.0 * max(float(points.max()), -float(points.min())) * math.sqrt(points.shape[1])
        if not largest < 2.0**510:
            raise ArgumentError("`embeddings`: so large that squared distances overflow; scale them down")
        if 0 < largest < 2.0**-500:
            raise ArgumentError("`embeddings`: so small that squared distances underflow; scale them up")
        # A power of two is exact; it brings every norm below 2.
        self.scale = 2.0 ** -math.floor(math.log2(largest)) if largest > 0 else 1.0

    def __getitem__(self, rows: slice | Ints) -> Floats:
        centred: Floats = (self.points[rows] - self.center) * self.scale
        return centred


def rounding(d: int, norms: Any, other_norms: Any, unit: float = FLOAT32_UNIT) -> Floats:
    """How wrong scaled squared distances may be that were added up from dot products, in any order.

    (d + 16) units in the last place of (|x| + |y|)^2: for d + 6 products, and rounded input.

    Args:
        norms: |x|.
        other_norms: |y|, or a bound of it.
        unit: half the distance from 1 to the next number.
    """
    wrong: Floats = (d + 16) * unit * np.square(norms + other_norms) + UNDERFLOW
    return wrong
