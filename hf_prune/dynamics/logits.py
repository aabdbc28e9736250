"""The signals of logits that are given as arrays, for runs that no callback recorded."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_prune.arguments import no_mask, readable
from hf_prune.dynamics.formulas import OneLabel, signals_of, values_of
from hf_prune.dynamics.rows import check_finite
from hf_prune.errors import ArgumentError, ArgumentTypeError

WANTED = (
    "wanted finite ones, -inf for masked classes but the label's, or NaN in all classes of a row that was not seen"
)


def signals_from_logits(logits: ArrayLike, labels: ArrayLike) -> tuple[dict[str, NDArray[np.float32]], NDArray[Any]]:
    """Signals by name, each (epochs, n), and the (n,) labels, of what TrainingDynamics.from_logits takes."""
    no_mask("logits", logits)
    no_mask("labels", labels)
    try:
        logits, labels = np.asarray(readable(logits)), np.asarray(readable(labels))
    except ValueError as error:
        raise ArgumentError(f"`logits`, `labels`: wanted numbers in rows of equal length; {error}") from error
    if logits.dtype.kind not in "fiu":
        raise ArgumentTypeError(f"`logits`: wanted floats, got {logits.dtype}")
    if logits.ndim != 3 or logits.shape[1:2] != labels.shape or logits.shape[2] < 2:
        raise ArgumentError(
            "`logits`, `labels`: wanted shapes (epochs, n, classes >= 2) and (n,), "
            f"got {logits.shape} and {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or not ((labels >= 0) & (labels < logits.shape[2])).all():
        raise ArgumentError(f"`labels`: wanted whole numbers from 0 to {logits.shape[2] - 1}")
    names = signals_of("single-label")
    signals = np.empty((len(names), *logits.shape[:2]), dtype=np.float32)
    for epoch, at_epoch in enumerate(logits):
        with np.errstate(all="ignore"):  # what overflows or is no number is refused below
            signals[:, epoch] = values_of(one_label(at_epoch.astype(np.float64), labels), np).T
        signals[:, epoch, np.isnan(at_epoch).all(axis=1)] = np.nan
        for name, values in zip(names, signals[:, epoch], strict=True):
            check_finite(values, name, epoch, argument="logits", advice=WANTED)
    return dict(zip(names, signals, strict=True)), labels


def one_label(logits: NDArray[np.float64], labels: NDArray[Any]) -> OneLabel:
    """Make what the formulas read from (n, classes) logits and (n,) labels; the recorder does it in torch."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    others, error = logits.copy(), np.exp(log_p)
    others[rows, labels] = -np.inf
    error[rows, labels] -= 1
    return OneLabel(
        log_p=log_p,
        log_p_true=log_p[rows, labels],
        true=logits[rows, labels],
        largest_other=others.max(axis=1),
        right=logits.argmax(axis=1) == labels,
        error=error,
    )
