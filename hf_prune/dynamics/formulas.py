"""Every quantity that is recorded of an example in an epoch, with its formulas, said once for numpy and for torch.

A further quantity is a further entry of FORMULAS, and nothing else: the recorder and `from_logits` compute it, files
and tables hold it under its name, and runs that were saved before it was there stay readable.

Meanings are given for one label a row. Where rows have several, loss is the mean over them of the binary
cross-entropy, p_true is exp(-loss), margin the smallest over labels of the logit, turned so that right is positive,
correct 1 where all are right, and el2n the norm over labels. One logit a row ("binary") is one such label, of which
p_true is the sigmoid's probability. A soft label is a distribution over the classes: loss is the cross-entropy with
it, p_true exp(-loss), margin and correct are of its largest class, and el2n is the distance to it. For token
classification and language models each quantity is the mean over the tokens that have a label, each as one label of a
row, and exp(loss) is the perplexity; for question answering it is the mean over start and end.
For regression loss is the squared error and el2n its size; it has no other, and methods that need one refuse.
"""

from collections.abc import Callable
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

    loss: Any  # (n,) mean over the labels of the binary cross-entropy, in nats
    margin: Any  # (n,) smallest over the labels of the logit, turned so that right is positive
    error: Any  # (n, labels) probabilities less the labels


class Number(NamedTuple):
    """What the formulas read of n rows with a number as their label."""

    error: Any  # (n,) prediction less the label


FORMULAS: dict[str, dict[type, Callable[[Any, Any], Any]]] = {
    "loss": {  # in nats, cross-entropy of the true class, without label smoothing
        OneLabel: lambda of, xp: -of.log_p_true,
        SeveralLabels: lambda of, xp: of.loss,
        Number: lambda of, xp: of.error**2,
    },
    "p_true": {  # softmax probability of the true class
        OneLabel: lambda of, xp: xp.exp(of.log_p_true),
        SeveralLabels: lambda of, xp: xp.exp(-of.loss),
    },
    "margin": {  # in logits, the true one minus the largest other
        OneLabel: lambda of, xp: of.true - of.largest_other,
        SeveralLabels: lambda of, xp: of.margin,
    },
    "correct": {  # 1 where the true class has the largest logit, else 0
        # Where a logit is NaN, argmax would call the first of them the largest.
        OneLabel: lambda of, xp: xp.where(xp.isnan(of.log_p_true), xp.inf, of.right),
        SeveralLabels: lambda of, xp: xp.where(xp.isnan(of.loss), xp.inf, of.margin > 0),
    },
    "el2n": {  # Euclidean norm of (probabilities - one-hot label)
        OneLabel: lambda of, xp: xp.linalg.norm(of.error, None, 1),
        SeveralLabels: lambda of, xp: xp.linalg.norm(of.error, None, 1),
        Number: lambda of, xp: abs(of.error),
    },
}
"""The formulas of each quantity by the kind of labels: from what is read of n rows, and the library of its arrays, to
(n,) values. Runs with a kind of labels that a quantity has no formula for don't have it."""

SIGNALS = tuple(FORMULAS)

TASKS = {
    "single-label": OneLabel,
    "multiple-choice": OneLabel,
    "soft-label": OneLabel,
    "binary": SeveralLabels,
    "multi-label": SeveralLabels,
    "regression": Number,
    "token-classification": OneLabel,
    "causal-lm": OneLabel,
    "seq2seq": OneLabel,
    "question-answering": OneLabel,
}
"""The kind of labels that a row of each task has, or a token of it."""


def signals_of(task: str) -> tuple[str, ...]:
    """The names of the quantities that a task has, in the order of `values_of`."""
    return tuple(name for name, formulas in FORMULAS.items() if TASKS[task] in formulas)


def values_of(rows: OneLabel | SeveralLabels | Number, xp: Any) -> Any:
    """(n, quantities) values of rows that were seen: infinite where they are not finite, never NaN.

    Args:
        xp: the library of the arrays, numpy or torch.
    """
    kind = type(rows)
    values = xp.stack([formulas[kind](rows, xp) for formulas in FORMULAS.values() if kind in formulas], 1)
    return xp.nan_to_num(values, nan=xp.inf, posinf=xp.inf, neginf=-xp.inf)
