"""Exact confidence intervals for recalls."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95


def clopper_pearson(right: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE) -> NDArray[np.float64]:
    """(..., 2) float64 lowest and highest rate that `right` of `total` tries are compatible with.

    The interval holds the true rate with at least this probability, whatever it is. [0, 1] where nothing was tried.
    Counts that are means over seeds may be fractions.

    Reference: Clopper and Pearson, *The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial*,
    Biometrika 26 (1934).

    >>> clopper_pearson([0, 8], [10, 10]).round(3).tolist()
    [[0.0, 0.308], [0.444, 0.975]]
    """
    from scipy.stats import beta

    right, total = np.asarray(right, dtype=np.float64), np.asarray(total, dtype=np.float64)
    wrong, half = total - right, (1 - confidence) / 2
    # Beta(0, b) and Beta(a, 0) are no distributions: all their weight is at 0 and at 1.
    low = np.where(right > 0, beta.ppf(half, right, wrong + 1), 0.0)
    high = np.where(wrong > 0, beta.ppf(1 - half, right + 1, wrong), 1.0)
    return np.stack([low, high], axis=-1)


def worst_class_interval(right: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Lowest and highest recall that the worst of several classes is compatible with.

    Bonferroni: with an interval of 1 - (1 - confidence) / classes for each class, all hold their recall together, and
    so the lowest of the lower and the lowest of the upper ends hold the lowest recall. The plain minimum of noisy
    recalls lies below it on average.

    Args:
        right: (classes,) examples of each class that are predicted right.
        total: (classes,) examples of each class, at least 1.
    """
    total = np.asarray(total, dtype=np.float64)
    every = clopper_pearson(right, total, 1 - (1 - confidence) / len(total))
    low, high = every.min(axis=0)
    return float(low), float(high)
