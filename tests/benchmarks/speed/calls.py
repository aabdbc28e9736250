"""What several cases time, and how a case writes down its result."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

import hf_prune  # noqa: F401 - attaches Dataset.prune
from hf_prune.kernels.graph import union_graph
from hf_prune.kernels.greedy import fading, messages, pick
from tests.benchmarks.harness import Times, ratios
from tests.benchmarks.speed.data import random_neighbors

K, KEEP, SEED = 10, 0.3, 0


def dataset_of(labels: NDArray[np.int64]) -> Dataset:
    return Dataset.from_dict({"label": labels})


def prune_d2(dataset: Dataset, points: Any, scores: Any, *, keep: float = KEEP, quotas: str | None = None) -> Dataset:
    return dataset.prune("d2", keep=keep, quotas=quotas, k=K, cutoff=0, scores=scores, embeddings=points)


def forward(graph: Any, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return messages(graph, scores, fading(graph.distances)) + scores


def reverse(graph: Any, density: NDArray[np.float64], budget: int) -> NDArray[np.int64]:
    return pick(graph, density, fading(graph.distances), budget).order


def scaled(n: int, scale: float, multiple: int = 1) -> int:
    return max(100, round(n * scale / multiple)) * multiple


def result_of(
    title: str, data: str, times: dict[str, Times], contrasts: list[tuple[str, str]], checked: str, **more: Any
) -> dict[str, Any]:
    return {
        "title": title,
        "data": data,
        "seed": SEED,
        "seconds": {name: {"cpu": side.cpu, "wall": side.wall} for name, side in times.items()},
        "ratios": [{"of": a, "to": b, **ratios(times[a], times[b])} for a, b in contrasts],
        "checked": checked,
        **more,
    }


def prune_saved(folder: Path) -> Callable[[int | None], NDArray[np.int64]]:
    """Prunes what `compiled_prune` saved, or its first rows."""
    points, scores = np.load(folder / "points.npy"), np.load(folder / "scores.npy")

    def call(rows: int | None) -> NDArray[np.int64]:
        dataset = dataset_of(np.zeros(len(points[:rows]), dtype=np.int64))
        order: NDArray[np.int64] = prune_d2(dataset, points[:rows], scores[:rows]).selection.order
        return order

    return call


def select_saved(folder: Path) -> Callable[[int | None], NDArray[np.int64]]:
    """Selects from what `compiled_selection` saved, or from another list of so many rows."""
    saved = [np.load(folder / f"{name}.npy") for name in ("neighbors", "distances", "scores")]

    def call(rows: int | None) -> NDArray[np.int64]:
        neighbors, distances, scores = saved
        if rows is not None:
            (neighbors, distances), scores = random_neighbors(rows, K), np.arange(rows) / rows
        graph = union_graph(neighbors, distances)
        return reverse(graph, forward(graph, scores), round(KEEP * len(scores)))

    return call
