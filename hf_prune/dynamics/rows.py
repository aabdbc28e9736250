"""Whether the rows of a dataset are those that training dynamics were recorded of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.dynamics.table import UNSEEN
from hf_prune.errors import AlignmentError


def check_count(recorded: int, n: int) -> None:
    """As TrainingDynamics.check_count."""
    if n != recorded:
        raise AlignmentError(
            f"`dynamics`: recorded for {recorded} rows, this dataset has {n}; "
            "pass the dynamics of a run on this dataset, or prune the dataset that was trained on"
        )


def check_rows(recorded: NDArray[np.int64], labels: NDArray[Any], column: str) -> None:
    """As TrainingDynamics.check_rows, of which `recorded` are the (n,) labels."""
    check_count(len(recorded), len(labels))
    seen = recorded != UNSEEN
    known, given = recorded[seen], labels[seen]
    numbers = np.issubdtype(given.dtype, np.integer)
    differ = known != given if numbers else ~_one_to_one(known, given)
    if differ.any():
        row = np.flatnonzero(seen)[np.argmax(differ)]
        renumbered = "they match one to one, so pass as label_column= the numbers that were trained on"
        reordered = "were the rows reordered, or is label_column= another?"
        raise AlignmentError(
            f"`dynamics`: recorded for other data: {differ.sum()} of {len(recorded)} labels differ from column "
            f"{column!r}, first at row {row} (recorded {recorded[row]}, here {labels[row]}); "
            f"{renumbered if _one_to_one(known, given).all() else reordered}"
        )


def _one_to_one(recorded: NDArray[np.int64], given: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) where the pair (recorded, given) belongs to one matching of the two sets of labels."""
    _, given_codes = np.unique(given, return_inverse=True)
    partner_of_given = np.full(given_codes.max(initial=-1) + 1, UNSEEN)
    partner_of_recorded = np.full(recorded.max(initial=-1) + 1, UNSEEN)
    # Written backwards, so that the first row of each label decides.
    partner_of_given[given_codes[::-1]] = recorded[::-1]
    partner_of_recorded[recorded[::-1]] = given_codes[::-1]
    matched: NDArray[np.bool_] = partner_of_given[given_codes] == recorded
    matched &= partner_of_recorded[recorded] == given_codes
    return matched
