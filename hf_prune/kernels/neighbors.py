"""The nearest other rows of every row, exactly or approximately as is asked for or as their number has it."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

from numpy.typing import NDArray

from hf_prune.kernels.approximate import Neighbors, approximate_neighbors
from hf_prune.kernels.knn import nearest_neighbors

EXACT_UP_TO = 500_000
"""Rows from which on "auto" searches approximately: all pairs of them take minutes on two cores."""

Search = Literal["auto", "exact", "approximate"]


def find_neighbors(
    points: NDArray[Any], k: int, track: Callable[[list[Any]], Iterable[Any]] = iter, *, search: Search = "auto"
) -> Neighbors:
    """The k nearest other rows of every row, exactly (`nearest_neighbors`) or approximately."""
    if search == "exact" or (search == "auto" and len(points) <= EXACT_UP_TO):
        return Neighbors(*nearest_neighbors(points, k, track), None)
    return approximate_neighbors(points, k, track)


def searched(recall: float | None) -> dict[str, Any]:
    """What a record says of a list of neighbours."""
    return {"search": "exact"} if recall is None else {"search": "approximate", "recall": recall}
