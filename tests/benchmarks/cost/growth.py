"""How the time grows from n rows to 4n where data are odd: `python -m tests.benchmarks cost growth`, two minutes.

CPU seconds at both sizes, the median of the rounds, and their ratio: 4 where the time is linear, 16 where it is
quadratic. Every result is checked.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable

import hf_prune
from hf_prune.digest import _cache, column_digest
from tests.benchmarks.harness import paired

ROUNDS = 5
KEEP = 0.3
EPOCHS = 5
WIDTH = 32

Work = Callable[[], Any]


def identical(n: int) -> Work:
    """D2 on rows that are all one vector: the hardest are kept."""
    return d2(np.ones((n, WIDTH), dtype=np.float32))


def copies(n: int) -> Work:
    """D2 on 20 points, each of them n / 20 times."""
    points = np.random.default_rng(0).normal(size=(20, WIDTH)).astype(np.float32)
    return d2(np.tile(points, (n // 20, 1)))


def d2(points: np.ndarray, by: np.ndarray | None = None) -> Work:
    n = len(points)
    dataset, scores = Dataset.from_dict({"row": np.arange(n)}), np.random.default_rng(1).random(n)

    def run() -> None:
        kept = dataset.prune("d2", keep=KEEP, scores=scores, embeddings=points, by=by).selection.indices
        assert len(np.unique(kept)) == round(KEEP * n)

    return run


def one_repeated(n: int) -> Work:
    """D2 in classes of 1,000 rows, one row of each of which is there 500 times."""
    points = np.random.default_rng(0).normal(size=(n, WIDTH)).astype(np.float32)
    points[np.arange(n) % 1000 < 500] = points[0]
    return d2(points, by=np.arange(n) // 1000)


def crossed(n: int) -> Work:
    """Random rows by two columns of n / 2 values each, of whose combinations a few occur."""
    rows = np.arange(n)
    dataset = Dataset.from_dict({"a": rows % (n // 2), "b": rows // 2})

    def run() -> None:
        coreset = dataset.prune("random", keep=KEEP, by=("a", "b"), quotas="equal")
        assert len(coreset) == round(KEEP * n)

    return run


def texts(n: int) -> Work:
    """The digest of n texts, sorted by length, of which the last is 10,000 times as long as the first."""
    lengths = np.geomspace(1, 10_000, n).astype(int)
    letters = "x" * 10_000
    column = pa.array([letters[:length] for length in lengths.tolist()], pa.large_string())
    dataset = Dataset(InMemoryTable(pa.table({"column": column})))
    reverse = column_digest(Dataset(InMemoryTable(pa.table({"column": column[::-1]}))), "column")

    def run() -> None:
        _cache.clear()
        assert column_digest(dataset, "column") != reverse

    return run


def names(n: int) -> Work:
    """Random rows of n groups that are told by n different texts."""
    dataset = Dataset.from_dict({"name": [f"name {row}" for row in range(n)]})

    def run() -> None:
        assert len(dataset.prune("random", keep=KEEP, by="name", quotas="proportional")) == round(KEEP * n)

    return run


def mapped(n: int) -> Work:
    """EL2N of a run that is read from its file."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 10, n)
    dataset = Dataset.from_dict({"label": labels})
    logits = draw.normal(size=(EPOCHS, n, 10)).astype(np.float32)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "run.safetensors"
        hf_prune.TrainingDynamics.from_logits(logits, labels).save(file)
        dynamics = hf_prune.TrainingDynamics.load(file)  # mapped, and so there until it is let go

    def run() -> None:
        assert len(dataset.prune("el2n", keep=KEEP, dynamics=dynamics)) == round(KEEP * n)

    return run


CASES: dict[str, tuple[Callable[[int], Work], int]] = {
    "`d2`: all rows are one vector": (identical, 20_000),
    "`d2`: 20 vectors, all equally often": (copies, 20_000),
    "`d2`: classes of 1,000, half of each one vector": (one_repeated, 10_000),
    '`by=("a", "b")`: two columns of n / 2 values': (crossed, 50_000),
    "`by=`: n different texts": (names, 100_000),
    "digest of texts that grow from 1 to 10,000 letters": (texts, 10_000),
    "`el2n` from a file of dynamics": (mapped, 100_000),
}


def measured(rounds: int, scale: float = 1.0) -> dict[str, Any]:
    """CPU seconds at n and at 4n, and the ratio of the two."""
    logging.getLogger("hf_prune").setLevel(logging.ERROR)  # that groups of one row keep few rows is meant
    cases = {}
    for name, (case, n) in CASES.items():
        n = round(scale * n)
        times, _ = paired({"n": case(n), "4n": case(4 * n)}, repeats=rounds)
        by_round = [many / few for few, many in zip(times["n"].cpu, times["4n"].cpu, strict=True)]
        seconds = {side: median(times[side].cpu) for side in times}
        cases[name] = {"n": n, "seconds": seconds, "ratio": [median(by_round), min(by_round), max(by_round)]}
    return {"rounds": rounds, "cases": cases}
