"""What every method must hold to: checks for methods of this package and for those of others.

>>> import hf_prune
>>> hf_prune.testing.check_method(hf_prune.D2(k=3, score=hf_prune.EL2N()))
"""

import json
import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value, concatenate_datasets
from numpy.typing import NDArray

from hf_prune.config import from_config
from hf_prune.dataset import prune
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.errors import ArgumentError, HFPruneError, MissingSignalError
from hf_prune.groups import encode
from hf_prune.methods.base import Method
from hf_prune.methods.by_score import as_method
from hf_prune.methods.score import Score
from hf_prune.signals.signals import COLUMN, Signals

SPOILT = 5
"""The row that gets a NaN or an infinite number."""


@dataclass(frozen=True)
class Material:
    """Every signal that a method may read, of rows that are made up, always the same.

    Args:
        n: rows.
        classes: of the labels.
        ties: whether everything is constant, so that all rows tie.
        task: of the training dynamics.
        columns: more columns of the dataset, a function from n to a Dataset that holds them.
    """

    n: int = 40
    classes: int = 3
    ties: bool = False
    task: str = "single-label"
    columns: Callable[[int], Dataset] | None = None

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.arange(self.n) % self.classes

    def drawn(self, *shape: int) -> NDArray[np.float64]:
        return np.ones(shape) if self.ties else np.random.default_rng(3).random(shape)

    @property
    def dynamics(self) -> TrainingDynamics:
        run = TrainingDynamics.from_logits(4 * self.drawn(5, self.n, max(2, self.classes)), self.labels)
        run.task = self.task
        run.features["last"] = self.drawn(self.n, 4).astype(np.float32)
        return run

    def dataset(self, needs: frozenset[str]) -> Dataset:
        """The rows, with a column for each that the method groups by."""
        grouping = {name.removeprefix(COLUMN) for name in needs if name.startswith(COLUMN)} - {"label"}
        rows = {"label": self.labels} | {column: list(map(str, self.labels)) for column in grouping}
        kinds = {"label": ClassLabel(self.classes)} | {column: Value("string") for column in grouping}
        dataset = Dataset.from_dict(rows, features=Features(kinds))
        return dataset if self.columns is None else concatenate_datasets([dataset, self.columns(self.n)], axis=1)

    def passed(self, needs: frozenset[str]) -> dict[str, Any]:
        """The signals as a user passes them; `scores=` only where it is read, since D2 refuses two difficulties."""
        given = {
            "dynamics": self.dynamics,
            "embeddings": self.drawn(self.n, 4),
            "scores": self.drawn(self.n),
            "recalls": np.linspace(0.5, 0.9, self.classes),
        }
        return {name: value for name, value in given.items() if name != "scores" or name in needs}

    def signals(self, needs: frozenset[str]) -> Signals:
        """Every signal as a method reads it."""
        groups = encode("label", self.labels)
        given = self.passed(frozenset({"scores"})) | {"rows": self.dataset(needs)}
        given |= {name: groups for name in {"labels", "groups", *needs} if name not in given}
        return Signals(self.n, given)


def check_method(
    method: Method | Score, *, task: str = "single-label", columns: Callable[[int], Dataset] | None = None
) -> None:
    """Hold a method, or a score, to what every method promises.

    It is shown signals of all kinds and must keep exactly the rows that were asked for, in an order in which smaller
    budgets are prefixes unless it says otherwise; do the same again for the same seed; read the signals that it
    declares, all of them and no others; refuse those that are missing or not finite, by name; leave its inputs alone;
    and go through JSON and pickle and back.

    Args:
        method: the method.
        task: of the training dynamics that it is shown, as in TrainingDynamics.
        columns: for methods that read the dataset's columns, from a number of rows to a Dataset with these columns.

    Raises:
        AssertionError: it doesn't; the message names the check and what was wrong.
    """
    logger = logging.getLogger("hf_prune")
    level = logger.level
    logger.setLevel(logging.ERROR)  # what is shown is made up, so there is much to warn of
    try:
        for check in CHECKS:
            check(as_method("method", method), Material(task=task, columns=columns))
    except AssertionError as error:
        raise AssertionError(f"{check.__name__} of {method!r}: {error}") from error
    finally:
        logger.setLevel(level)


def check_budget(method: Method, material: Material) -> None:
    """The budget is exact, and rows are another each and in range, whatever ties, and of one row or two as well."""
    few = [replace(material, n=n, classes=1) for n in (1, 2)]
    for shown in (material, replace(material, ties=True), *few):
        known = ~np.isnan(method.scores(shown.signals(method.needs), 0))
        for budget in sorted({0, 1, min(7, shown.n), shown.n - 1, shown.n}):
            try:
                choice = method.select(shown.signals(method.needs), budget, 0)
            except ArgumentError as error:
                # A method may keep no fewer rows than it says, as with min_per_class.
                _hold("`keep`" in str(error) and budget < shown.n, f"it refuses the budget {budget}: {error}")
                continue
            rows, scores = choice.rows, choice.scores
            _hold(rows.dtype == np.int64, f"rows are {rows.dtype}, wanted int64")
            _hold(len(np.unique(rows)) == len(rows), "a row is chosen twice")
            _hold(len(rows) == budget, f"{len(rows)} rows are chosen for the budget {budget}")
            _hold(np.isin(rows, np.arange(shown.n)).all(), "rows are chosen that are not there")
            _hold(scores.shape == (shown.n,), f"scores have the shape {scores.shape}")
            _hold((np.isfinite(scores) | (np.isnan(scores) & ~known)).all(), "scores are not finite")
            shapes = {values.shape for values in choice.evidence.values()}
            _hold(shapes <= {(shown.n,)}, "evidence has no entry for each row")
            json.dumps(choice.details)


def check_order(method: Method, material: Material) -> None:
    """One seed gives one order, and a smaller budget keeps its first rows, unless the choice says otherwise."""
    large, again = (method.select(material.signals(method.needs), 30, 4) for _ in range(2))
    _hold(large.rows.tolist() == again.rows.tolist(), "the same seed gives other rows")
    for budget in (3, 12, 29):
        if large.nested and budget >= large.at_least:
            small = method.select(material.signals(method.needs), budget, 4)
            _hold(
                set(large.rows[:budget]) == set(small.rows),
                f"the budget {budget} keeps other rows than the first {budget} of the budget 30; say nested=False",
            )


def check_needs(method: Method, material: Material) -> None:
    """The signals that are read are exactly those that are declared."""
    resolved = method.resolve(frozenset({"dynamics"}))
    signals = material.signals(resolved.needs)
    resolved.select(signals, 13, 0)
    read, declared = sorted(signals.seen), sorted(resolved.needs)
    _hold(read == declared, f"it reads {read} and declares {declared} in `reads`")


def check_inputs(method: Method, material: Material) -> None:
    """Inputs are not modified."""
    given, dataset = material.passed(method.needs), material.dataset(method.needs)

    def content() -> bytes:
        run = given["dynamics"]
        signals = [run[name] for name in run.signals]
        return pickle.dumps([signals, run.features, given["embeddings"], given.get("scores"), dataset[:]])

    before = content()
    prune(dataset, method, keep=13, **given)
    _hold(content() == before, "an input was modified")


def check_config(method: Method, material: Material) -> None:
    """It comes back from JSON and from pickle as it was, and can be hashed."""
    again = from_config(json.loads(json.dumps(method.to_config())))
    _hold(again == method, f"comes back from JSON as {again!r}")
    unpickled = pickle.loads(pickle.dumps(method))
    _hold(unpickled == method and hash(unpickled) == hash(method), f"comes back from pickle as {unpickled!r}")


def check_missing_signals(method: Method, material: Material) -> None:
    """Signals that are missing are named with the line to type."""
    needs = method.resolve(frozenset({"dynamics"})).needs
    missing = {name for name in needs - {"labels", "groups", "rows"} if not name.startswith(COLUMN)}
    error = _refusal(method, material, {})
    told = isinstance(error, MissingSignalError) or not missing
    _hold(told, f"it needs {sorted(missing)}, and prunes without or says something else: {error}")
    unnamed = [name for name in missing if f"{name.removeprefix('early_')}=" not in str(error)]
    _hold(not unnamed, f"the error doesn't say how to give {unnamed}: {error}")


def check_prune(method: Method, material: Material) -> None:
    """`prune` gives the rows with a record that can be written, explained and cut to fewer rows."""
    dataset = material.dataset(method.needs)
    selection = prune(dataset, method, keep=0.3, **material.passed(method.needs)).selection
    _hold(len(selection) == round(0.3 * material.n), f"{len(selection)} rows are kept of {material.n}")
    json.dumps([step.__dict__ for step in selection.steps], allow_nan=False)
    _hold(selection.summary().startswith(f"{len(selection)} of {material.n} rows kept"), "no summary")
    for row in range(material.n):
        state = "kept" if selection.kept[row] else "dropped"
        _hold(selection.explain(row).startswith(f"row {row}: {state}"), f"row {row} is not explained")
    if selection.rank is not None and selection.at_least <= 5:
        _hold(len(selection.at(keep=5)) == 5, "the selection can't be cut to fewer rows")


def check_not_finite(method: Method, material: Material) -> None:
    """NaN and infinite numbers in what it reads are refused, and the message names the signal and the row or class."""
    needs = method.resolve(frozenset({"dynamics"})).needs
    for bad in (np.nan, np.inf):
        for name, given in spoilt(material, needs, bad).items():
            error = _refusal(method, material, given)
            _hold(error is not None, f"{bad} in {name} is not refused")
            where = "class '1'" if name == "recalls" else f"row {SPOILT}"
            named = f"`{name}`" in str(error) and where in str(error)
            _hold(named, f"the error for {bad} in {name} names neither it nor {where}: {error}")


def spoilt(material: Material, needs: frozenset[str], bad: float) -> dict[str, dict[str, Any]]:
    """For each signal that the method reads all that is passed, with `bad` in that signal.

    Training dynamics are spoilt by infinite numbers only, since NaN says that a row was not seen.
    """
    given = {name: material.passed(needs) for name in sorted(needs & {"embeddings", "scores", "recalls", "dynamics"})}
    for name, signals in given.items():
        if name == "dynamics":
            for quantity in signals[name].signals:
                signals[name][quantity][:, SPOILT] = np.inf
        else:
            signals[name][1 if name == "recalls" else SPOILT] = bad
    return given


CHECKS: tuple[Callable[[Method, Material], None], ...] = (
    check_budget,
    check_order,
    check_needs,
    check_inputs,
    check_config,
    check_missing_signals,
    check_prune,
    check_not_finite,
)
"""Each takes a method and what it is to be shown."""


def _refusal(method: Method, material: Material, given: dict[str, Any]) -> HFPruneError | None:
    """The error by which `prune` refuses the signals that are given; None where it prunes."""
    try:
        prune(material.dataset(method.needs), method, keep=3, **given)
    except HFPruneError as error:
        return error
    return None


def _hold(holds: bool | np.bool_, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
