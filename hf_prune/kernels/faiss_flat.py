"""The plain proposer: faiss's exhaustive search in float32."""

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import candidates
from hf_prune.kernels.candidates import SPARE_CANDIDATES, Candidates, Centred, rounding
from hf_prune.kernels.tiles import tiles


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

    def __call__(self, rows: NDArray[np.int64]) -> Candidates:
        scale, d, norms = self._centred.scale, self._index.d, self._norms
        squared, points = self._index.search(self._centred[rows].astype(np.float32), self._wanted)
        squared = squared.astype(np.float64)

        def left_out(kth: NDArray[np.float64]) -> NDArray[np.float64]:
            others = np.minimum(norms.max(), norms[rows] + np.sqrt(kth) * scale)
            return (squared[:, -1] - rounding(d, norms[rows], others)) / scale**2

        at_least = (squared - rounding(d, norms[rows][:, None], norms[points])) / scale**2
        return Candidates(points, at_least, left_out)
