"""From what a user passes to `prune` to the signals that a method reads; what no method needs is never touched."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from hf_prune.columns import check_column, stored_column
from hf_prune.digest import array_digest
from hf_prune.dynamics import TrainingDynamics, checked_dynamics
from hf_prune.errors import AlignmentError, ArgumentError, ArgumentTypeError, MissingSignalError
from hf_prune.groups import Groups, crossed, encode
from hf_prune.selection import live_selection
from hf_prune.signals import COLUMN, LAST_FEATURES, Signals, how_to_give

VALUES_AT_A_TIME = 2**23


class Inputs:
    """What was passed for one dataset. Nothing is read before `signals` asks for it.

    Args:
        dataset: the rows that everything must be aligned with.
        label_column: as in `prune`.
        by: as in `prune`.
        given: `scores`, `embeddings`, `encoder`, `dynamics` and `recalls` as in `prune`, None where not passed.
    """

    def __init__(self, dataset: Dataset, label_column: str | None, by: Any, given: Mapping[str, Any]) -> None:
        self._dataset = dataset
        self._by = by
        self._passed = {name: value for name, value in given.items() if value is not None}
        self._record: dict[str, Any] = {}
        if {"embeddings", "encoder"} <= set(self._passed):
            raise ArgumentError("`embeddings`, `encoder`: pass one of the two; the encoder computes embeddings")
        if label_column is not None:
            check_column(dataset, "label_column", label_column)
        self._label_column = label_column or _default_label_column(dataset)

    @property
    def available(self) -> frozenset[str]:
        """Names of the signals that can be read, as far as can be said without opening any."""
        names = {"rows", *self._passed, *(COLUMN + column for column in self._dataset.column_names)}
        if self._label_column is not None:
            names |= {"labels", "groups"}
        if self._by is not None:
            names.add("groups")
        if {"embeddings", "encoder"} & names:
            names |= {"embeddings", "early_embeddings"}
        return frozenset(names)

    def signals(self, needs: frozenset[str], method: Any) -> Signals:
        """Those that `method` needs, checked.

        Raises:
            MissingSignalError: some were not passed; the message says how to give them.
        """
        available = self.available
        of_features = {"embeddings", "early_embeddings"}
        if of_features & (needs - available) and "dynamics" in available and self._dynamics.features:
            available |= of_features
        missing = sorted(needs - available)
        if "embeddings" in missing:  # which gives early ones too
            missing = [name for name in missing if name != "early_embeddings"]
        if missing:
            ways = "; ".join(f"{name}: {how_to_give(name)}" for name in missing)
            named = (name for name in available if not name.startswith(COLUMN) and name != "rows")
            there = ", ".join(sorted(named)) or "none"
            raise MissingSignalError(f"{method!r} needs {', '.join(missing)}. To give {ways}. Available: {there}")
        read = {name: self._read(name) for name in sorted(needs)}
        origins = {name: entry["from"] for name, entry in self._record.items() if "from" in entry}
        return Signals(len(self._dataset), read, origins)

    def record(self) -> dict[str, Any]:
        """What was read, as JSON values."""
        return dict(self._record)

    def _read(self, name: str) -> Any:
        if name.startswith(COLUMN):
            return self._column_groups(name.removeprefix(COLUMN))
        return getattr(self, f"_{name}")

    @cached_property
    def _labels(self) -> Groups:
        if self._label_column is None:
            raise MissingSignalError(
                f"no label column in {self._dataset.column_names}: wanted one ClassLabel column, `label` or `labels`; "
                f"{how_to_give('labels')}"
            )
        self._record["labels"] = {"column": self._label_column}
        return self._column_groups(self._label_column)

    @cached_property
    def _groups(self) -> Groups:
        if self._by is None:
            return self._labels
        if isinstance(self._by, str):
            check_column(self._dataset, "by", self._by)
            self._record["groups"] = {"column": self._by}
            return self._column_groups(self._by)
        if isinstance(self._by, tuple) and self._by and all(isinstance(column, str) for column in self._by):
            for column in self._by:
                check_column(self._dataset, "by", column)
            self._record["groups"] = {"columns": list(self._by)}
            return crossed({column: self._column_groups(column) for column in self._by})
        groups = replace(encode("by", self._by), numbered=False)
        self._check_length("by", len(groups.codes))
        self._record["groups"] = {"array": list(groups.names), "digest": array_digest(groups.codes)}
        return groups

    @cached_property
    def _scores(self) -> NDArray[np.float64]:
        scores = self._array("scores", self._passed["scores"], 1).astype(np.float64)
        origin = self._passed["scores"] if isinstance(self._passed["scores"], str) else None
        self._record["scores"] = {"column": origin, "digest": array_digest(scores)}
        return scores

    @cached_property
    def _embeddings(self) -> NDArray[Any]:
        array, self._record["embeddings"] = self._own_embeddings or self._features(("last",))
        return array

    @cached_property
    def _early_embeddings(self) -> NDArray[Any]:
        array, self._record["early_embeddings"] = self._own_embeddings or self._features(("early", "last"))
        return array

    @cached_property
    def _own_embeddings(self) -> tuple[NDArray[Any], dict[str, Any]] | None:
        """What was passed or an encoder gives, with its entry for the record; None where features are to be read."""
        if "encoder" in self._passed:
            from hf_prune.embeddings import embed, encoder_name

            encoder = self._passed["encoder"]
            return self._embedding_array(embed(self._dataset, encoder), f"encoder {encoder_name(encoder)}")
        value = self._passed.get("embeddings")
        if value is None or hasattr(value, "dynamics") or isinstance(value, TrainingDynamics):
            return None
        return self._embedding_array(value, f"column {value}" if isinstance(value, str) else "array")

    def _features(self, moments: tuple[str, ...]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Of the first of `moments` that was recorded for every row, else of the last of them."""
        recorder = self._passed.get("embeddings")
        features = (self._dynamics if recorder is None else self._checked(recorder)).features
        if moments[-1] not in features:
            raise MissingSignalError(f"`embeddings`: these dynamics hold no features; {how_to_give('embeddings')}")
        # The minimum of numbers one of which is NaN is NaN, and takes no array of bools to find.
        whole = (moment for moment in moments[:-1] if moment in features and not np.isnan(features[moment].min()))
        moment = next(whole, moments[-1])
        return self._embedding_array(features[moment], LAST_FEATURES if moment == "last" else f"{moment} features")

    def _embedding_array(self, value: Any, origin: str) -> tuple[NDArray[Any], dict[str, Any]]:
        array = self._array("embeddings", value, 2)
        shape, dtype = list(array.shape), str(array.dtype)
        return array, {"from": origin, "shape": shape, "dtype": dtype, "digest": array_digest(array)}

    @property
    def _rows(self) -> Dataset:
        self._record["rows"] = {"columns": self._dataset.column_names}
        return self._dataset

    @cached_property
    def _dynamics(self) -> TrainingDynamics:
        dynamics = self._checked(self._passed["dynamics"])
        self._record["dynamics"] = {
            "epochs": dynamics.epochs,
            "coverage": dynamics.coverage,
            "digest": array_digest(dynamics["loss"]),
        }
        return dynamics

    def _checked(self, value: Any) -> TrainingDynamics:
        dynamics = checked_dynamics(value)
        by_class = dynamics.task == "single-label"
        if by_class and self._label_column is None:
            raise AlignmentError(
                "`dynamics`: can't check that they describe these rows without the labels that were trained on; "
                f"{how_to_give('labels')}"
            )
        earlier = live_selection(self._dataset)
        if earlier is not None and len(dynamics) == earlier.n:  # dynamics of the source serve what is left of it
            dynamics = dynamics.take(earlier.indices)
        if by_class:
            dynamics.check_rows(np.array(self._labels.values)[self._labels.codes], str(self._label_column))
        else:
            dynamics.check_count(len(self._dataset))
        return dynamics

    @cached_property
    def _recalls(self) -> Any:
        """As it was passed; a function from a Dataset becomes one from positions in this one."""
        given = self._passed["recalls"]
        return (lambda rows: given(self._dataset.select(rows))) if callable(given) else given

    def _column_groups(self, column: str) -> Groups:
        feature = self._dataset.features[column]
        names = feature.names if isinstance(feature, ClassLabel) else None
        groups = encode(column, stored_column(self._dataset, column), names)
        return groups if column == self._label_column else replace(groups, numbered=False)

    def _array(self, name: str, value: Any, ndim: int) -> NDArray[Any]:
        """A finite float array of `ndim` axes with one entry for each row; floats keep their width."""
        if isinstance(value, str):
            check_column(self._dataset, name, value)
            name, value = f"{name} (column {value!r})", _column_floats(self._dataset, name, value, ndim)
        shape = "(n,)" if ndim == 1 else "(n, d)"
        try:
            array: NDArray[Any] = np.asarray(value)
        except ValueError as error:
            raise ArgumentError(f"`{name}`: wanted floats of shape {shape}, got rows of unequal length") from error
        except (TypeError, RuntimeError) as error:  # a tensor on a GPU, in bfloat16, or with gradients
            raise ArgumentTypeError(
                f"`{name}`: wanted what numpy can read, as in tensor.detach().float().cpu(); {error}"
            ) from error
        if array.dtype.kind in "iub":
            array = array.astype(np.float64)
        if array.dtype.kind != "f":
            raise ArgumentTypeError(
                f"`{name}`: wanted floats of shape {shape}, got {type(value).__name__} of {array.dtype}"
            )
        if array.ndim != ndim or 0 in array.shape[1:]:
            raise ArgumentError(f"`{name}`: wanted shape {shape} with n = {len(self._dataset)}, got {array.shape}")
        self._check_length(name, len(array))
        _check_finite(name, array)
        return array

    def _check_length(self, name: str, length: int) -> None:
        if length != len(self._dataset):
            raise AlignmentError(f"`{name}`: wanted one entry for each of the {len(self._dataset)} rows, got {length}")


def label_groups(dataset: Dataset, label_column: str | None = None) -> Groups:
    """The classes of a dataset's rows.

    Args:
        label_column: as in `prune`.
    """
    return Inputs(dataset, label_column, None, {})._labels


def _default_label_column(dataset: Dataset) -> str | None:
    """The only ClassLabel column, else `label`, else `labels`."""
    class_labels: list[str] = [name for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)]
    if len(class_labels) == 1:
        return class_labels[0]
    return next((name for name in ("label", "labels") if name in dataset.column_names), None)


def _column_floats(dataset: Dataset, argument: str, column: str, ndim: int) -> NDArray[Any]:
    array = stored_column(dataset, column)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if array.null_count:
        raise ArgumentError(f"`{argument}`: column {column!r} holds {array.null_count} nulls")
    rows = len(array)
    if ndim == 2:
        if not hasattr(array, "value_lengths"):
            raise ArgumentTypeError(
                f"`{argument}`: column {column!r} holds {array.type}, wanted a list of numbers a row"
            )
        lengths = np.unique(array.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) > 1:
            raise ArgumentError(f"`{argument}`: column {column!r} has rows of {lengths[0]} to {lengths[-1]} numbers")
        array = array.flatten()
    if array.null_count or not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
        raise ArgumentTypeError(f"`{argument}`: column {column!r} holds {array.type} or nulls, wanted numbers")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values if ndim == 1 else values.reshape(rows, -1)


def _check_finite(name: str, array: NDArray[Any]) -> None:
    """Refuse NaN and infinities by row, reading a part at a time."""
    step = max(1, VALUES_AT_A_TIME // max(1, array[:1].size))
    for start in range(0, len(array), step):
        part = np.isfinite(array[start : start + step])
        if not part.all():
            row = start + int(np.argmin(part.reshape(len(part), -1).all(axis=1)))
            raise ArgumentError(f"`{name}`: row {row} holds NaN or an infinite number; every value must be finite")
