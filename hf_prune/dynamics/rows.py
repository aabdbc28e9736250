"""Whether dynamics can be used for rows: whether they are the recorded ones, were seen, and have finite values."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.dynamics.row_digests import RowDigests
from hf_prune.errors import AlignmentError, ArgumentError

UNSEEN = -1
"""The label of rows that were never seen, and in tasks without one class a row of those that were."""

UNLABELLED = -100
"""The label of rows that were seen and have none: their class is -100, or that of all of their tokens."""


def check_count(recorded: int, n: int) -> None:
    """Refuse another number of rows."""
    if n != recorded:
        raise AlignmentError(
            f"`dynamics`: recorded for {recorded} rows, this dataset has {n}; "
            "pass the dynamics of a run on this dataset, or prune the dataset that was trained on"
        )


def check_rows(
    recorded: NDArray[np.int64], labels: NDArray[Any], column: str, rows: NDArray[np.int64] | None = None
) -> None:
    """Refuse rows that dynamics don't describe: another count, or other labels.

    Args:
        recorded: (n,) labels that the dynamics hold.
        labels: (n,) labels of the rows to prune. Ints must be the recorded ones; text and bools must match them one to
            one, as they do when they were numbered before training.
        column: where the labels are from, for the message.
        rows: their positions where these are not all rows, for the message.

    Raises:
        AlignmentError: with the first row that differs.
    """
    check_count(len(recorded), len(labels))
    seen = recorded != UNSEEN
    known, given = recorded[seen], labels[seen]
    numbers = np.issubdtype(given.dtype, np.integer)
    differ = known != given if numbers else ~_one_to_one(known, given)
    if differ.any():
        row = np.flatnonzero(seen)[np.argmax(differ)]
        at = row if rows is None else rows[row]
        renumbered = "they match one to one, so pass as label_column= the numbers that were trained on"
        reordered = "were the rows reordered, or is label_column= another?"
        raise AlignmentError(
            f"`dynamics`: recorded for other data: {differ.sum()} of {len(recorded)} labels differ from column "
            f"{column!r}, first at row {at} (recorded {recorded[row]}, here {labels[row]}); "
            f"{renumbered if _one_to_one(known, given).all() else reordered}"
        )


def check_digests(argument: str, recorded: RowDigests, given: RowDigests, where: str) -> list[str]:
    """Refuse rows that dynamics don't describe: in a column that both have, another value or another order.

    Args:
        argument: its name, for the message.
        recorded: the digests that the dynamics hold.
        given: those of as many rows.
        where: what the rows are of, for the message.

    Returns:
        The columns that were compared; empty where nothing is in common, so that only the count could be.

    Raises:
        AlignmentError: with the first row that differs.
    """
    common = [column for column in recorded if column in given]
    rows = {column: np.flatnonzero(recorded[column] != given[column]) for column in common}
    if different := {column: which for column, which in rows.items() if len(which)}:
        column, which = min(different.items(), key=lambda item: item[1][0])
        same = [column for column in common if column not in different]
        raise AlignmentError(
            f"`{argument}`: recorded for other data: {where} has other values in {len(which)} of "
            f"{len(recorded[column])} rows of column {column!r}, first in row {which[0]}; compared were {common}, "
            + (
                f"of which {same} hold the same: where {[*different]} was changed on purpose, rename it"
                if same
                else "which all differ: were the rows reordered?"
            )
        )
    return common


def check_labelled(without: NDArray[np.bool_], signal: str) -> None:
    """Refuse rows that were seen and have no label, (n,) bools, and so nothing of which a score can be made."""
    if without.any():
        raise ArgumentError(
            f"`dynamics`: {without.sum()} of {len(without)} rows have no label and so no {signal}, the first is row "
            f"{np.argmax(without)}; prune with unlabelled='keep' or 'drop', or take the others, as in "
            "run.take(np.flatnonzero(~run.unlabelled))"
        )


def check_values(values: NDArray[np.float32], signal: str, first: int) -> None:
    """Refuse values of which no score can be made: infinite ones, and rows that none of these epochs showed.

    Args:
        values: (epochs, n), of which the first is of the epoch `first`.
        signal: its name, for the message.

    Raises:
        ArgumentError: with the first epoch or row of which this holds.
    """
    unseen = np.ones(values.shape[1], dtype=bool)
    for number, epoch in enumerate(values, first):
        unseen &= np.isnan(epoch)
        check_finite(epoch, signal, number)
    if unseen.any():
        raise ArgumentError(
            f"`dynamics`: {unseen.sum()} of {len(unseen)} rows were never seen in epochs {first} to "
            f"{first + len(values) - 1}, the first is row {np.argmax(unseen)}; train for whole epochs, or prune the "
            "rows that were seen"
        )


TRY = "leave such epochs out with epochs=, or train anew with a smaller learning rate"


def check_finite(
    values: NDArray[np.float32], signal: str, epoch: int, *, argument: str = "dynamics", advice: str = TRY
) -> None:
    """Refuse infinite values, (n,) of one epoch; `argument` and `advice` are for the message."""
    if (infinite := np.isinf(values)).any():
        row = int(np.argmax(infinite))
        raise ArgumentError(
            f"`{argument}`: in epoch {epoch} row {row} has the {signal} {values[row]}, one of {infinite.sum()} in "
            f"that epoch: the logits were infinite or NaN; {advice}"
        )


def _one_to_one(recorded: NDArray[np.int64], given: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) where the pair (recorded, given) belongs to one matching of the two sets of labels."""
    _, first_given, given_codes = np.unique(given, return_index=True, return_inverse=True)
    _, first_recorded, recorded_codes = np.unique(recorded, return_index=True, return_inverse=True)
    # The first row of each label decides which other one it belongs to.
    matched: NDArray[np.bool_] = recorded[first_given][given_codes] == recorded
    matched &= given_codes[first_recorded][recorded_codes] == given_codes
    return matched
