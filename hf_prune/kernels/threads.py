"""Sharing compiled loops and matrix products out between threads, as many as torch uses."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

Share = Callable[[Callable[[slice], None], Iterable[slice]], object]
"""Calls a function for each of some slices that don't overlap, shared out between threads, and waits for all."""


@contextmanager
def threads() -> Iterator[Share]:
    """A pool whose threads run torch's products on one core each: its own threads would spin beside the loops."""
    import torch

    count = torch.get_num_threads()
    if count == 1:
        yield lambda work, parts: list(map(work, parts))
        return
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield lambda work, parts: list(pool.map(work, parts))
    finally:
        torch.set_num_threads(count)
