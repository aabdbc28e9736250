"""Large working space that goes back to the system when it is freed."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = 2**22
"""Bytes below which pages of one's own cost more time than they save memory."""
ALIGNED = 64
"""Bytes of a cache line: products of arrays that begin within one can take twice the time."""

_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


def working_space(count: int, dtype: Any) -> NDArray[Any]:
    """(count,) numbers, any at first; if they are many, on memory pages of their own.

    What malloc was given back lies between other blocks and is kept, so that a call's steps, which want blocks of
    other sizes, would add up their peaks.
    """
    size = count * np.dtype(dtype).itemsize
    if size >= LARGE:
        pages: NDArray[Any] = np.frombuffer(mmap.mmap(-1, size, **_PRIVATE), dtype)
        return pages
    room = np.empty(size + ALIGNED, dtype=np.uint8)
    first = -room.ctypes.data % ALIGNED
    return room[first : first + size].view(dtype)
