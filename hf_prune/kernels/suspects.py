"""Which labels the neighbours contradict, and in what share of the rows: the array part of `cutoff="auto"`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.tiles import tiles

ROWS_AT_A_TIME = 2**14
LEAST, MOST = 1 / 4, 2 / 3
"""Between these fractions of the rows with one label lies how many of them may be cut."""


class Votes(NamedTuple):
    """What each row's neighbours say, in numbers of neighbours.

    Attributes:
        winner: (n,) int64 the label that most of them carry, ties to the lowest; the row's own without neighbours.
        lead: (n,) int64 votes for the winner less those for the next label.
        support: (n,) int64 votes for the row's own label less those for the strongest other, below 0 where outvoted.
    """

    winner: Ints
    lead: Ints
    support: Ints


def votes(neighbors: Ints, labels: Ints) -> Votes:
    """Every row's neighbours vote with their labels.

    Args:
        neighbors: (n, k) int64 rows.
        labels: (n,) int64 >= 0.

    Cost: O(n k^2) time, and memory that depends on neither n nor the number of labels.
    """
    n = len(labels)
    all_votes = Votes(*(np.empty(n, dtype=np.int64) for _ in Votes._fields))
    for tile in tiles(n, ROWS_AT_A_TIME):
        own, near = labels[tile, None], labels[neighbors[tile]]
        count = (near[:, :, None] == near[:, None, :]).sum(axis=2)
        most = count.max(axis=1, initial=0, keepdims=True)
        winner = np.where(count == most, near, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
        all_votes.winner[tile] = winner = np.where(most[:, 0] > 0, winner, own[:, 0])
        all_votes.lead[tile] = most[:, 0] - np.where(near == winner[:, None], 0, count).max(axis=1, initial=0)
        rival = np.where(near == own, 0, count).max(axis=1, initial=0)
        all_votes.support[tile] = (near == own).sum(axis=1) - rival
    return all_votes


def suspect_fraction(vote: Votes, labels: Ints) -> tuple[float, NDArray[np.bool_]]:
    """The share of labels that neighbours contradict where they agree best with each other, and those rows.

    The core of each class, as voted, is its 1/8 with the largest lead (ties included), and up to a half of it in data
    of fewer than 2,048 rows, which would give too few rows. The share of contradicted labels in each core counts as
    much as its class has rows.

    Returns:
        the fraction in [0, 1], and (n,) bool, True for the core.
    """
    n = len(labels)
    sizes = np.bincount(vote.winner)
    wanted = max(n / 8, min(n / 2, 256))
    take = np.ceil(wanted * sizes / n).astype(np.int64)
    order = np.lexsort((-vote.lead, vote.winner))
    last = np.cumsum(sizes) - sizes + np.maximum(take, 1) - 1
    least = vote.lead[order[np.minimum(last, n - 1)]]  # that of a class without rows is never looked at
    core: NDArray[np.bool_] = vote.lead >= least[vote.winner]
    rows = np.bincount(vote.winner[core], minlength=len(sizes))
    wrong = np.bincount(vote.winner[core & (vote.winner != labels)], minlength=len(sizes))
    return float((sizes * (wrong / np.maximum(rows, 1))).sum() / n), core


def most_suspect(trust: Floats, labels: Ints, count: int, most: Ints) -> Ints:
    """Up to `count` rows of the lowest trust below 0, ascending by row; ties go to the lowest row.

    Of the rows with one label no more than `most` are taken, the least trusted ones; the others are let off and
    nothing is taken in their place.

    Args:
        trust: (n,) floats.
        labels: (n,) int64 >= 0.
        most: (labels,) int64.
    """
    order = np.argsort(trust, kind="stable")[:count]
    order = order[trust[order] < 0]
    by_label = order[np.argsort(labels[order], kind="stable")]
    label = labels[by_label]
    place = np.arange(len(label)) - np.searchsorted(label, label)
    return np.sort(by_label[place < most[label]])


def most_of(sizes: Ints, fraction: float) -> Ints:
    """(classes,) how many rows of each class may be cut.

    Twice as many as would be wrong if the wrong labels fell evenly on the other classes, but between a quarter and two
    thirds of the class: rows of a class that a more frequent one overlaps are outvoted though their labels are right.

    Args:
        sizes: (classes,) rows with each label.
        fraction: the share of all labels that is wrong.
    """
    others = max(1, np.count_nonzero(sizes) - 1)
    evenly = fraction * (sizes.sum() - sizes) / others
    most: Ints = np.floor(np.clip(2 * evenly, LEAST * sizes, MOST * sizes) + 1e-9).astype(np.int64)  # 2 / 3 of 9: 6
    return most


class Halves(NamedTuple):
    """Rows of the two halves of a core, the purer one first, and how many of their labels are contradicted."""

    rows: Ints
    contradicted: Ints


def halves(vote: Votes, core: NDArray[np.bool_], labels: Ints) -> Halves:
    """The core of each class, as voted, by lead. Ties stay together, in the half where the middle one of them is.

    The second half of a class whose leads are all the same is empty.
    """
    rows = np.flatnonzero(core)
    rows = rows[np.lexsort((-vote.lead[rows], vote.winner[rows]))]
    winner, lead = vote.winner[rows], vote.lead[rows]
    kind, size = np.unique(winner, return_inverse=True, return_counts=True)[1:]
    tied = np.cumsum(np.append(0, (np.diff(winner) != 0) | (np.diff(lead) != 0)))
    ties = np.bincount(tied)
    end = np.cumsum(ties)[tied] - (np.cumsum(size) - size)[kind]
    second = (2 * end - ties[tied] > size[kind]).astype(np.int64)
    return Halves(np.bincount(second, minlength=2), np.bincount(second[winner != labels[rows]], minlength=2))


def chance_of_no_more(count: int, tries: int, share: float) -> float:
    """Probability that no more than `count` of `tries` succeed, each with the probability `share`."""
    from scipy.special import bdtr

    return float(bdtr(count, tries, share))


def chance_of_no_less(count: int, tries: int, share: float) -> float:
    """Probability that `count` of `tries` or more succeed, each with the probability `share`."""
    return 1.0 if count <= 0 else chance_of_no_more(tries - count, tries, 1 - share)
