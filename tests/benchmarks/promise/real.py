"""How often a promise holds on rows that nothing has seen, on real data.

Each data set is drawn apart several times: rows to train on, rows to hold out, and all others, which `recommend` never
sees. It is asked twice for a loss below the limit on average: by the linear proxy alone, and with `confirm=`, which
trains the MLP of the other tables once on all rows and once on the coreset. The two models that were certified then
predict the unseen rows.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

import hf_prune
from hf_prune.comparison.certify import certify
from hf_prune.comparison.proxy import Proxy
from tests.benchmarks.cells import NAME
from tests.benchmarks.networks import MLP
from tests.benchmarks.real_data import Data, Examples, load
from tests.benchmarks.splits import scaled

MAX_LOSS = 0.03
KEEPS = (0.9, 0.7, 0.5, 0.3, 0.1)
METHODS = {"D2, class-balanced": {"method": "d2", "quotas": "equal"}, "AUM": {"method": "aum"}}
"""Beside the three of random rows that are always proposed."""

SCHEMA = pa.schema(
    {
        "data": NAME,
        "split": pa.int16(),
        "model": NAME,
        "verdict": NAME,
        "method": NAME,
        "keep": pa.float64(),
        "certified_rows": pa.int32(),
        "certified_loss": pa.float32(),
        "disagreement": pa.float32(),
        "unseen_rows": pa.int32(),
        "unseen_worse": pa.int32(),
        "unseen_better": pa.int32(),
    }
)
"""One row a recommendation. `keep` is the smallest size that was promised, else the first that was refused; the unseen
rows are those that only the model of all rows, or only that of the coreset, predicts right, null where nothing was
trained or the proxy refused."""


@dataclass(frozen=True)
class Part:
    """One data set, drawn apart `splits` times into `train`, `held_out` and unseen rows."""

    data: str
    train: int
    held_out: int
    splits: int = 10


PARTS = {
    part.data: part
    for part in (
        Part("digits", 800, 600),
        Part("breast-cancer", 200, 200),
        Part("mnist-5k", 2_000, 1_500),
        Part("movies", 3_000, 2_000),
        Part("snippets", 3_000, 2_000),
        Part("fashion-mnist", 3_000, 2_000),
    )
}


def work(part: Part, split: int, cache: Path) -> list[dict[str, Any]]:
    """Both recommendations of one draw."""
    x, y = pool(part.data, cache)
    order = np.random.default_rng(split).permutation(len(y))
    train, held, unseen = np.split(order, [part.train, part.train + part.held_out])
    return list(recommendations(part, split, x, y, train, held, unseen))


def recommendations(
    part: Part, split: int, x: NDArray, y: NDArray, train: NDArray, held: NDArray, unseen: NDArray
) -> Iterator[dict[str, Any]]:
    classes = int(y.max()) + 1
    seen: dict[int, NDArray[np.bool_]] = {}

    def network(rows: Dataset, held_out: Dataset, seed: int, share: float) -> NDArray[np.int64]:
        chosen, asked = np.array(rows["row"]), np.array(held_out["row"])
        names = tuple(map(str, range(classes)))
        data = Data(x[train], y[train], x[asked], y[asked], names, validation=Examples(x[unseen], y[unseen]))
        places = np.flatnonzero(np.isin(train, chosen))
        predictions, _ = MLP().train(data, y[train], places, seed)
        seen[len(chosen)] = predictions["validation"] == y[unseen]
        return predictions["test"]

    with TemporaryDirectory() as folder:
        for model, confirm in (("proxy", None), ("network", network)):
            answer = hf_prune.recommend(
                dataset_of(y, train),
                max_loss=MAX_LOSS,
                methods=METHODS,
                keep=KEEPS,
                seeds=1,
                embeddings=x[train],
                test=dataset_of(y, held),
                test_embeddings=x[held],
                confirm=confirm,
                folder=folder,
            )
            size = answer.promised or answer.tested[-1]
            (one,) = size.certificates
            row = asdict(part) | {"split": split, "model": model, "verdict": answer.verdict, "method": size.method}
            row |= {"keep": size.keep, "certified_rows": one.rows, "certified_loss": one.loss}
            row |= {"disagreement": one.disagreement}
            if model == "proxy" and answer.coreset is not None:
                proxy, kept = Proxy(x[train], y[train], classes), answer.coreset.selection.indices
                for rows in (np.arange(len(train)), kept):
                    seen[len(rows)] = proxy.predictions(rows, x[unseen], 0) == y[unseen]
            if seen:
                fresh = certify(seen[len(train)], seen[size.kept], MAX_LOSS)
                row |= {"unseen_rows": fresh.rows, "unseen_worse": fresh.worse, "unseen_better": fresh.better}
            seen.clear()
            yield row


def dataset_of(y: NDArray[np.int64], rows: NDArray[np.int64]) -> Dataset:
    return Dataset.from_dict({"label": y[rows], "row": rows})


def pool(name: str, cache: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All rows of a data set: features and classes."""
    if name == "breast-cancer":
        from sklearn.datasets import load_breast_cancer

        x, y = load_breast_cancer(return_X_y=True)
        x = (x - x.mean(axis=0)) / x.std(axis=0)
        return x.astype(np.float32), y.astype(np.int64)
    if name == "snippets":
        load("snippets-longtail", cache)  # embeds the texts of all classes
        with np.load(cache / "snippets.npz") as arrays:
            (x,) = scaled(arrays["x"])
            return x, arrays["y"].astype(np.int64)
    data = load(name, cache)
    parts = [(data.x, data.y), *((part.x, part.y) for part in data.held_out.values())]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
