"""The matrix product that a graph can't do without, and nothing else."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hf_prune.kernels import candidates
from hf_prune.kernels.hardware import has_bfloat16_units


class Product(NamedTuple):
    """How the bare product runs: `rows` of a tile by `columns` in `precision`; `pooled`: each thread its own tiles,
    else all threads on one tile."""

    precision: str
    rows: int
    columns: int
    pooled: bool


def library_product() -> Product:
    """The product that the library's graph makes here."""
    precision = "bfloat16" if has_bfloat16_units() else "float32"
    return Product(precision, candidates.QUERIES_AT_A_TIME, candidates.POINTS_AT_A_TIME, pooled=True)


def bare_product(points: NDArray[np.float32], product: Product) -> Callable[[], None]:
    """Every product of two rows, tile by tile into the same room for each thread; rounding the points isn't timed."""
    narrow, n = torch.from_numpy(points).to(getattr(torch, product.precision)), len(points)
    tiles = [(top, left) for left in range(0, n, product.columns) for top in range(0, n, product.rows)]
    local, count = threading.local(), torch.get_num_threads()

    def multiply(tile: tuple[int, int]) -> None:
        queries, others = narrow[tile[0] : tile[0] + product.rows], narrow[tile[1] : tile[1] + product.columns]
        if not hasattr(local, "room"):
            local.room = torch.empty(product.rows * product.columns, dtype=narrow.dtype)
        out = local.room[: len(queries) * len(others)].view(len(queries), len(others))
        torch.mm(queries, others.T, out=out)

    def run() -> None:
        if not product.pooled or count == 1:
            for tile in tiles:
                multiply(tile)
            return
        try:
            with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(multiply, tiles))
        finally:
            torch.set_num_threads(count)

    return run
