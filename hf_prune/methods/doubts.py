"""Why an estimate of wrong labels is not acted on: four tests of what the embeddings and the run can know."""

import numpy as np
from numpy.typing import NDArray

from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.suspects import Votes, chance_of_no_less, chance_of_no_more, halves

LEVEL = 0.05
"""Of each test: how often chance alone passes the first and the last, or fails the third."""
TRAINED = 0.5
"""Share of the largest possible lead that a trained run has at least; measured: 1/3 is too little."""
STEEP = 2
"""How many times as often as in the purer half of the core labels may be contradicted in the other half."""

AGREE = "where neighbours agree best with each other"
OR_ELSE = ", or pass a fraction of your own as cutoff="
ENCODER = "pass embeddings= from an encoder that knows such data"


def doubt(fraction: float, vote: Votes, core: NDArray[np.bool_], labels: Ints, lead: Floats) -> str | None:
    """Why nothing should be held back, and what to do; None where the estimate can be acted on.

    All four tests look at the core, the rows where neighbours agree best with each other:

    1. The embeddings know the labels: less than half of these are contradicted, and clearly less than if neighbours
       were drawn at random.
    2. The run is trained: where labels are upheld, it puts them at least half as far above the next class as a share
       `fraction` of wrong labels lets a perfect run, 1 - 2 * fraction. An untrained one is near 0.
    3. The disagreement is that of wrong labels, which are as frequent among the purest rows as among the next purest:
       it is not clearly more than twice as frequent in the second half of the core. That of weak embeddings is.
    4. Two witnesses: of the labels that neighbours contradict the run contradicts clearly more than half. One that has
       memorised them contradicts none, and of fewer than 5 rows no share is clear.

    "Clearly" is a one-sided binomial test at the level of 5%. None of them can tell wrong labels from labels that are
    truly ambiguous.

    Args:
        fraction: the estimate, `suspect_fraction`, with its (n,) bool `core`.
        labels: (n,) int64 >= 0.
        lead: (n,) the run's mean of (p of the label - the largest other p).
    """
    contradicted = core & (vote.winner != labels)
    upheld = core & (vote.winner == labels)
    reason = (
        _embeddings_know_little(fraction, vote.winner[core], labels, int(contradicted.sum()))
        or _barely_trained(fraction, lead[upheld])
        or _hard_rows(vote, core, labels)
        or _no_second_witness(int((lead[contradicted] < 0).sum()), int(contradicted.sum()))
    )
    return f"{reason}{OR_ELSE}" if reason else None


def _embeddings_know_little(fraction: float, voted: Ints, labels: Ints, wrong: int) -> str | None:
    shares = np.bincount(labels, minlength=int(voted.max()) + 1) / len(labels)
    at_random = float(1 - shares[voted].mean())
    if fraction < 0.5 and chance_of_no_more(wrong, len(voted), at_random) <= LEVEL:
        return None
    return (
        f"neighbours contradict {wrong:,} of {len(voted):,} labels {AGREE}, where they would contradict "
        f"{at_random:.0%} by chance, so the embeddings say too little about the labels; {ENCODER}"
    )


def _barely_trained(fraction: float, lead: Floats) -> str | None:
    known, least = float(lead.mean()), TRAINED * (1 - 2 * fraction)
    if known >= least:
        return None
    return (
        "up to its epoch that agrees best with the neighbours the run is barely trained: where they uphold labels it "
        f"puts these {known:.2f} above the next class, and a trained run {least:.2f} or more; train longer, or start "
        "from a pretrained model"
    )


def _hard_rows(vote: Votes, core: NDArray[np.bool_], labels: Ints) -> str | None:
    (purer, other), (few, many) = halves(vote, core, labels)
    share = STEEP * other / (STEEP * other + purer)
    if chance_of_no_less(int(many), int(few + many), share) >= LEVEL:
        return None
    return (
        f"neighbours contradict {many:,} of {other:,} labels where they agree well, but only {few:,} of {purer:,} "
        f"{AGREE}, which is how hard rows look and not how wrong labels do; {ENCODER}"
    )


def _no_second_witness(borne_out: int, wrong: int) -> str | None:
    if chance_of_no_less(borne_out, wrong, 0.5) <= LEVEL:
        return None
    return (
        f"the run contradicts {borne_out:,} of the {wrong:,} labels that neighbours contradict {AGREE}, too few to go "
        f"by; if it has memorised its labels record it from its first epoch, else {ENCODER}"
    )
