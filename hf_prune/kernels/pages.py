"""Large working space that goes back to the system when it is freed."""

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


def working_space(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of zeros on memory pages of its own.

    What malloc was given back lies between other blocks and is kept, so that a call's steps, which want blocks of
    other sizes, would add up their peaks.
    """
    size = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
    pages: NDArray[Any] = np.frombuffer(mmap.mmap(-1, size, **_PRIVATE), dtype, count=math.prod(shape))
    return pages.reshape(shape)
