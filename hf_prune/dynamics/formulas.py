"""What the logits of one epoch say of each example."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def epoch_signals(logits: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """(5, n) signals, in the order of dynamics.SIGNALS, from (n, classes) logits and (n,) labels."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    true = logits[rows, labels]
    others = logits.copy()
    others[rows, labels] = -np.inf
    error = np.exp(log_p)
    p_true = error[rows, labels]
    error[rows, labels] -= 1
    # The lowest class wins a tie of logits, as argmax does.
    margin = true - others.max(axis=1)
    correct = np.where(np.isnan(margin), np.nan, logits.argmax(axis=1) == labels)
    return np.stack([-log_p[rows, labels], p_true, margin, correct, np.sqrt((error**2).sum(axis=1))])
