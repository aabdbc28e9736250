"""Per-class recalls, from the shapes in which users have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_prune.arguments import did_you_mean, no_mask
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups

CONFIDENCE = 0.95


@runtime_checkable
class Predictions(Protocol):
    """What `Trainer.predict` returns, as far as it is read."""

    @property
    def predictions(self) -> Any:
        """(m,) class numbers or (m, classes) logits, alone or the first of a tuple."""

    @property
    def label_ids(self) -> Any:
        """(m,) true class numbers."""


# The items of tuples may be anything: transformers says of predictions that they may be tuples, and of labels, None.
OneRunsRecalls: TypeAlias = (
    Mapping[Any, float] | Sequence[float] | NDArray[Any] | Predictions | tuple[Any, Any] | tuple[Any, Any, Any]
)
RecallsLike: TypeAlias = OneRunsRecalls | Sequence[OneRunsRecalls]
"""Recall of each class on held-out data, or a list of these to average over seeds.

A mapping from class to recall, recalls in class order, what `Trainer.predict` returns, (predictions, references), or
either of the last two with the groups of the validation rows.
"""

_WANTED = (
    "`recalls`: wanted a mapping from class to recall, a sequence in class order, the output of "
    "trainer.predict(validation), a tuple (predictions, references), either of these two with the groups of the "
    "validation rows, or a list of these to average over seeds"
)


@dataclass(frozen=True, eq=False)
class Recalls:
    """Recall of each group on held-out data.

    Attributes:
        values: (groups,) float64 in [0, 1].
        support: (groups,) float64 held-out examples of each group; None where bare recalls were given.
        pooled: (groups,) bool, True where no example was held out and the recall of all together stands in.
    """

    values: NDArray[np.float64]
    support: NDArray[np.float64] | None = None
    pooled: NDArray[np.bool_] | None = None

    def smoothed(self, prior: tuple[float, float]) -> NDArray[np.float64]:
        """Posterior mean under a Beta(prior) where the counts are known; bare recalls are taken as exact."""
        if self.support is None:
            return self.values
        right, total = self.values * self.support + prior[0], self.support + sum(prior)
        return np.divide(right, total, out=self.values.copy(), where=self.support > 0)

    def intervals(self) -> NDArray[np.float64] | None:
        """(groups, 2) 95% Clopper-Pearson interval of each recall; None where the counts are not known."""
        return None if self.support is None else clopper_pearson(self.values * self.support, self.support)


def count_recalls(
    predictions: ArrayLike, references: ArrayLike, classes: int, *, argument: str = "recalls"
) -> Recalls:
    """Recalls from predictions on held-out data; NaN for a class without references.

    Args:
        predictions: (m,) class positions, or (m, classes) logits, of which the largest counts.
        references: (m,) true class positions.
        argument: what the caller's user passed them as, for messages.
    """
    predicted, true = _predicted_and_true(argument, predictions, references, classes)
    for name, values in (("predictions", predicted), ("references", true)):
        if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() >= classes:
            raise ArgumentError(f"`{argument}`: {name} must be class positions from 0 to {classes - 1}")
    return _shares(predicted == true, true, classes)


def _predicted_and_true(
    argument: str, predictions: Any, references: Any, classes: int | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The predicted and the true class of each held-out row, (m,) each, m >= 1; of logits the largest counts."""
    predicted, true = _array(argument, predictions), _array(argument, references)
    if predicted.ndim == 2:
        if classes is not None and predicted.shape[1] != classes:
            raise ArgumentError(f"`{argument}`: predictions have {predicted.shape[1]} columns for {classes} classes")
        if predicted.dtype.kind not in "fiub" or not np.isfinite(predicted).all():
            raise ArgumentError(f"`{argument}`: predictions hold text, NaN or infinite logits")
        predicted = predicted.argmax(axis=1)
    if predicted.shape != true.shape or true.ndim != 1 or not len(true):
        raise ArgumentError(
            f"`{argument}`: wanted predictions of shape (m,) or (m, classes) and references of shape (m,), m >= 1; "
            f"got {np.shape(predictions)} and {np.shape(references)}"
        )
    return predicted, true


def _shares(right: NDArray[np.bool_], codes: NDArray[np.int64], groups: int) -> Recalls:
    """The share of each group's held-out rows that is right, NaN where there are none."""
    support = np.bincount(codes, minlength=groups).astype(np.float64)
    values = np.divide(
        np.bincount(codes[right], minlength=groups), support, out=np.full(groups, np.nan), where=support > 0
    )
    return Recalls(values, support)


def read_recalls(value: RecallsLike, groups: Groups, *, missing: Literal["error", "pooled"] = "error") -> Recalls:
    """Recalls in the order of `groups`, from any of the shapes in which users pass them.

    Args:
        missing: what becomes of a group of the dataset without a recall (none was given, or NaN): an error, or it has
            that of all groups together.

    Raises:
        ArgumentError: a recall outside [0, 1] or NaN, an unknown class, or a class of the dataset without a recall;
            the message names the class.
        ArgumentTypeError: none of the shapes that are understood.
    """
    if isinstance(value, list) and value and not np.isscalar(value[0]):
        return _mean([read_recalls(one, groups, missing=missing) for one in value])
    recalls = _read_one(value, groups)
    unknown = np.isnan(recalls.values)
    lacking = unknown & (groups.sizes > 0)
    for name, recall in zip(groups.names, recalls.values, strict=True):
        if not np.isnan(recall) and not 0 <= recall <= 1:
            raise ArgumentError(f"`recalls`: class {name!r} has {recall}; wanted a number in [0, 1]")
    if lacking.any() and (missing == "error" or unknown.all()):
        raise ArgumentError(
            f"`recalls`: none for class {groups.names[np.argmax(lacking)]!r} ({lacking.sum()} without one); "
            'the validation data must hold every class to prune, or pass missing="pooled"'
        )
    # A class that no row has needs no recall; 1 gives it the weight 0.
    values = np.where(unknown, 1.0, recalls.values)
    if lacking.any():
        weights = None if recalls.support is None else recalls.support[~unknown]
        values[lacking] = np.average(recalls.values[~unknown], weights=weights)
    return Recalls(values, recalls.support, lacking)


def _read_one(value: Any, groups: Groups) -> Recalls:
    if isinstance(value, Mapping):
        return Recalls(_from_mapping(value, groups))
    if isinstance(value, Predictions):
        return _counted(*_of_output(value), groups=groups)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Predictions):
        return _counted(*_of_output(value[0]), value[1], groups=groups)
    if isinstance(value, tuple) and len(value) in (2, 3) and _array("recalls", value[0]).ndim >= 1:
        return _counted(*value, groups=groups)
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        values = _array("recalls", value)
        if values.dtype.kind not in "fiu" or values.shape != (len(groups.names),):
            raise ArgumentError(
                f"{_WANTED}; got a sequence of shape {values.shape} for the {len(groups.names)} classes "
                f"{groups.names[:10]}"
            )
        return Recalls(values.astype(np.float64))
    raise ArgumentTypeError(f"{_WANTED}; got {type(value).__name__}")


def _of_output(output: Predictions) -> tuple[Any, Any]:
    """Predictions and references out of what `Trainer.predict` returns."""
    predictions = output.predictions
    if isinstance(predictions, tuple) and predictions:  # a model that returns more than its logits
        predictions = predictions[0]
    if output.label_ids is None:
        raise ArgumentError("`recalls`: these predictions have no label_ids; predict on data with labels")
    return predictions, output.label_ids


def _counted(predictions: Any, references: Any, of_rows: Any = None, *, groups: Groups) -> Recalls:
    """Recalls from the class numbers of a model, or the accuracy in each group of held-out rows.

    Args:
        of_rows: (m,) values or names of the groups that the rows are in, whose classes may then be numbered in any
            way; tuples where columns are combined. By default the groups are the classes, numbered as `groups` are.
    """
    if of_rows is None:
        if not groups.numbered:
            name = groups.names[0]
            raise ArgumentError(
                f"`recalls`: these predictions are class numbers, and nothing says which of them is {name!r}; pass "
                f"recalls by name, as in recalls={{{name!r}: 0.9, ...}}, or as label_column= the column of numbers "
                "that was trained on"
            )
        return count_recalls(predictions, references, len(groups.names))
    predicted, true = _predicted_and_true("recalls", predictions, references)
    wanted, position = "`recalls`: wanted the group of each held-out row", _positions(groups)
    try:
        keys = of_rows.tolist() if isinstance(of_rows, np.ndarray) else list(of_rows)
        keys = [tuple(key) if isinstance(key, list) else key for key in keys]
        codes = np.array([position.get(key, -1) for key in keys], dtype=np.int64)
    except TypeError as error:  # not iterable, or a group that is no value
        raise ArgumentTypeError(f"{wanted}, by value or name: {error}") from error
    if len(codes) != len(true):
        raise ArgumentError(f"{wanted}, got {len(true)} rows and {len(codes)} groups")
    for row in np.flatnonzero(codes < 0).tolist():
        if not groups.could_hold(keys[row]):
            raise ArgumentError(f"`recalls`: row {row} is of {_unknown(keys[row], groups)}")
    some = codes >= 0  # the others are of combinations that no row of the dataset has
    return _shares((predicted == true)[some], codes[some], len(groups.names))


def _array(argument: str, value: Any) -> NDArray[Any]:
    no_mask(argument, value)
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged, or a tensor that numpy can't read
        raise ArgumentTypeError(f"`{argument}`: {type(value).__name__} is no array: {error}") from error


def _from_mapping(given: Mapping[Any, Any], groups: Groups) -> NDArray[np.float64]:
    position = _positions(groups)
    values = np.full(len(groups.names), np.nan)
    for key, recall in given.items():
        if groups.could_hold(key) and key not in position:
            continue  # of a combination that no row has
        if key not in position:
            raise ArgumentError(f"`recalls`: {_unknown(key, groups)}")
        if not np.isnan(values[position[key]]):
            raise ArgumentError(f"`recalls`: class {groups.names[position[key]]!r} is named twice, once as {key!r}")
        try:
            values[position[key]] = float(recall)
        except (TypeError, ValueError, OverflowError):
            raise ArgumentTypeError(f"`recalls`: class {key!r} has {recall!r}; wanted a number in [0, 1]") from None
    return values


def _positions(groups: Groups) -> dict[Any, int]:
    """The position of each group, by its name and by its value."""
    return {name: i for i, name in enumerate(groups.names)} | {key: i for i, key in enumerate(groups.values)}


def _unknown(key: Any, groups: Groups) -> str:
    return f"unknown class {key!r}.{did_you_mean(str(key), groups.names)} Classes: {list(groups.names[:20])}"


def _mean(several: list[Recalls]) -> Recalls:
    supports = [run.support for run in several if run.support is not None]
    return Recalls(
        np.mean([run.values for run in several], axis=0),
        np.mean(supports, axis=0) if len(supports) == len(several) else None,
        np.any([run.pooled for run in several if run.pooled is not None], axis=0),
    )


def clopper_pearson(right: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE) -> NDArray[np.float64]:
    """(..., 2) float64 lowest and highest rate that `right` of `total` tries are compatible with.

    The interval holds the true rate with at least this probability, whatever it is. [0, 1] where nothing was tried.
    Counts that are means over seeds may be fractions.

    Reference: Clopper and Pearson, *The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial*,
    Biometrika 26 (1934).

    >>> clopper_pearson([0, 8], [10, 10]).round(3).tolist()
    [[0.0, 0.308], [0.444, 0.975]]
    """
    from scipy.stats import beta

    right, total = np.asarray(right, dtype=np.float64), np.asarray(total, dtype=np.float64)
    wrong, half = total - right, (1 - confidence) / 2
    # Beta(0, b) and Beta(a, 0) are no distributions: all their weight is at 0 and at 1.
    low = np.where(right > 0, beta.ppf(half, right, wrong + 1), 0.0)
    high = np.where(wrong > 0, beta.ppf(1 - half, right + 1, wrong), 1.0)
    return np.stack([low, high], axis=-1)


def worst_class_interval(right: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Lowest and highest recall that the worst of several classes is compatible with.

    Bonferroni: with an interval of 1 - (1 - confidence) / classes for each class, all hold their recall together, and
    so the lowest of the lower and the lowest of the upper ends hold the lowest recall. The plain minimum of noisy
    recalls lies below it on average.

    Args:
        right: (classes,) examples of each class that are predicted right.
        total: (classes,) examples of each class, at least 1.
    """
    total = np.asarray(total, dtype=np.float64)
    every = clopper_pearson(right, total, 1 - (1 - confidence) / len(total))
    low, high = every.min(axis=0)
    return float(low), float(high)
