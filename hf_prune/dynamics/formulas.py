"""Every quantity that is recorded of an example in an epoch, with its formulas, said once for numpy and for torch.

A further quantity is a further entry of QUANTITIES, and nothing else: the recorder and `from_logits` compute it, files
and tables hold it under its name, and runs that were saved before it was there stay readable.

Meanings are given for one label a row. Where rows have several, loss is the mean over them of the binary
cross-entropy, p_true is exp(-loss), margin the smallest over labels of the logit, turned so that right is positive,
correct 1 where all are right, and el2n the norm over labels. For token classification and language models each
quantity is the mean over the tokens that have a label, each as one label of a row, and exp(loss) is the perplexity.
For regression loss is the squared error and el2n its size; it has no other, and methods that need one refuse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class OneLabel(NamedTuple):
    """What the formulas read of n rows, or tokens, with one label each: arrays of numpy or tensors of torch."""

    log_p: Any  # (n, classes) logarithms of the softmax, in nats
    log_p_true: Any  # (n,) those of the labels
    true: Any  # (n,) logits of the labels
    largest_other: Any  # (n,) the largest logit among the other classes
    right: Any  # (n,) bool, whether the label is the first class with the largest logit
    error: Any  # (n, classes) probabilities less the one-hot label


class SeveralLabels(NamedTuple):
    """What the formulas read of n rows with several labels, each in [0, 1]."""

    logits: Any  # (n, labels)
    labels: Any  # (n, labels)
    loss: Any  # (n,) mean over the labels of the binary cross-entropy, in nats
    error: Any  # (n, labels) probabilities less the labels


class Number(NamedTuple):
    """What the formulas read of n rows with a number as their label."""

    error: Any  # (n,) prediction less the label


@dataclass(frozen=True)
class Quantity:
    """One recorded quantity.

    Attributes:
        unit: empty where it has none.
        meaning: for one label a row.
        formulas: by the kind of labels, from what is read of n rows and the library of its arrays to (n,) values. Runs
            with another kind of labels don't have this quantity.
    """

    name: str
    unit: str
    meaning: str
    formulas: Mapping[type, Callable[[Any, Any], Any]]


QUANTITIES = (
    Quantity(
        "loss",
        "nats",
        "cross-entropy of the true class, without label smoothing",
        {
            OneLabel: lambda of, xp: -of.log_p_true,
            SeveralLabels: lambda of, xp: of.loss,
            Number: lambda of, xp: of.error**2,
        },
    ),
    Quantity(
        "p_true",
        "",
        "softmax probability of the true class",
        {
            OneLabel: lambda of, xp: xp.exp(of.log_p_true),
            SeveralLabels: lambda of, xp: xp.exp(-of.loss),
        },
    ),
    Quantity(
        "margin",
        "logits",
        "true logit minus the largest other logit",
        {
            OneLabel: lambda of, xp: of.true - of.largest_other,
            SeveralLabels: lambda of, xp: xp.amin((2 * of.labels - 1) * of.logits, 1),
        },
    ),
    Quantity(
        "correct",
        "",
        "1 where the true class has the largest logit, else 0",
        {
            # Where a logit is NaN, argmax would call the first of them the largest.
            OneLabel: lambda of, xp: xp.where(xp.isnan(of.log_p_true), xp.inf, of.right),
            SeveralLabels: lambda of, xp: xp.where(
                xp.isnan(of.loss), xp.inf, xp.amin((2 * of.labels - 1) * of.logits, 1) > 0
            ),
        },
    ),
    Quantity(
        "el2n",
        "",
        "Euclidean norm of (probabilities - one-hot label)",
        {
            OneLabel: lambda of, xp: xp.linalg.norm(of.error, None, 1),
            SeveralLabels: lambda of, xp: xp.linalg.norm(of.error, None, 1),
            Number: lambda of, xp: abs(of.error),
        },
    ),
)

SIGNALS = tuple(quantity.name for quantity in QUANTITIES)

TASKS = {
    "single-label": OneLabel,
    "multi-label": SeveralLabels,
    "regression": Number,
    "token-classification": OneLabel,
    "causal-lm": OneLabel,
    "seq2seq": OneLabel,
}
"""The kind of labels that a row of each task has, or a token of it."""


def signals_of(task: str) -> tuple[str, ...]:
    """The names of the quantities that a task has, in the order of `values_of`."""
    return tuple(quantity.name for quantity in QUANTITIES if TASKS[task] in quantity.formulas)


def values_of(rows: OneLabel | SeveralLabels | Number, xp: Any) -> Any:
    """(n, quantities) values of rows that were seen: infinite where they are not finite, never NaN.

    Args:
        xp: the library of the arrays, numpy or torch.
    """
    formulas = [quantity.formulas.get(type(rows)) for quantity in QUANTITIES]
    values = xp.stack([formula(rows, xp) for formula in formulas if formula is not None], 1)
    return xp.nan_to_num(values, nan=xp.inf, posinf=xp.inf, neginf=-xp.inf)
