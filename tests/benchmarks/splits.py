"""Parts of data, drawn class by class and always the same."""

import numpy as np
from numpy.typing import NDArray


def scaled(x: NDArray, *others: NDArray) -> list[NDArray[np.float32]]:
    """All in the units of `x`, the training part."""
    mean, deviation = x.mean(axis=0), x.std()
    return [((part - mean) / deviation).astype(np.float32) for part in (x, *others)]


def halves(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    for_test = drawn(y, 0.25)
    for_training = np.setdiff1d(np.arange(len(y)), for_test)
    return x[for_training], y[for_training], x[for_test], y[for_test]


def half_and_quarters(y: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Positions of half of each class's rows, for training, and of two quarters."""
    test = drawn(y, 0.25)
    rest = np.setdiff1d(np.arange(len(y)), test)
    validation = rest[drawn(y[rest], 1 / 3)]
    return np.setdiff1d(rest, validation), validation, test


def two_draws(y: NDArray, first: int, second: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of about so many rows, and of so many others, from each class its share."""
    rows = drawn(y, first / len(y))
    rest = np.setdiff1d(np.arange(len(y)), rows)
    return rows, rest[drawn(y[rest], second / len(rest))]


def drawn(y: NDArray, share: float | NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of this share of each class's rows, always the same ones; the share may be (classes,)."""
    rng = np.random.default_rng(0)
    by_class = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    shares = np.broadcast_to(share, len(by_class))
    taken = [rows[: round(part * len(rows))] for rows, part in zip(by_class, shares, strict=True)]
    return np.sort(np.concatenate(taken))
