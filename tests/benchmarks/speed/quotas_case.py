"""DRoP's quotas of ImageNet-21k's shape: a million rows in 21,000 classes of very different sizes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hf_prune
from hf_prune.budget import seat_order
from hf_prune.groups import Groups
from tests.benchmarks.harness import paired
from tests.benchmarks.speed.calls import KEEP, SEED, result_of, scaled

CLASSES = 21_000


def drop_quotas(scale: float, repeats: int) -> dict[str, Any]:
    """From recalls to whole numbers, against a sort of as many numbers, and against a quarter of the rows."""
    n = scaled(1_000_000, scale)
    (run, check), (run_quarter, _) = _quotas_of(n), _quotas_of(n // 4)
    numbers = np.random.default_rng(SEED).random(n)
    sides = {"quotas": run, "argsort of n numbers": lambda: np.argsort(numbers), "a quarter of the rows": run_quarter}
    times, results = paired(sides, repeats=repeats)
    contrasts = [("quotas", "argsort of n numbers"), ("quotas", "a quarter of the rows")]
    title = f"DRoP's quotas of {n:,} rows in {len(results['quotas']):,} classes, keep 30%"
    return result_of(title, "sizes from a Dirichlet(2), recalls uniform", times, contrasts, check(results["quotas"]))


def _quotas_of(n: int) -> tuple[Callable[[], NDArray[np.int64]], Callable[[NDArray[np.int64]], str]]:
    """What is timed, from recalls to the number of rows of each class, and its check."""
    draw, classes = np.random.default_rng(SEED), max(2, min(CLASSES, n // 10))
    codes = draw.choice(classes, size=n, p=draw.dirichlet(np.full(classes, 2.0)))
    names = tuple(map(str, range(classes)))
    groups = Groups(codes, tuple(range(classes)), names)
    recalls, budget = draw.random(classes), round(KEEP * n)
    rule, signals = hf_prune.DRoPQuotas(temperature=1.0), hf_prune.Signals(n, {"recalls": recalls})

    def run() -> NDArray[np.int64]:
        weights, _ = rule.weigh(groups, signals)
        return np.bincount(seat_order(weights, groups.sizes, budget), minlength=classes)

    def check(quotas: NDArray[np.int64]) -> str:
        """Webster's rule: no place would go to another class first."""
        sizes, weights = groups.sizes, groups.sizes * (1 - recalls)
        assert quotas.sum() == budget
        assert (quotas <= sizes).all()
        with np.errstate(divide="ignore", invalid="ignore"):
            last = np.where(quotas > 0, weights / (quotas - 0.5), np.inf).min()
            following: Any = np.where(quotas < sizes, weights / (quotas + 0.5), 0).max()
        assert last >= following * (1 - 1e-12)
        return "exact total, caps kept, no place that Webster's rule would give to another class"

    return run, check
