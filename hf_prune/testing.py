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
from datasets import ClassLabel, Dataset, Features, Value
from numpy.typing import NDArray

from hf_prune.config import from_config
from hf_prune.dataset import prune
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.errors import HFPruneError, MissingSignalError
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
        rows: dict[str, Any] = {"label": self.labels}
        kinds = {"label": ClassLabel(self.classes)}
        for name in needs:
            if name.startswith(COLUMN) and name != f"{COLUMN}label":
                rows[name.removeprefix(COLUMN)] = [str(label) for label in self.labels]
                kinds[name.removeprefix(COLUMN)] = Value("string")
        dataset = Dataset.from_dict(rows, features=Features(kinds))
        if self.columns is None:
            return dataset
        more = self.columns(self.n)
        return Dataset.from_dict(rows | more[:], features=Features(kinds | more.features))

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
        given = self.passed(frozenset({"scores"})) | dict.fromkeys(["labels", "groups"], groups)
        given |= {name: groups for name in needs if name.startswith(COLUMN)}
        given |= {"early_embeddings": given["embeddings"], "rows": self.dataset(needs)}
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
    finally:
        logger.setLevel(level)


def check_budget(method: Method, material: Material) -> None:
    """The budget is exact, and rows are another each and in range, whatever ties."""
    for ties in (False, True):
        shown = replace(material, ties=ties)
        for budget in (0, 1, 7, shown.n - 1, shown.n):
            choice = method.select(shown.signals(method.needs), budget, 0)
            _hold(choice.rows.dtype == np.int64, method, f"rows are {choice.rows.dtype}, wanted int64")
            _hold(len(set(choice.rows.tolist())) == len(choice.rows), method, "a row is chosen twice")
            _hold(len(choice.rows) == budget, method, f"{len(choice.rows)} rows are chosen for the budget {budget}")
            _hold(set(choice.rows.tolist()) <= set(range(shown.n)), method, "rows are chosen that are not there")
            _hold(choice.scores.shape == (shown.n,), method, f"scores have the shape {choice.scores.shape}")
            known = ~np.isnan(method.scores(shown.signals(method.needs), 0))
            finite = np.isfinite(choice.scores) | (np.isnan(choice.scores) & ~known)
            _hold(bool(finite.all()), method, "scores are not finite")
            _hold(
                all(values.shape == (shown.n,) for values in choice.evidence.values()),
                method,
                "evidence has no entry for each row",
            )
            json.dumps(choice.details)


def check_few_rows(method: Method, material: Material) -> None:
    """One row, and two of one class, are enough."""
    for n in (1, 2):
        few = replace(material, n=n, classes=1).signals(method.needs)
        _hold(method.select(few, n, 0).indices.tolist() == list(range(n)), method, f"of {n} rows not all are kept")


def check_prefixes(method: Method, material: Material) -> None:
    """A smaller budget keeps the first rows of the larger one's order, unless the choice says otherwise."""
    large = method.select(material.signals(method.needs), 30, 4)
    for budget in (3, 12, 29):
        if large.nested and budget >= large.at_least:
            small = method.select(material.signals(method.needs), budget, 4)
            _hold(
                set(large.rows[:budget].tolist()) == set(small.rows.tolist()),
                method,
                f"the budget {budget} keeps other rows than the first {budget} of the budget 30; say nested=False",
            )


def check_seed(method: Method, material: Material) -> None:
    """One seed gives one order."""
    first, second = (method.select(material.signals(method.needs), 13, 9).rows for _ in range(2))
    _hold(first.tolist() == second.tolist(), method, "the same seed gives other rows")


def check_needs(method: Method, material: Material) -> None:
    """The signals that are read are exactly those that are declared."""
    resolved = method.resolve(frozenset({"dynamics"}))
    signals = material.signals(resolved.needs)
    resolved.select(signals, 13, 0)
    read, declared = sorted(signals.seen), sorted(resolved.needs)
    _hold(read == declared, method, f"it reads {read} and declares {declared} in `reads`")


def check_inputs(method: Method, material: Material) -> None:
    """Inputs are not modified."""
    given, dataset = material.passed(method.needs), material.dataset(method.needs)

    def content() -> bytes:
        run = given["dynamics"]
        signals = [run[name] for name in ("loss", "p_true", "margin", "correct", "el2n")]
        return pickle.dumps([signals, run.features, given["embeddings"], given.get("scores"), dataset[:]])

    before = content()
    prune(dataset, method, keep=13, **given)
    _hold(content() == before, method, "an input was modified")


def check_config(method: Method, material: Material) -> None:
    """It comes back from JSON and from pickle as it was, and can be hashed."""
    again = from_config(json.loads(json.dumps(method.to_config())))
    _hold(again == method, method, f"comes back from JSON as {again!r}")
    unpickled = pickle.loads(pickle.dumps(method))
    _hold(unpickled == method and hash(unpickled) == hash(method), method, f"comes back from pickle as {unpickled!r}")


def check_missing_signals(method: Method, material: Material) -> None:
    """Signals that are missing are named with the line to type."""
    needs = method.resolve(frozenset({"dynamics"})).needs
    missing = {name for name in needs - {"labels", "groups", "rows"} if not name.startswith(COLUMN)}
    if not missing:
        return
    try:
        prune(material.dataset(needs), method, keep=3)
    except MissingSignalError as error:
        unnamed = [name for name in missing if f"{name.removeprefix('early_')}=" not in str(error)]
        _hold(not unnamed, method, f"the error doesn't say how to give {unnamed}: {error}")
    else:
        _hold(False, method, f"it needs {sorted(missing)} and prunes without")


def check_prune(method: Method, material: Material) -> None:
    """`prune` gives the rows with a record that can be written, explained and cut to fewer rows."""
    dataset = material.dataset(method.needs)
    selection = prune(dataset, method, keep=0.3, **material.passed(method.needs)).selection
    _hold(len(selection) == round(0.3 * material.n), method, f"{len(selection)} rows are kept of {material.n}")
    json.dumps([step.__dict__ for step in selection.steps], allow_nan=False)
    _hold(selection.summary().startswith(f"{len(selection)} of {material.n} rows kept"), method, "no summary")
    for row in range(material.n):
        state = "kept" if selection.kept[row] else "dropped"
        _hold(selection.explain(row).startswith(f"row {row}: {state}"), method, f"row {row} is not explained")
    if selection.rank is not None and selection.at_least <= 5:
        _hold(len(selection.at(keep=5)) == 5, method, "the selection can't be cut to fewer rows")


def check_not_finite(method: Method, material: Material) -> None:
    """NaN and infinite numbers in what it reads are refused, and the message names the signal and the row or class."""
    needs = method.resolve(frozenset({"dynamics"})).needs
    for bad in (np.nan, np.inf):
        for name, given in spoilt(material, needs, bad).items():
            try:
                prune(material.dataset(needs), method, keep=3, **given)
            except HFPruneError as error:
                where = "class '1'" if name == "recalls" else f"row {SPOILT}"
                named = f"`{name}`" in str(error) and where in str(error)
                _hold(named, method, f"the error for {bad} in {name} names neither it nor {where}: {error}")
            else:
                _hold(False, method, f"{bad} in {name} is not refused")


def spoilt(material: Material, needs: frozenset[str], bad: float) -> dict[str, dict[str, Any]]:
    """For each signal that the method reads all that is passed, with `bad` in that signal.

    Training dynamics are spoilt by infinite numbers only, since NaN says that a row was not seen.
    """
    spoilt: dict[str, dict[str, Any]] = {}
    for name in sorted(needs & {"embeddings", "scores", "recalls", "dynamics"}):
        given = spoilt[name] = material.passed(needs)
        if name == "dynamics":
            for signal in ("loss", "p_true", "margin", "correct", "el2n"):
                given[name][signal][:, SPOILT] = np.inf
        else:
            given[name][1 if name == "recalls" else SPOILT] = bad
    return spoilt


CHECKS: tuple[Callable[[Method, Material], None], ...] = (
    check_budget,
    check_few_rows,
    check_prefixes,
    check_seed,
    check_needs,
    check_inputs,
    check_config,
    check_missing_signals,
    check_prune,
    check_not_finite,
)
"""Each takes a method and what it is to be shown."""


def _hold(holds: bool, method: Method, otherwise: str) -> None:
    if not holds:
        raise AssertionError(f"{method!r}: {otherwise}")
