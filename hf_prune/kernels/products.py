"""The fast proposer: matrix products in low precision and a compiled scan of them."""

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Floats, Ints, candidates
from hf_prune.kernels.candidates import BFLOAT16_UNIT, SPARE_CANDIDATES, UNDERFLOW, Candidates, Centred, rounding
from hf_prune.kernels.fast import loops
from hf_prune.kernels.pages import working_space
from hf_prune.kernels.threads import Share
from hf_prune.kernels.tiles import tiles

if TYPE_CHECKING:
    import torch

WIDTH_UNIT = 32


class Products:
    """Half squared distances straight out of a matrix product, in bfloat16 or float32, and a compiled scan of them.

    To -x . y come, in extra columns, half the squared norms of x and y, each in as many terms as its precision takes.
    The product adds up in float32 and is rounded to its own type at the end. A rounded point lies some e from the
    point itself, so that by the triangle inequality a distance is wrong by no more than the two of them.

    Needs numba.
    """

    def __init__(
        self, centred: Centred, k: int, share: Share, *, bfloat16: bool, spare: int = SPARE_CANDIDATES
    ) -> None:
        import torch

        self._centred, self._share, self._bfloat16, self._wanted = centred, share, bfloat16, k + spare
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
        self._ints = np.int16 if bfloat16 else np.int32
        self._terms = 3 if bfloat16 else 1
        n, d = centred.points.shape
        # Whole units of the matrix hardware: other widths can take twice the time.
        self._width = -(-(d + 2 * self._terms) // WIDTH_UNIT) * WIDTH_UNIT
        self._norms, self._rests = np.empty(n), np.empty(n)  # of the rounded points, and of what was rounded off
        self._spaces = threading.local()

    def __call__(self, rows: Ints) -> Candidates:
        import torch

        n, compiled = len(self._centred.points), loops()
        wanted, parts = self._wanted, tiles(len(rows), candidates.QUERIES_AT_A_TIME)
        queries = self._space("queries", (len(rows), self._width))
        norms, rests = np.empty(len(rows)), np.empty(len(rows))
        self._share(lambda part: self._prepare(rows[part], queries[part], norms[part], rests[part], query=True), parts)

        keys = self._space("keys", (len(rows), 2 * wanted + 2 * compiled.BLOCK), np.int64)
        counts = np.zeros(len(rows), dtype=np.int64)
        infinite = torch.tensor(torch.inf, dtype=self._dtype).view(getattr(torch, self._ints.__name__)).item()
        limits = np.full(len(rows), infinite, dtype=self._ints)
        for tile in tiles(n, candidates.POINTS_AT_A_TIME):
            points = self._space("points", (tile.stop - tile.start, self._width))

            def prepare(part: slice, points: Any = points, first: int = tile.start) -> None:
                among = slice(first + part.start, first + part.stop)
                self._prepare(among, points[part], self._norms[among], self._rests[among], query=False)

            def scan(part: slice, points: Any = points, first: int = tile.start) -> None:
                product = self._space("product", (part.stop - part.start, len(points)))
                torch.mm(self._tensor(queries[part]), self._tensor(points).T, out=self._tensor(product))
                compiled.scan(product, first, wanted, keys[part], counts[part], limits[part])

            self._share(prepare, tiles(len(points), candidates.QUERIES_AT_A_TIME))
            self._share(scan, parts)
        self._share(lambda part: compiled.settle(wanted, keys[part], counts[part]), parts)
        assert (counts == wanted).all(), "more points than are wanted"
        return self._bounded(rows, keys[:, :wanted], norms, rests)

    def _bounded(self, rows: Ints, keys: Ints, norms: Floats, rests: Floats) -> Candidates:
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

        self._share(fill, tiles(len(rows), candidates.QUERIES_AT_A_TIME))
        farthest = self._numbers(keys[:, -1] >> 32)

        def left_out(kth: Floats) -> Floats:
            # A point that near has no larger norm than this, rounded no larger than that, and loses no more.
            other_norms = norms + rests + np.sqrt(kth) * scale
            other_rests = np.minimum(self._rests.max(), BFLOAT16_UNIT * other_norms + UNDERFLOW)
            other_norms = np.minimum(self._norms.max(), other_norms + other_rests)
            return np.asarray(at_least(farthest, norms, rests, other_norms, other_rests))

        return Candidates(points, bounds, left_out)

    def _numbers(self, bits: Ints) -> Floats:
        shifted = bits.astype(np.int32) << 16 if self._bfloat16 else bits.astype(np.int32)
        return shifted.view(np.float32).astype(np.float64)

    def _prepare(self, rows: slice | Ints, bits: NDArray[Any], norms: Floats, rests: Floats, *, query: bool) -> None:
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
