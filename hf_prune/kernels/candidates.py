"""Which points may be among a row's nearest, and how near all others can be at most: fast and in low precision.

`knn.nearest_neighbors` measures candidates exactly, so what is proposed here decides the time and not the result.
"""

import math
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError
from hf_prune.kernels.fast import loops
from hf_prune.kernels.hardware import has_bfloat16_units
from hf_prune.kernels.pages import working_space
from hf_prune.kernels.threads import Each
from hf_prune.kernels.tiles import tiles

if TYPE_CHECKING:
    import torch

SPARE_CANDIDATES, MANY_SPARE_CANDIDATES = 24, 128
"""Beyond k: so many that bfloat16 settles nearly every row, and most of the others when they are looked at again."""

ROWS_AT_A_TIME, QUERIES_AT_A_TIME, POINTS_AT_A_TIME = 32768, 1024, 8192
"""A search's rows, those of one matrix product, and the points of one: some 150 MB of working space for any n."""

WIDTH_UNIT = 32
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

    points: NDArray[np.int64]
    at_least: NDArray[np.float64]
    left_out: Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Proposer(Protocol):
    """Proposes candidates for rows of the points that it was made for."""

    def __call__(self, rows: NDArray[np.int64]) -> Candidates: ...


class Centred:
    """Points centred and scaled, so that neither a far origin nor huge or tiny values cost digits.

    Args:
        points: (n, d) finite floats.
    """

    def __init__(self, points: NDArray[Any]) -> None:
        self.points = points
        self.center: NDArray[np.float64] = points.mean(axis=0, dtype=np.float64)
        largest = 2.0 * max(float(points.max()), -float(points.min())) * math.sqrt(points.shape[1])
        if not largest < 2.0**510:
            raise ArgumentError("`embeddings`: so large that squared distances overflow; scale them down")
        # A power of two is exact; it brings every norm below 2.
        self.scale = 2.0 ** min(1000, -math.floor(math.log2(largest))) if largest > 0 else 1.0

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (self.points[rows] - self.center) * self.scale
        return found


def rounding(d: int, norms: Any, other_norms: Any, unit: float = FLOAT32_UNIT) -> NDArray[np.float64]:
    """By how much scaled squared distances may be wrong that were added up from dot products, in any order.

    (d + 16) units in the last place of (|x| + |y|)^2: for d + 6 products, and rounded input.

    Args:
        norms: |x|.
        other_norms: |y|, or a bound of it.
        unit: half the distance from 1 to the next number.
    """
    wrong: NDArray[np.float64] = (d + 16) * unit * np.square(norms + other_norms) + UNDERFLOW
    return wrong


class Everything:
    """All points are candidates: where there are hardly more than are wanted."""

    def __init__(self, centred: Centred) -> None:
        self._n = len(centred.points)

    def __call__(self, rows: NDArray[np.int64]) -> Candidates:
        shape = (len(rows), self._n)
        return Candidates(
            np.broadcast_to(np.arange(self._n), shape).copy(), np.zeros(shape), lambda kth: np.full(len(rows), np.inf)
        )


class FaissFlat:
    """faiss's exhaustive search in float32: the plain path, which holds a float32 copy of the points."""

    def __init__(self, centred: Centred, k: int) -> None:
        import faiss

        self._centred, self._wanted = centred, k + SPARE_CANDIDATES
        self._index = faiss.IndexFlatL2(centred.points.shape[1])
        self._norms = np.empty(len(centred.points))
        for tile in tiles(len(centred.points), POINTS_AT_A_TIME):
            narrow = centred[tile].astype(np.float32)
            self._index.add(narrow)
            self._norms[tile] = np.linalg.norm(narrow.astype(np.float64), axis=1)

    def __call__(self, rows: NDArray[np.int64]) -> Candidates:
        scale, d, norms = self._centred.scale, self._index.d, self._norms
        squared, points = self._index.search(self._centred[rows].astype(np.float32), self._wanted)
        squared = squared.astype(np.float64)

        def left_out(kth: NDArray[np.float64]) -> NDArray[np.float64]:
            others = np.minimum(norms.max(), norms[rows] + np.sqrt(kth) * scale)
            return (squared[:, -1] - rounding(d, norms[rows], others)) / scale**2

        at_least = (squared - rounding(d, norms[rows][:, None], norms[points])) / scale**2
        return Candidates(points, at_least, left_out)


class Products:
    """Half squared distances straight out of a matrix product, in bfloat16 or float32, and a compiled scan of them.

    To -x . y come, in extra columns, half the squared norms of x and y, each in as many terms as its precision takes.
    The product adds up in float32 and is rounded to its own type at the end. A rounded point lies some e from the
    point itself, so that by the triangle inequality a distance is wrong by no more than the two of them.

    Needs numba.
    """

    def __init__(self, centred: Centred, k: int, each: Each, *, bfloat16: bool, spare: int = SPARE_CANDIDATES) -> None:
        import torch

        self._centred, self._each, self._bfloat16, self._wanted = centred, each, bfloat16, k + spare
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
        self._ints = np.int16 if bfloat16 else np.int32
        self._terms = 3 if bfloat16 else 1
        n, d = centred.points.shape
        # Whole units of the matrix hardware: other widths can take twice the time.
        self._width = -(-(d + 2 * self._terms) // WIDTH_UNIT) * WIDTH_UNIT
        self._norms, self._rests = np.empty(n), np.empty(n)  # of the rounded points, and of what was rounded off
        self._spaces = threading.local()

    def __call__(self, rows: NDArray[np.int64]) -> Candidates:
        import torch

        n, compiled = len(self._centred.points), loops()
        wanted, parts = self._wanted, tiles(len(rows), QUERIES_AT_A_TIME)
        queries = self._space("queries", (len(rows), self._width))
        norms, rests = np.empty(len(rows)), np.empty(len(rows))
        self._each(lambda part: self._prepare(rows[part], queries[part], norms[part], rests[part], query=True), parts)

        keys = self._space("keys", (len(rows), 2 * wanted + 2 * compiled.BLOCK), np.int64)
        counts = np.zeros(len(rows), dtype=np.int64)
        infinite = torch.tensor(torch.inf, dtype=self._dtype).view(getattr(torch, self._ints.__name__)).item()
        limits = np.full(len(rows), infinite, dtype=self._ints)
        for tile in tiles(n, POINTS_AT_A_TIME):
            points = self._space("points", (tile.stop - tile.start, self._width))

            def prepare(part: slice, points: Any = points, first: int = tile.start) -> None:
                among = slice(first + part.start, first + part.stop)
                self._prepare(among, points[part], self._norms[among], self._rests[among], query=False)

            def scan(part: slice, points: Any = points, first: int = tile.start) -> None:
                product = self._space("product", (part.stop - part.start, len(points)))
                torch.mm(self._tensor(queries[part]), self._tensor(points).T, out=self._tensor(product))
                compiled.scan(product, first, wanted, keys[part], counts[part], limits[part])

            self._each(prepare, tiles(len(points), QUERIES_AT_A_TIME))
            self._each(scan, parts)
        self._each(lambda part: compiled.settle(wanted, keys[part], counts[part]), parts)
        assert (counts == wanted).all(), "more points than are wanted"
        return self._bounded(rows, keys[:, :wanted], norms, rests)

    def _bounded(
        self,
        rows: NDArray[np.int64],
        keys: NDArray[np.int64],
        norms: NDArray[np.float64],
        rests: NDArray[np.float64],
    ) -> Candidates:
        d, scale = self._centred.points.shape[1], self._centred.scale
        points, bounds = np.empty(keys.shape, dtype=np.int64), np.empty(keys.shape)

        def at_least(half: Any, norms: Any, rests: Any, other_norms: Any, other_rests: Any) -> Any:
            rounded = 2 * half * (1 - (BFLOAT16_UNIT if self._bfloat16 else 0)) - rounding(d, norms, other_norms)
            distance = np.sqrt(np.maximum(rounded, 0)) - rests - other_rests
            # Less a trifle for the float64 of these lines.
            return np.square(np.maximum(distance, 0) / scale) * (1 - 1e-12)

        def fill(part: slice) -> None:
            points[part] = near = keys[part] & 0xFFFFFFFF
            half, own = self._numbers(keys[part] >> 32), (norms[part, None], rests[part, None])
            bounds[part] = at_least(half, *own, self._norms[near], self._rests[near])

        self._each(fill, tiles(len(rows), QUERIES_AT_A_TIME))
        farthest = self._numbers(keys[:, -1] >> 32)

        def left_out(kth: NDArray[np.float64]) -> NDArray[np.float64]:
            # A point that near has no larger norm than this, rounded no larger than that, and loses no more.
            other_norms = norms + rests + np.sqrt(kth) * scale
            other_rests = np.minimum(self._rests.max(), BFLOAT16_UNIT * other_norms + UNDERFLOW)
            other_norms = np.minimum(self._norms.max(), other_norms + other_rests)
            return np.asarray(at_least(farthest, norms, rests, other_norms, other_rests))

        return Candidates(points, bounds, left_out)

    def _numbers(self, bits: NDArray[np.int64]) -> NDArray[np.float64]:
        shifted = bits.astype(np.int32) << 16 if self._bfloat16 else bits.astype(np.int32)
        return shifted.view(np.float32).astype(np.float64)

    def _prepare(
        self,
        rows: slice | NDArray[np.int64],
        bits: NDArray[Any],
        norms: NDArray[np.float64],
        rests: NDArray[np.float64],
        *,
        query: bool,
    ) -> None:
        """Fill in one side of the product, the norms of its rounded points and of what was rounded off."""
        import torch

        centred, d, out = self._centred, self._centred.points.shape[1], self._tensor(bits)
        sign = -1.0 if query else 1.0
        if self._bfloat16:
            numbers, rounded = centred.points[rows], bits[:, :d].view(np.uint16)
            loops().round_to_bfloat16(numbers, centred.center, sign * centred.scale, rounded, norms, rests)
        else:
            narrow = centred[rows].astype(np.float32)
            norms[:], rests[:] = np.linalg.norm(narrow.astype(np.float64), axis=1), 0
            out[:, :d] = torch.from_numpy(sign * narrow)
        extra = self._tensor(self._space("extra", (len(norms), self._width - d))).zero_()
        own, ones = (0, self._terms) if query else (self._terms, 0)
        extra[:, ones : ones + self._terms] = 1
        left = torch.from_numpy(norms**2 / 2)
        for term in range(own, own + self._terms):
            extra[:, term] = left
            left = left - extra[:, term].double()
        out[:, d:] = extra

    def _tensor(self, bits: NDArray[Any]) -> "torch.Tensor":
        """The numbers that these ints are the bits of, in the same memory."""
        import torch

        return torch.from_numpy(bits).view(self._dtype)

    def _space(self, name: str, shape: tuple[int, int], dtype: Any = None) -> NDArray[Any]:
        """This thread's working space of that name, which the next one of the name overwrites."""
        size, spaces = shape[0] * shape[1], self._spaces.__dict__
        if name not in spaces or len(spaces[name]) < size:
            spaces[name] = working_space(size, dtype or self._ints)
        space: NDArray[Any] = spaces[name][:size].reshape(shape)
        return space


def proposers(centred: Centred, k: int, each: Each | None) -> Iterator[Proposer]:
    """From the fastest to the most precise, each for the rows that the one before left unsure.

    What is chosen depends on the processor and the size, never on a measured time.

    Args:
        each: threads for compiled loops, or None where these can't be used.
    """
    if len(centred.points) <= k + SPARE_CANDIDATES:
        yield Everything(centred)
    elif each is not None:
        import torch

        if has_bfloat16_units():
            yield Products(centred, k, each, bfloat16=True)
            if len(centred.points) > k + MANY_SPARE_CANDIDATES:
                yield Products(centred, k, each, bfloat16=True, spare=MANY_SPARE_CANDIDATES)
        if torch.get_float32_matmul_precision() == "highest":
            yield Products(centred, k, each, bfloat16=False)
        else:  # what torch calls float32 may be less then
            yield FaissFlat(centred, k)
    else:
        yield FaissFlat(centred, k)
