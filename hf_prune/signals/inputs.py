"""The way from what a user passes to `prune` to the signals that a method reads; what none needs is never touched."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from datasets import Dataset

from hf_prune.digest import array_digest
from hf_prune.dynamics.dynamics import TrainingDynamics, checked_dynamics
from hf_prune.dynamics.row_digests import column_row_digests
from hf_prune.dynamics.rows import check_count, check_digests, check_rows
from hf_prune.errors import AlignmentError, ArgumentError, MissingSignalError
from hf_prune.groups import Groups, crossed, encode
from hf_prune.labels import check_column, column_groups, find_label_column, label_groups, likely_label_column
from hf_prune.selection.live import live_selection
from hf_prune.signals.arrays import check_length, float_array
from hf_prune.signals.given import ByLike, DynamicsLike
from hf_prune.signals.signals import COLUMN, EARLY_FEATURES, LAST_FEATURES, Signals, how_to_give
from hf_prune.signals.unlabelled import Unlabelled, check_unlabelled, labelled_groups, of_rows, unlabelled_in

Reading: TypeAlias = tuple[Any, Mapping[str, Any] | None]
"""A signal, and what the record says of it as JSON values, if anything."""


class Inputs:
    """What was passed for one dataset, and what has been read of it: nothing before `signals` asks for it.

    Args:
        dataset: the rows that everything must be aligned with.
        label_column: the column of labels; None for the one that `prune` takes by default.
        by: the groups for quotas; None for the labels.
        given: `scores`, `embeddings`, `encoder`, `dynamics` and `recalls`, None where not passed.
        unlabelled: what becomes of rows without a label; None refuses them.

    Attributes:
        notes: what the record has to say of what was read.
        without: (n,) which rows have no label, as far as the method reads what shows it.
    """

    def __init__(
        self,
        dataset: Dataset,
        label_column: str | None,
        by: ByLike | None,
        given: Mapping[str, Any],
        unlabelled: Unlabelled | None = None,
    ) -> None:
        self._dataset = dataset
        self._by = by
        self._passed = {name: value for name, value in given.items() if value is not None}
        self._signals: dict[str, Any] = {}
        self._record: dict[str, Any] = {}
        self.notes: list[str] = []
        self._unlabelled = unlabelled
        self.without = np.zeros(len(dataset), dtype=bool)
        if {"embeddings", "encoder"} <= set(self._passed):
            raise ArgumentError("`embeddings`, `encoder`: pass one of the two; the encoder computes embeddings")
        self._label_column = find_label_column(dataset, label_column)

    @property
    def available(self) -> frozenset[str]:
        """Names of the signals that can be read, as far as can be said without opening any."""
        names = {"rows", *self._passed, *(COLUMN + column for column in self._dataset.column_names)}
        if self._label_column is not None:
            names |= {"labels", "groups"}
        if self._by is not None:
            names.add("groups")
        if "encoder" in names:
            names.add("embeddings")
        return frozenset(names)

    def run(self) -> TrainingDynamics:
        """The dynamics that were passed, which may turn out to be those of other rows."""
        dynamics = checked_dynamics(self._passed["dynamics"])
        self._passed["dynamics"] = dynamics  # a file is read once
        return dynamics

    def signals(self, needs: frozenset[str], method: Any) -> Signals:
        """The signals that `method` needs, checked.

        Raises:
            MissingSignalError: some were not passed; the message says how to give them.
        """
        available = self.available
        if "embeddings" in needs - available and "dynamics" in available and self._read("dynamics").features:
            available |= {"embeddings"}
        if missing := sorted(needs - available):
            raise MissingSignalError(self._without(missing, available, method))
        read = {name: self._read(name) for name in sorted(needs)}
        if self._unlabelled is not None:  # of methods that read neither, too
            self._mark_unlabelled_in(self._label_column)
            if "dynamics" in self._passed:
                self._read("dynamics")
        check_unlabelled(self._unlabelled, self.without)
        if self.without.any():
            read = {name: of_rows(name, signal, np.flatnonzero(~self.without)) for name, signal in read.items()}
        origins = {name: entry["from"] for name, entry in self._record.items() if "from" in entry}
        return Signals(int((~self.without).sum()), read, origins)

    def _without(self, missing: list[str], available: frozenset[str], method: Any) -> str:
        """What to say where signals are missing that `method` needs: first which, then how to give them."""
        ways = "; ".join(f"{name}: {how_to_give(name)}" for name in missing)
        if {"labels", "groups"} & set(missing) and (proposed := likely_label_column(self._dataset)):
            ways += f"; perhaps label_column={proposed!r}"
        named = (name for name in available if not name.startswith(COLUMN) and name != "rows")
        there = ", ".join(sorted(named)) or "none"
        return (
            f"no {' and no '.join(missing)}, which {method!r} needs. To give {ways}. Available: {there}; columns: "
            f"{self._dataset.column_names}"
        )

    def record(self) -> dict[str, Any]:
        """What was read, as JSON values."""
        return dict(self._record)

    def _read(self, name: str) -> Any:
        """A signal, which is read and recorded the first time that it is asked for."""
        if name.startswith(COLUMN):
            return self._column_groups(name.removeprefix(COLUMN))
        if name not in self._signals:
            self._signals[name], entry = _READERS[name](self)
            if entry is not None:
                self._record[name] = dict(entry)
        return self._signals[name]

    def _labels(self) -> Reading:
        column = self._label_column
        return label_groups(self._dataset) if column is None else self._label_groups(), {"column": column}

    def _label_groups(self) -> Groups:
        """The classes; rows without a label are marked, and in none."""
        self._mark_unlabelled_in(self._label_column)
        return labelled_groups(self._dataset, str(self._label_column), self.without)

    def _mark_unlabelled_in(self, column: str | None) -> None:
        if column is not None:
            self.without |= unlabelled_in(self._dataset, column)

    def _groups(self) -> Reading:
        by = self._by
        if by is None:
            return self._read("labels"), None
        columns = (by,) if isinstance(by, str) else by
        if isinstance(columns, tuple) and columns and all(isinstance(column, str) for column in columns):
            for column in columns:
                check_column(self._dataset, "by", column)
            groups = crossed({column: self._column_groups(column) for column in columns})
            return groups, {"column": by} if isinstance(by, str) else {"columns": list(columns)}
        groups = replace(encode("by", by), numbered=False)
        check_length("by", len(groups.codes), len(self._dataset))
        return groups, {"array": list(groups.names), "digest": array_digest(groups.codes)}

    def _scores(self) -> Reading:
        given = self._passed["scores"]
        scores = float_array(self._dataset, "scores", given, 1).astype(np.float64)
        return scores, {"column": given if isinstance(given, str) else None, "digest": array_digest(scores)}

    def _embeddings(self) -> Reading:
        """What was passed or an encoder gives; else the run's early features if all rows have them, else its last."""
        if "encoder" in self._passed:
            from hf_prune.embeddings.compute import embed, encoder_name

            encoder = self._passed["encoder"]
            return self._embedding_array(embed(self._dataset, encoder), f"encoder {encoder_name(encoder)}")
        value = self._passed.get("embeddings")
        if not (value is None or hasattr(value, "dynamics") or isinstance(value, TrainingDynamics)):
            return self._embedding_array(value, f"column {value}" if isinstance(value, str) else "array")
        features = (self._read("dynamics") if value is None else self._checked(value)).features
        if "last" not in features:
            raise MissingSignalError(f"`embeddings`: these dynamics hold no features; {how_to_give('embeddings')}")
        early = features.get("early")
        # The minimum of numbers one of which is NaN is NaN, and takes no array of bools to find.
        if early is not None and not np.isnan(early.min()):
            return self._embedding_array(early, EARLY_FEATURES)
        return self._embedding_array(features["last"], LAST_FEATURES)

    def _embedding_array(self, value: Any, origin: str) -> Reading:
        array = float_array(self._dataset, "embeddings", value, 2)
        shape, dtype = list(array.shape), str(array.dtype)
        return array, {"from": origin, "shape": shape, "dtype": dtype, "digest": array_digest(array)}

    def _rows(self) -> Reading:
        return self._dataset, {"columns": self._dataset.column_names}

    def _dynamics(self) -> Reading:
        dynamics = self._checked(self._passed["dynamics"])
        self.without |= dynamics.unlabelled
        digest = array_digest(dynamics[dynamics.signals[0]])
        return dynamics, {"epochs": dynamics.epochs, "coverage": dynamics.coverage, "digest": digest}

    def _checked(self, value: DynamicsLike) -> TrainingDynamics:
        """The dynamics of this dataset's rows; those of the source of a chain serve what is left of it."""
        dynamics = checked_dynamics(value)
        earlier = live_selection(self._dataset)
        if earlier is not None and len(dynamics) == earlier.n:
            dynamics = dynamics.take(earlier.indices)
        check_count(len(dynamics), len(self._dataset))
        labels = self._label_column if dynamics.task == "single-label" else None
        if labels is not None:  # which may have other types, as before they were numbered
            groups, rows = self._read("labels"), np.flatnonzero(~self.without)
            check_rows(dynamics.labels[rows], np.array(groups.values)[groups.codes[rows]], labels, rows)
        given = {
            column: column_row_digests(self._dataset, column)
            for column in dynamics.digests
            if column in self._dataset.column_names and column != labels
        }
        compared = check_digests("dynamics", dynamics.digests, given, "this dataset")
        if labels is None and not compared:
            self._note_unchecked(dynamics)
        return dynamics

    def _note_unchecked(self, dynamics: TrainingDynamics) -> None:
        if dynamics.task == "single-label":
            raise AlignmentError(
                "`dynamics`: can't check that they describe these rows without the labels that were trained on; "
                f"{how_to_give('labels')}"
            )
        trained_on = sorted(dynamics.digests)
        why = f"the dataset has none of the columns {trained_on}" if trained_on else "the run has no digests of rows"
        self.notes.append(
            "whether the dynamics are of these rows could not be checked, only their count could be compared: "
            f"{why} that were trained on"
        )

    def _recalls(self) -> Reading:
        """Recalls as they were passed; a function from a Dataset becomes one from positions in this one."""
        given = self._passed["recalls"]
        return ((lambda rows: given(self._dataset.select(rows))) if callable(given) else given), None

    def _column_groups(self, column: str) -> Groups:
        if column == self._label_column:
            return self._label_groups()
        return replace(column_groups(self._dataset, column), numbered=False)


_READERS: Mapping[str, Callable[[Inputs], Reading]] = {
    "labels": Inputs._labels,
    "groups": Inputs._groups,
    "scores": Inputs._scores,
    "embeddings": Inputs._embeddings,
    "rows": Inputs._rows,
    "dynamics": Inputs._dynamics,
    "recalls": Inputs._recalls,
}
"""How each signal is read; columns that groups are made of are read by their names."""
