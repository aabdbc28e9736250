"""Which proposers a search goes through, from the fastest to the most precise."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels.candidates import MANY_SPARE_CANDIDATES, SPARE_CANDIDATES, Candidates, Centred, Proposer
from hf_prune.kernels.faiss_flat import FaissFlat
from hf_prune.kernels.hardware import has_bfloat16_units
from hf_prune.kernels.products import Products
from hf_prune.kernels.threads import Share


class AllPoints:
    """Proposes all points, where there are hardly more than are wanted."""

    def __init__(self, centred: Centred) -> None:
        self._n = len(centred.points)

    def __call__(self, rows: NDArray[np.int64]) -> Candidates:
        shape = (len(rows), self._n)
        return Candidates(
            np.broadcast_to(np.arange(self._n), shape).copy(), np.zeros(shape), lambda kth: np.full(len(rows), np.inf)
        )


def proposers(centred: Centred, k: int, share: Share | None) -> Iterator[Proposer]:
    """Proposers from the fastest to the most precise, each for the rows that the one before left unsure.

    What is chosen depends on the processor and the size, never on a measured time.

    Args:
        share: threads for compiled loops, or None where these can't be used.
    """
    if len(centred.points) <= k + SPARE_CANDIDATES:
        yield AllPoints(centred)
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
