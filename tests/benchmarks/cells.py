"""What a table is made of: methods prune by the signals of one full run, new models train on what they keep."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features
from numpy.typing import NDArray
from real_data import Data

import hf_prune  # noqa: F401  (adds Dataset.prune)

FULL = "all rows"
"""The method of the models that trained on all rows."""

SCHEMA = pa.schema(
    {
        "network": pa.dictionary(pa.int8(), pa.string()),
        "data": pa.dictionary(pa.int8(), pa.string()),
        "noise": pa.float64(),
        "keep": pa.float64(),
        "method": pa.dictionary(pa.int8(), pa.string()),
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
    """A row for the model that trains on all rows, then one for each method and size.

    The same seed gives every method the same labels, signals and initial weights. A coreset that two methods agree on
    trains once.

    Args:
        network: one of networks.py.
        y: (n,) labels to train on and to prune by.
        methods: by name the arguments of `Dataset.prune`.
    """
    everything = np.arange(len(y))
    predictions, signals = network.train(data, y, everything, seed, record=True)
    tested = {everything.tobytes(): test_results(data, predictions)}

    def row(method: str, keep: float, rows: NDArray[np.int64], cut: float | None) -> dict[str, Any]:
        if rows.tobytes() not in tested:
            tested[rows.tobytes()] = test_results(data, network.train(data, y, rows, seed)[0])
        found = {"method": method, "keep": keep, "kept": len(rows), "cut": cut}
        return found | {"mislabelled": float(np.mean(y[rows] != data.y[rows]))} | tested[rows.tobytes()]

    yield row(FULL, 1.0, everything, None)
    features = Features({"label": ClassLabel(names=list(data.classes))})
    dataset = Dataset.from_dict({"label": y}, features=features)
    for method, options in methods.items():
        for keep in keeps:
            selection = dataset.prune(**options, **signals, keep=keep, seed=seed).selection
            cutoff = selection.steps[0].details.get("cutoff", {})
            yield row(method, keep, selection.indices, cutoff["cut"] / len(y) if "cut" in cutoff else None)


def test_results(data: Data, predictions: NDArray[np.int64]) -> dict[str, Any]:
    right = predictions == data.test_y
    recalls = [float(right[data.test_y == label].mean()) for label in range(len(data.classes))]
    return {"accuracy": float(right.mean()), "recalls": recalls}


def write_parquet(file: Path, rows: Sequence[Mapping[str, Any]], setup: Mapping[str, Any]) -> None:
    """All results in one small file, with settings and versions in its metadata."""
    about = {"setup": dict(setup), "versions": {library: version(library) for library in LIBRARIES}}
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA.with_metadata({"hf_prune": json.dumps(about)}))
    file.parent.mkdir(parents=True, exist_ok=True)
    partly = file.with_suffix(".part")
    pq.write_table(table, partly, compression="zstd")
    partly.replace(file)
