"""The cases of `make bench`: what is timed, beside what, on which data.

Every case is a function of the scale (1.0 is the size in its title) and of the number of repetitions, and returns what
the JSON file holds of it.
"""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import hf_prune  # noqa: F401 - attaches Dataset.prune
from hf_prune.kernels import proposers
from hf_prune.kernels.graph import union_graph
from hf_prune.kernels.knn import nearest_neighbors
from tests.benchmarks.harness import MEGABYTE, Times, in_fresh_process, paired
from tests.benchmarks.speed.calls import KEEP, SEED, K, dataset_of, forward, prune_d2, result_of, reverse, scaled
from tests.benchmarks.speed.checks import check_classes, check_graph, check_union, greedy_by_blocks
from tests.benchmarks.speed.data import clustered, random_neighbors
from tests.benchmarks.speed.product import bare_product, library_product
from tests.benchmarks.speed.quotas_case import drop_quotas
from tests.oracles.d2_dense import by_product, d2_dense, d2_dense_per_class

CLUSTERED = "clustered Gaussian, 100 centres a class, noise 0.5 of the centres' spread"
RANDOM = "random neighbours, distances uniform in [0.5, 1.5)"
PLAIN = "without numba"
FAISS, DENSE, ARGSORT = "faiss Flat, graphs alone", "dense oracle", "argsort of the distances"


def class_balanced(scale: float, repeats: int) -> dict[str, Any]:
    """The whole call in 10 classes against faiss Flat's graphs."""
    return _pools_against_faiss(scaled(50_000, scale, 10), 512, 10, [0], repeats)


def without_bfloat16(scale: float, repeats: int) -> dict[str, Any]:
    """The whole call in 10 classes as the library runs it on a processor without bf16 units."""
    with patch.object(proposers, "has_bfloat16_units", lambda: False):
        result = class_balanced(scale, repeats)
    return result | {"title": f"{result['title']}, bf16 units left alone"}


def many_pools(scale: float, repeats: int) -> dict[str, Any]:
    """The whole call in 1,000 classes of ImageNet's mean size against faiss Flat's graphs."""
    classes = max(2, round(1000 * scale))
    return _pools_against_faiss(1281 * classes, 128, classes, list(range(min(5, classes))), repeats)


def _pools_against_faiss(n: int, d: int, classes: int, checked: list[int], repeats: int) -> dict[str, Any]:
    points, labels, scores = clustered(n, d, classes, SEED)
    pools = [points[labels == label] for label in range(classes)]
    times, results = paired(
        {
            "prune": partial(prune_d2, dataset_of(labels), points, scores, quotas="equal"),
            FAISS: lambda: [_faiss_graph(pool) for pool in pools],
        },
        repeats=repeats,
    )
    checked_rows = check_classes(results["prune"].selection, points, scores, labels, checked, K)
    title = f"{n:,} x {d} in {classes:,} classes, keep 30%: the whole `prune` call"
    return result_of(title, CLUSTERED, times, [("prune", FAISS)], checked_rows)


def one_pool(scale: float, repeats: int) -> dict[str, Any]:
    """A graph of 50,000 rows against the bare matrix product and faiss Flat."""
    n, d = scaled(50_000, scale), 512
    points = clustered(n, d, 1, SEED)[0]
    product = library_product()
    bare = f"bare {product.precision} product"
    times, results = paired(
        {
            "graph": lambda: nearest_neighbors(points, K),
            bare: bare_product(points, product),
            FAISS: lambda: _faiss_graph(points),
        },
        repeats=repeats,
    )
    neighbors, distances = results["graph"]
    same = np.mean([len(np.intersect1d(a, b)) for a, b in zip(neighbors[:1000], results[FAISS][:1000], strict=True)])
    checked = f"{check_graph(points, neighbors, distances)}; faiss found {same / K:.2%} of the first rows' neighbours"
    contrasts = [("graph", bare), ("graph", FAISS)]
    return result_of(
        f"one pool of {n:,} x {d}: the graph", CLUSTERED, times, contrasts, checked, product=product._asdict()
    )


def large_pool(scale: float, repeats: int) -> dict[str, Any]:
    """A graph of 200,000 rows, once: minutes would go by with faiss Flat beside it."""
    n, d = scaled(200_000, scale), 512
    points = clustered(n, d, 1, SEED)[0]
    nearest_neighbors(points[:2000], K)  # imports and compiles
    times, results = paired({"graph": lambda: nearest_neighbors(points, K)}, repeats=1, warm=False)
    return result_of(
        f"one pool of {n:,} x {d}: the graph", CLUSTERED, times, [], check_graph(points, *results["graph"])
    )


def memory(scale: float, repeats: int) -> dict[str, Any]:
    """Peak memory of a whole call on one pool of 200,000 rows; see `peak_memory.py`."""
    n, d = scaled(200_000, scale), 512
    with tempfile.TemporaryDirectory() as folder:
        points, _, scores = clustered(n, d, 1, SEED)
        np.save(Path(folder) / "points.npy", points)
        np.save(Path(folder) / "scores.npy", scores)
        peak = int(in_fresh_process("tests.benchmarks.speed.peak_memory", folder, K, KEEP)) / MEGABYTE
    title = f"one pool of {n:,} x {d}, keep 30%: peak memory of the whole `prune` call"
    beyond = f"beyond the embeddings ({points.nbytes / MEGABYTE:.0f} MB)"
    return result_of(title, CLUSTERED, {}, [], beyond, peak_mb=round(peak, 1))


def selection_alone(scale: float, repeats: int) -> dict[str, Any]:
    """All that follows the neighbour list, at a million rows, against one sort of as many numbers."""
    n = scaled(1_000_000, scale)
    neighbors, distances = random_neighbors(n, K, SEED)
    scores, budget = np.random.default_rng(SEED).random(n), round(KEEP * n)
    graph = union_graph(neighbors, distances)
    density = forward(graph, scores)

    def whole() -> Any:
        made = union_graph(neighbors, distances)
        return reverse(made, forward(made, scores), budget)

    times, results = paired(
        {
            "all of it": whole,
            ARGSORT: lambda: np.argsort(distances.ravel()),
            "union_graph": lambda: union_graph(neighbors, distances),
            "messages": lambda: forward(graph, scores),
            "pick": lambda: reverse(graph, density, budget),
        },
        repeats=repeats,
    )
    check_union(graph, neighbors, distances)
    sent = np.bincount(graph.rows, np.exp(-graph.distances) * scores[graph.neighbors], minlength=n)
    np.testing.assert_allclose(density, sent + scores, rtol=1e-12)
    expected = greedy_by_blocks(graph, density, np.exp(-graph.distances), budget)
    for side in ("all of it", "pick"):
        np.testing.assert_array_equal(results[side], expected)
    return result_of(
        f"selection alone, {n:,} rows, k = {K}, keep 30%",
        RANDOM,
        times,
        [(side, ARGSORT) for side in times if side != ARGSORT],
        "graph equal to scipy's, picks equal to a plain greedy's",
    )


def authors_classes(scale: float, repeats: int) -> dict[str, Any]:
    """The whole call in 10 classes against the authors' algorithm, which holds all distances of a class."""
    n, d, classes = scaled(20_000, scale, 10), 512, 10
    points, labels, scores = clustered(n, d, classes, SEED)
    quotas = np.full(classes, round(KEEP * n) // classes)
    run = partial(d2_dense_per_class, points, scores, labels, quotas, k=K, distances=by_product)
    prune = partial(prune_d2, dataset_of(labels), points, scores, keep=int(quotas.sum()), quotas="equal")
    times, results = paired({"prune": prune, DENSE: run}, repeats=repeats)
    np.testing.assert_array_equal(results["prune"].selection.indices, results[DENSE])
    title = f"{n:,} x {d} in {classes} classes, keep 30%: the whole `prune` call"
    return result_of(title, CLUSTERED, times, [("prune", DENSE)], "identical sets")


def authors_one_pool(scale: float, repeats: int) -> dict[str, Any]:
    """The whole call on one pool against the authors' algorithm, which holds all distances."""
    n, d = scaled(5000, scale), 512
    points, labels, scores = clustered(n, d, 1, SEED)
    run = partial(d2_dense, points, scores, round(KEEP * n), k=K, distances=by_product)
    times, results = paired(
        {"prune": partial(prune_d2, dataset_of(labels), points, scores), DENSE: run}, repeats=repeats
    )
    np.testing.assert_array_equal(results["prune"].selection.order, results[DENSE])
    title = f"one pool of {n:,} x {d}, keep 30%: the whole `prune` call"
    return result_of(title, CLUSTERED, times, [("prune", DENSE)], "identical sets and orders")


def compiled_prune(scale: float, repeats: int) -> dict[str, Any]:
    """The whole call on one pool with numba against the same without."""
    n, d = scaled(20_000, scale), 512
    points, _, scores = clustered(n, d, 1, SEED)
    title = f"one pool of {n:,} x {d}, keep 30%: the whole `prune` call, with numba"
    return _with_and_without_numba("prune", {"points": points, "scores": scores}, title, CLUSTERED, repeats)


def compiled_selection(scale: float, repeats: int) -> dict[str, Any]:
    """All that follows the neighbour list with numba against the same without."""
    n = scaled(200_000, scale)
    neighbors, distances = random_neighbors(n, K, SEED)
    arrays = {"neighbors": neighbors, "distances": distances, "scores": np.random.default_rng(SEED).random(n)}
    title = f"selection alone, {n:,} rows, k = {K}, keep 30%, with numba"
    return _with_and_without_numba("selection", arrays, title, RANDOM, repeats)


def _with_and_without_numba(
    what: str, arrays: dict[str, NDArray[Any]], title: str, data: str, repeats: int
) -> dict[str, Any]:
    """Every repetition in a fresh process, because a process has numba or hasn't."""
    times = {name: Times() for name in ("compiled", PLAIN)}
    with tempfile.TemporaryDirectory() as folder:
        for name, array in arrays.items():
            np.save(Path(folder) / f"{name}.npy", array)
        for _ in range(repeats):
            orders = []
            for side, kernels in (("compiled", "compiled"), (PLAIN, "plain")):
                took = json.loads(in_fresh_process("tests.benchmarks.speed.alone", what, folder, kernels))
                times[side].cpu.append(took["cpu"])
                times[side].wall.append(took["wall"])
                orders.append(np.load(Path(folder) / "order.npy"))
            np.testing.assert_array_equal(*orders)
    return result_of(title, data, times, [("compiled", PLAIN)], "identical sets and orders")


def _faiss_graph(points: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n, k + 1) the nearest rows, themselves among them."""
    import faiss

    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    neighbors: NDArray[np.int64] = index.search(points, K + 1)[1]
    return neighbors


class Case(NamedTuple):
    """A case and how often it is repeated at full size."""

    run: Callable[[float, int], dict[str, Any]]
    repeats: int


CASES = {
    "class-balanced": Case(class_balanced, 5),
    "without-bf16": Case(without_bfloat16, 3),
    "one-pool": Case(one_pool, 3),
    "large-pool": Case(large_pool, 1),
    "memory": Case(memory, 1),
    "many-pools": Case(many_pools, 3),
    "selection": Case(selection_alone, 5),
    "authors-classes": Case(authors_classes, 3),
    "authors-one-pool": Case(authors_one_pool, 3),
    "drop-quotas": Case(drop_quotas, 5),
    "compiled-prune": Case(compiled_prune, 3),
    "compiled-selection": Case(compiled_selection, 3),
}
