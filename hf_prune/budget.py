"""Exact whole numbers for what the user wants kept: the only place where fractions and weights become counts."""

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_prune.errors import ArgumentError, ArgumentTypeError


def resolve_keep(keep: Any, n: int) -> int:
    """The exact number of rows that `keep` means in a dataset of `n`.

    An int is a count; a float is a fraction in (0, 1] and means `max(1, round(keep * n))` with Python's `round`.

    Raises:
        ArgumentError: `keep` is NaN, zero or negative, a fraction above 1, a count above `n`, or `n` is 0.
        ArgumentTypeError: `keep` is a bool or not a number.

    >>> resolve_keep(0.3, 1000), resolve_keep(17, 1000)
    (300, 17)
    """
    wanted = "wanted a fraction in (0, 1], as in keep=0.3, or a count, as in keep=1000"
    if n == 0:
        raise ArgumentError("`keep`: the dataset is empty, so there is nothing to keep")
    if isinstance(keep, bool | np.bool_):
        raise ArgumentTypeError(f"`keep`: {wanted}; got the bool {keep!r}")
    try:
        count = operator.index(keep)
    except TypeError:
        if not isinstance(keep, float | np.floating):
            raise ArgumentTypeError(f"`keep`: {wanted}; got {keep!r}") from None
        if not 0 < keep <= 1:
            raise ArgumentError(f"`keep`: {wanted}; got the float {keep}") from None
        return max(1, round(float(keep) * n))
    if not 1 <= count <= n:
        raise ArgumentError(f"`keep`: {wanted}, of at most the dataset's {n} rows; got the count {count}")
    return count


def plain_keep(keep: Any) -> float | int:
    """A `keep` that `resolve_keep` accepted, without numpy's types."""
    return float(keep) if isinstance(keep, float | np.floating) else int(keep)


def seat_order(weights: ArrayLike, sizes: ArrayLike, budget: int, *, at_least: int = 0) -> NDArray[np.int64]:
    """The group that gets each of `budget` places, in the order in which the places are given.

    Webster's rule with caps: each next place goes to the group with the largest w / (kept + 1/2) among those that are
    not full, ties to the lower group. Every group first gets `at_least` places (or all it has). Groups of weight 0
    get places only when all others are full, then by the same rule with what remains of their size as weight.

    Because the places are given one after the other, a smaller budget is a prefix: no group loses by a larger one.

    Args:
        weights: (groups,) finite and >= 0; only ratios matter.
        sizes: (groups,) rows in each group, the cap.
        budget: places to give, at most the sum of `sizes`.
        at_least: places that every group gets before any weight counts.

    Returns:
        (budget,) int64, the group of each place. `np.bincount` of it gives the quotas.

    Cost: O(N log N) for N = sum of `sizes`, a stable sort.

    Reference: Balinski and Young, *Fair Representation* (1982): divisor methods are house-monotone.

    >>> np.bincount(seat_order([3, 1], [10, 10], 4)).tolist()
    [3, 1]
    """
    weights, sizes = np.asarray(weights, dtype=np.float64), np.asarray(sizes, dtype=np.int64)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ArgumentError(f"quota weights: wanted finite numbers >= 0, got {weights.tolist()}")
    if not 0 <= budget <= sizes.sum():
        raise ArgumentError(f"budget: wanted 0 to {sizes.sum()}, the rows in all groups; got {budget}")
    floors = np.minimum(sizes, at_least)
    if budget < floors.sum():
        raise ArgumentError(
            f"`keep`: {budget} rows are fewer than the {floors.sum()} that min_per_class={at_least} asks for; "
            "keep more rows or lower min_per_class"
        )
    group = np.repeat(np.arange(len(sizes)), sizes)
    seat = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    floor = floors[group]
    weightless = (weights == 0)[group]
    # Three rounds: the guaranteed places, the weighted ones, and the groups without weight once the others are full.
    round_ = np.where(seat < floor, 0, np.where(weightless, 2, 1))
    claim = np.where(
        weightless, (sizes - floors)[group] / (np.maximum(seat - floor, 0) + 0.5), weights[group] / (seat + 0.5)
    )
    # Places lie by group and then by seat, and lexsort is stable, so equal claims go to the lower group.
    return group[np.lexsort((-claim, round_))[:budget]]
