"""Which rows to leave out before anything is selected, because they are probably mislabelled."""

import numpy as np
from numpy.typing import NDArray

from hf_prune.methods.aum import AUM
from hf_prune.signals import Signals


def suspects(signals: Signals, fraction: float) -> NDArray[np.bool_]:
    """(n,) True for the `round(fraction * n)` rows of the whole dataset with the lowest AUM, ties to the lowest row.

    Needs dynamics. The fraction is one of the whole dataset also where `signals` is one class of it.
    """

    def lowest(whole: Signals) -> NDArray[np.bool_]:
        order = np.argsort(AUM().scores_of(whole), kind="stable")
        suspect = np.zeros(len(whole), dtype=bool)
        suspect[order[: round(fraction * len(whole))]] = True
        return suspect

    return signals.shared(("suspects", fraction), lowest)
