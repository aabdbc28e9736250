"""Which rows have suspect labels: a fraction of the lowest margins, or as many and which the data say."""

import logging
from functools import partial
from typing import Any, Literal

import numpy as np
from datasets.utils import tqdm
from numpy.typing import NDArray

from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.dynamics.rows import check_finite
from hf_prune.groups import Groups, listed
from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.neighbors import find_neighbors, searched
from hf_prune.kernels.suspects import Votes, most_of, most_suspect, suspect_fraction, votes
from hf_prune.methods.doubts import doubt
from hf_prune.signals.signals import LAST_FEATURES, Signals

logger = logging.getLogger(__name__)

NEIGHBORS = 10
MEMORISED = 0.99
"""Share of the training rows predicted right in the last epoch from which on the last layer may repeat the labels."""
RARE = 2 * NEIGHBORS
"""Rows of a class up to which its neighbours are too few to tell: it loses none."""
JUDGED = np.dtype([("place", np.int64), ("trust", np.float64), ("neighbors", np.float64), ("voted", np.int64)])
"""What is known of the label of a row."""


def suspects(signals: Signals, cutoff: float | Literal["auto"]) -> Ints:
    """(n,) int64 place of each row among the suspects, 1 = the most suspect; 0 for a row that is none."""
    place: Ints = judged(signals, cutoff)["place"]
    return place


def judged(signals: Signals, cutoff: float | Literal["auto"]) -> NDArray[Any]:
    """(n,) of JUDGED: how suspect the label of each row is, and why.

    Its "place" among the suspects, 1 = the most suspect, 0 for a row that is none; its "trust", the lower the more
    suspect; for "auto" also the part of the trust that is due to its "neighbors", and the class that most of these
    "voted" for, as a position among the classes; for a fraction NaN and -1.

    The suspects are those of the whole dataset, also where `signals` is one class of it. What it has learnt goes into
    `signals.notes["cutoff"]`, as JSON values.

    A fraction takes the `round(fraction * n)` rows of lowest AUM (the mean margin, see AUM). "auto" reads the
    suspect or unlearnable fraction from the data; ours, no published method does it:

    1. Votes: the labels of each row's 10 nearest neighbours in the whole dataset.
    2. Fraction: how often labels are outvoted where neighbours agree best with each other, class by class. A clean
       but hard dataset has nearly no disagreement there, a noisy one has its noise rate. `suspect_fraction`.
    3. Trust: mean over the epochs up to e* of (probability of the label - the largest other), plus the share of votes
       for the label less the largest other share. e* is the epoch in which being predicted right agrees most often
       with not being outvoted: early stopping without validation data. A row that no epoch up to e* showed is judged
       by the votes alone.
    4. Suspects: the fraction's worth of rows with the lowest trust, as far as it is below 0. A class never loses more
       than `most_of` lets, and none of its rows where it has at most 20. `most_suspect`.
    5. Doubt: none, where the embeddings or the run can't know: embeddings that say little about the labels, a run
       that is barely trained or has memorised its labels, too few rows. The note keeps the "estimate" and the reason,
       and its "fraction", which acts, is 0. `doubt` has the four tests.

    The embeddings are those that were passed as an array or column; else the run's early features, as
    PruningTrainerCallback(features=True) records them at a fifth of the epochs, the third at the earliest; else, where
    these are not there for every row, its last ones, with a warning, and another where the run fits 99% of its rows or
    more.

    Where it fails: embeddings from a layer that has memorised its labels hide the disagreement, and ambiguous data are
    over-estimated, of which no test here knows. So it is no rate of label errors. Wrong labels in classes of at most
    20 rows stay.

    Cost: O(epochs * n), and for "auto" the O(n^2 d) of a nearest-neighbour graph of all rows.

    Raises:
        ArgumentError: rows that no epoch showed, or an infinite loss.
    """
    find = _by_trust if cutoff == "auto" else partial(_by_margin, fraction=float(cutoff))
    return signals.shared(("suspects", cutoff), find)


def _by_margin(whole: Signals, fraction: float) -> NDArray[Any]:
    margin = whole.dynamics.mean("margin")
    cut = np.sort(np.argsort(margin, kind="stable")[: round(fraction * len(whole))])
    whole.notes["cutoff"] = {"cutoff": fraction, "cut": len(cut), "rows": len(whole)}
    return _judged(_places(cut, margin), margin, np.full(len(whole), np.nan), np.full(len(whole), -1))


def _by_trust(whole: Signals) -> NDArray[Any]:
    labels, dynamics, n = whole.labels, whole.dynamics, len(whole)
    vote, k, recall = _votes(whole)
    estimate, core = suspect_fraction(vote, labels.codes)
    epoch = _stopping_epoch(dynamics, vote.winner == labels.codes)
    lead = _lead(dynamics, epoch + 1)
    support = vote.support / max(k, 1)
    trust = lead + support
    most = np.where(labels.sizes > RARE, most_of(labels.sizes, estimate), 0)
    cut = most_suspect(trust, labels.codes, round(estimate * n), most)
    reason = doubt(estimate, vote, core, labels.codes, lead) if len(cut) else None
    if reason:
        cut = cut[:0]
    origin = whole.origins.get("embeddings", "array")
    lost = labels.take(cut).sizes
    warnings = [*_embedding_warnings(origin, dynamics), *_class_warnings(labels, lost, most)]
    for warning in warnings:
        logger.warning("cutoff: %s", warning)
    whole.notes["cutoff"] = {
        "cutoff": "auto",
        "fraction": 0.0 if reason else estimate,
        "estimate": estimate,
        "doubt": reason,
        "cut": len(cut),
        "rows": n,
        "epoch": epoch,
        "core": int(core.sum()),
        "embeddings": origin,
        **searched(recall),
        "classes": {"name": list(labels.names), "rows": labels.sizes.tolist(), "cut": lost.tolist()},
        "warnings": warnings,
    }
    return _judged(_places(cut, trust), trust, support, vote.winner)


def _votes(whole: Signals) -> tuple[Votes, int, float | None]:
    """The votes of so many neighbours, and the recall of an approximate search for them."""
    track = partial(tqdm, desc="Nearest neighbours for the cutoff", delay=2)
    k = min(NEIGHBORS, len(whole) - 1)
    neighbors, _, recall = find_neighbors(whole.embeddings, k, track)
    return votes(neighbors, whole.labels.codes), k, recall


def _judged(*columns: NDArray[Any]) -> NDArray[Any]:
    rows = np.empty(len(columns[0]), dtype=JUDGED)
    for name, values in zip(JUDGED.names or (), columns, strict=True):
        rows[name] = values
    return rows


def _places(cut: Ints, trust: Floats) -> Ints:
    """(n,) place of each of the rows `cut`, ascending: of the highest trust, then the lowest row, is the last."""
    places = np.zeros(len(trust), dtype=np.int64)
    places[cut[np.argsort(-trust[cut], kind="stable")]] = np.arange(len(cut), 0, -1)
    return places


def _stopping_epoch(dynamics: TrainingDynamics, upheld: NDArray[np.bool_]) -> int:
    """The first epoch in which the largest share of rows are predicted right exactly if they are `upheld`.

    Of the rows that the epoch showed; epochs that showed few, as one that was interrupted does, are passed over.
    """
    epochs = dynamics.in_epochs("correct")
    seen = np.array([np.count_nonzero(~np.isnan(correct)) for correct in epochs])
    agree = np.array([np.count_nonzero(correct == upheld) for correct in epochs])  # NaN equals nothing
    return int(np.argmax(np.where(2 * seen >= seen.max(), agree / np.maximum(seen, 1), -1)))


def _lead(dynamics: TrainingDynamics, stop: int) -> Floats:
    """(n,) mean over the first `stop` epochs of p of the label less the largest other p; 0 for rows unseen in them."""
    total, seen = np.zeros(len(dynamics)), np.zeros(len(dynamics))
    losses, margins = (dynamics.recorded(signal)[:stop] for signal in ("loss", "margin"))
    for epoch, (loss, margin) in enumerate(zip(losses, margins, strict=True)):
        check_finite(loss, "loss", epoch)
        loss = loss.astype(np.float64)
        # Both from logarithms: p_true is 0 in float32 long before its ratio to the other p is.
        lead = np.exp(-loss) - np.exp(-np.maximum(loss + margin, 0))
        known = ~np.isnan(lead)
        np.add(total, lead, out=total, where=known)
        seen += known
    mean: Floats = total / np.maximum(seen, 1)
    return mean


def _embedding_warnings(origin: str, dynamics: TrainingDynamics) -> list[str]:
    if origin != LAST_FEATURES:
        return []
    fit = float(np.nanmean(dynamics["correct"][-1])) if not np.isnan(dynamics["correct"][-1]).all() else 0.0
    warnings = [
        "the embeddings are the run's last features, since early ones are not there for every row; pass embeddings= "
        "from an encoder, or record a whole run with PruningTrainerCallback(features=True)"
    ]
    if fit >= MEMORISED:
        warnings.append(
            f"the run predicts {fit:.1%} of its training rows right and the embeddings are its last features: where "
            "it has memorised wrong labels they look right, and the fraction is too small"
        )
    return warnings


def _class_warnings(labels: Groups, lost: Ints, most: Ints) -> list[str]:
    if not lost.any():
        return []
    sizes, warnings = labels.sizes, []
    if spared := [f"{labels.names[c]} ({sizes[c]})" for c in np.flatnonzero((sizes > 0) & (sizes <= RARE))]:
        warnings.append(f"classes of at most {RARE} rows are too small to tell and lose none: {listed(spared)}")
    if names := [f"{labels.names[c]} ({lost[c]} of {sizes[c]})" for c in np.flatnonzero((lost == most) & (lost > 0))]:
        warnings.append(
            f"classes lose as many rows as they may: {listed(names)}; where a more frequent class overlaps them, rows "
            "are suspected wrongly more often: look at them, or pass cutoff=0"
        )
    return warnings
