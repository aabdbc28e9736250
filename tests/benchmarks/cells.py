"""What a table is made of: methods prune by the signals of one full run, new models train on what they keep."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Value
from numpy.typing import NDArray

import hf_prune  # noqa: F401  (adds Dataset.prune)
from tests.benchmarks.networks import Predictions
from tests.benchmarks.real_data import Data
from tests.benchmarks.report import FEWER, FULL

NAME = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    {
        "network": NAME,
        "data": NAME,
        "noise": pa.float64(),
        "keep": pa.float64(),
        "method": NAME,
        "seed": pa.int16(),
        "kept": pa.int32(),
        "mislabelled": pa.float32(),
        "cut": pa.float32(),
        "accuracy": pa.float32(),
        "recalls": pa.list_(pa.float32()),
    }
)
"""One row a trained model. `mislabelled` is the share of its training rows whose label was changed; `cut` the share of
all rows that cutoff= held back, null without one; `recalls` are those of the classes, in their order."""

GROUP_SCHEMA = pa.schema(
    {
        "network": NAME,
        "data": NAME,
        "keep": pa.float64(),
        "method": NAME,
        "seed": pa.int16(),
        "kept": pa.int32(),
        "kept_by_group": pa.list_(pa.int32()),
        "accuracy": pa.float32(),
        "recalls": pa.list_(pa.float32()),
        "group_accuracies": pa.list_(pa.float32()),
    }
)
"""One row a trained model, as in SCHEMA. `kept_by_group` counts the training rows of each group, and
`group_accuracies` are those of the groups, in their order; where the data have no groups, classes are the groups."""

LIBRARIES = ("hf_prune", "torch", "transformers", "datasets", "numpy", "scikit-learn", "faiss-cpu")


def with_noise(y: NDArray[np.int64], classes: int, noise: float, seed: int) -> NDArray[np.int64]:
    """(n,) labels, of which `round(noise * n)` are changed to another class, each other one equally likely."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(y))[: round(noise * len(y))]
    noisy = y.copy()
    noisy[rows] = (y[rows] + rng.integers(1, classes, size=len(rows))) % classes
    return noisy


def results(
    network: Any,
    data: Data,
    y: NDArray[np.int64],
    methods: Mapping[str, Mapping[str, Any]],
    keeps: Sequence[float],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """A row for the model that trains on all rows, one a size for all rows in fewer steps, one a method and size.

    The same seed gives every method the same labels, signals and initial weights, and every coreset as many steps as
    the first model. So the first model is also that of repeated random subsets of any size, drawn without replacement
    (RS2, Okanovic et al. 2023, arXiv 2305.18424). The second kind has a coreset's share of the steps. A coreset that
    two methods agree on trains once. Recalls are those of the validation part, in the groups that a method prunes by.

    Args:
        network: one of networks.py.
        y: (n,) labels to train on and to prune by.
        methods: by name the arguments of `Dataset.prune`; the column "group" has the groups.
    """
    everything = np.arange(len(y))
    predictions, signals = network.train(data, y, everything, seed, record=True)
    trained = {everything.tobytes(): predictions}

    def predictions_of(rows: NDArray[np.int64]) -> Predictions:
        if rows.tobytes() not in trained:
            trained[rows.tobytes()] = network.train(data, y, rows, seed)[0]
        return trained[rows.tobytes()]

    def measured(by: str | None, rows: Dataset) -> tuple[NDArray[np.int64], ...]:
        """What `recalls=` takes. A method that measures once asks for all rows, which have their model."""
        predictions = predictions_of(np.array(rows["row"]))["validation"]
        part = data.validation
        return (predictions, part.y) if by is None else (predictions, part.y, part.groups)

    def row(method: str, keep: float, rows: NDArray[np.int64], cut: float | None, got: Predictions) -> dict[str, Any]:
        cell = {"method": method, "keep": keep, "kept": len(rows), "cut": cut}
        trained_on = {"mislabelled": float(np.mean(y[rows] != data.y[rows])), "kept_by_group": counts(data, y, rows)}
        return cell | trained_on | test_results(data, got["test"])

    yield row(FULL, 1.0, everything, None, predictions)
    for keep in keeps:
        yield row(FEWER, keep, everything, None, network.in_part(keep).train(data, y, everything, seed)[0])
    dataset = as_dataset(data, y)
    for method, options in methods.items():
        recalls = partial(measured, options.get("by")) if data.validation is not None else None
        for keep in keeps:
            selection = dataset.prune(**options, **signals, recalls=recalls, keep=keep, seed=seed).selection
            cutoff = selection.steps[0].details.get("cutoff", {})
            cut = cutoff["cut"] / len(y) if "cut" in cutoff else None
            yield row(method, keep, selection.indices, cut, predictions_of(selection.indices))


def as_dataset(data: Data, y: NDArray[np.int64]) -> Dataset:
    """What can be pruned: labels, positions, and groups where there are any."""
    columns = {"label": y, "row": np.arange(len(y))}
    features = {"label": ClassLabel(names=list(data.classes)), "row": Value("int64")}
    if data.groups is not None:
        columns["group"] = data.groups
        features["group"] = ClassLabel(names=list(data.group_names))
    return Dataset.from_dict(columns, features=Features(features))


def counts(data: Data, y: NDArray[np.int64], rows: NDArray[np.int64]) -> list[int]:
    if data.groups is None:
        return np.bincount(y[rows], minlength=len(data.classes)).tolist()
    return np.bincount(data.groups[rows], minlength=len(data.group_names)).tolist()


def test_results(data: Data, predictions: NDArray[np.int64]) -> dict[str, Any]:
    right = predictions == data.test_y
    recalls = shares(right, data.test_y, len(data.classes))
    by_group = recalls if data.groups is None else shares(right, data.test_groups, len(data.group_names))
    return {"accuracy": float(right.mean()), "recalls": recalls, "group_accuracies": by_group}


def shares(right: NDArray[np.bool_], codes: NDArray[np.int64], count: int) -> list[float]:
    """The share of each code's rows that is right."""
    return [float(right[codes == code].mean()) for code in range(count)]


def write_parquet(
    file: Path, rows: Sequence[Mapping[str, Any]], setup: Mapping[str, Any], schema: pa.Schema = SCHEMA
) -> None:
    """All results in one small file, with settings and versions in its metadata; columns not in `schema` are left."""
    about = {"setup": dict(setup), "versions": {library: version(library) for library in LIBRARIES}}
    table = pa.Table.from_pylist(list(rows), schema=schema.with_metadata({"hf_prune": json.dumps(about)}))
    file.parent.mkdir(parents=True, exist_ok=True)
    partly = file.with_suffix(".part")
    pq.write_table(table, partly, compression="zstd")
    partly.replace(file)
