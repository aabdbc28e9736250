"""Which proposers a search goes through, from the fastest to the most precise."""

from collections.abc import Iterator

import numpy as np

from hf_prune.kernels import Floats, Ints, candidates
from hf_prune.kernels.candidates import (
    MANY_SPARE_CANDIDATES,
    SPARE_CANDIDATES,
    Candidates,
    Centred,
    Proposer,
    rounding,
)
from hf_prune.kernels.hardware import has_bfloat16_units
from hf_prune.kernels.products import Products
from hf_prune.kernels.threads import Share
from hf_prune.kernels.tiles import tiles


def all_points(n: int) -> Proposer:
    """Proposes all points, where there are hardly more than are wanted."""

    def propose(rows: Ints) -> Candidates:
        points = np.tile(np.arange(n), (len(rows), 1))
        return Candidates(points, np.zeros(points.shape), lambda kth: np.full(len(rows), np.inf))

    return propose


class FaissFlat:
    """Proposes the nearest by faiss's exhaustive search; holds a float32 copy of the points."""

    def __init__(self, centred: Centred, k: int) -> None:
        import faiss

        self._centred, self._wanted = centred, k + SPARE_CANDIDATES
        self._index = faiss.IndexFlatL2(centred.points.shape[1])
        self._norms = np.empty(len(centred.points))
        for tile in tiles(len(centred.points), candidates.POINTS_AT_A_TIME):
            narrow = centred[tile].astype(np.float32)
            self._index.add(narrow)
            self._norms[tile] = np.linalg.norm(narrow.astype(np.float64), axis=1)

    def __call__(self, rows: Ints) -> Candidates:
        scale, d, norms = self._centred.scale, self._index.d, self._norms
        squared, points = self._index.search(self._centred[rows].astype(np.float32), self._wanted)
        squared = squared.astype(np.float64)

        def left_out(kth: Floats) -> Floats:
            others = np.minimum(norms.max(), norms[rows] + np.sqrt(kth) * scale)
            return (squared[:, -1] - rounding(d, norms[rows], others)) / scale**2

        at_least = (squared - rounding(d, norms[rows][:, None], norms[points])) / scale**2
        return Candidates(points, at_least, left_out)


def proposers(centred: Centred, k: int, share: Share | None) -> Iterator[Proposer]:
    """Proposers from the fastest to the most precise, each for the rows that the one before left unsure.

    What is chosen depends on the processor and the size, never on a measured time.

    Args:
        share: threads for compiled loops, or None where these can't be used.
    """
    if len(centred.points) <= k + SPARE_CANDIDATES:
        yield all_points(len(centred.points))
    elif share is not None:
        import torch

        if has_bfloat16_units():
            yield Products(centred, k, share, bfloat16=True)
            if len(centred.points) > k + MANY_SPARE_CANDIDATES:
                yield Products(centred, k, share, bfloat16=True, spare=MANY_SPARE_CANDIDATES)
        if torch.get_float32_matmul_precision() == "highest":
            yield Products(centred, k, share, bfloat16=False)
        else:  # what torch calls float32 may be less then
            yield FaissFlat(centred, k)
    else:
        yield FaissFlat(centred, k)
