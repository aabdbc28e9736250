"""How well are wrong labels found, beside cleanlab?

    pip install cleanlab==2.9.0                                       # which the library does not depend on
    python -m tests.benchmarks suspects                               # everything
    python -m tests.benchmarks suspects --only digits --seeds 2       # a small try, printed and not kept

Labels are changed: 5% or 20% of them to any other class, or 20% to the next class; or not at all, to count what is
suspected wrongly. Of the film reviews each sentence has also the label of one of its 15 to 29 raters, drawn at random,
which is wrong where all of them together disagree: wrong labels that people gave.

hf_prune gets one recorded run and the features that it trained on: `find_label_errors`, whose ranking of all rows is
its trust. "AUM" ranks by the mean margin of the same run, which is what `cutoff=` with a fraction does.

cleanlab (confident learning: Northcutt et al. 2021, arXiv 1911.00068) gets what its documentation asks for,
probabilities of a model that has not seen the row: of five networks like that of the run, each trained on four fifths
of the rows for as many steps, which costs five times as much. Rows are ranked by `get_label_quality_scores` and found
by `find_label_issues`, both with their defaults. "cleanlab, network and neighbours" also gets what the features' 10
nearest rows say, as a second model: `get_label_quality_ensemble_scores`, and the mean of the two for
`find_label_issues`. "cleanlab, logistic regression" has the probabilities of the classifier that its `CleanLearning`
takes by default, on the same folds.

A finished job leaves a file in outputs/benchmarks/suspects. All results go to results.parquet in this folder, from
which table.py makes its part of RESULTS.md. Nothing in hf_prune was tuned on these numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets.utils import disable_progress_bars
from numpy.typing import NDArray

from hf_prune import find_label_errors
from tests.benchmarks import runs
from tests.benchmarks.cells import NAME, as_dataset, with_noise
from tests.benchmarks.networks import NETWORKS, predicted
from tests.benchmarks.real_data import Data, load
from tests.benchmarks.splits import drawn
from tests.benchmarks.suspects.table import AUM, BOTH, CLEANLAB, LINEAR, NONE, OURS, PARQUET, RANKS, RATERS, text

FOLDS, NEIGHBORS = 5, 10
PLANTED = {NONE: 0.0, "5%": 0.05, "20%": 0.2, "20% to the next class": 0.2}
SCHEMA = pa.schema(
    {
        "data": NAME,
        "noise": NAME,
        "method": NAME,
        "seed": pa.int16(),
        "rows": pa.int32(),
        "wrong": pa.int32(),
        "found": pa.int32(),
        "right": pa.int32(),
        "average_precision": pa.float32(),
        "precision": pa.list_(pa.float32()),
    }
)
"""One row a ranking: rows whose label is wrong, rows that were found and how many of those are wrong, and precision
after RANKS times as many rows as are wrong."""


@dataclass(frozen=True)
class Part:
    """Cells that are run together: all of `noises` x `seeds`."""

    data: str
    noises: tuple[str, ...] = tuple(PLANTED)
    seeds: int = 5

    def setup(self) -> dict[str, Any]:
        network = {"name": "mlp"} | asdict(NETWORKS["mlp"])
        settings = {"folds": FOLDS, "neighbors": NEIGHBORS, "cleanlab": version("cleanlab")}
        return {"network": network, "data": self.data, "noises": self.noises} | settings

    def cases(self) -> Iterator[tuple[str, int]]:
        return product(self.noises, range(self.seeds))


PARTS = {
    "digits": Part("digits"),
    "mnist-5k": Part("mnist-5k"),
    "fashion-mnist": Part("fashion-mnist"),
    # Of two classes the next one is the only other.
    "movies": Part("movies", noises=(NONE, "5%", "20%", RATERS)),
}


def main(argv: Sequence[str] | None = None) -> None:
    runs.main("suspects", PARTS, run_parts, PARQUET, text, argv)


def run_parts(parts: dict[str, Part], cache: Path, processes: int, file: Path) -> None:
    runs.run_parts("suspects", parts, work, SCHEMA, cache, processes, file)


def work(part: Part, noise: str, seed: int, cache: Path) -> list[dict[str, Any]]:
    disable_progress_bars()
    data = load(part.data, cache)
    y = labels(data, noise, seed, cache)
    wrong = y != data.y
    cell = {"data": part.data, "noise": noise, "seed": seed, "rows": len(y), "wrong": int(wrong.sum())}
    return [
        cell | {"method": method} | measured(wrong, scores, found)
        for method, (scores, found) in rankings(data, y, seed).items()
    ]


def labels(data: Data, noise: str, seed: int, cache: Path) -> NDArray[np.int64]:
    """(n,) labels to train on."""
    classes = len(data.classes)
    if noise == RATERS:
        return of_one_rater(data, seed, cache)
    if "next" in noise:
        rows = np.random.default_rng(seed).permutation(len(data.y))[: round(PLANTED[noise] * len(data.y))]
        moved = data.y.copy()
        moved[rows] = (moved[rows] + 1) % classes
        return moved
    return with_noise(data.y, classes, PLANTED[noise], seed)


def of_one_rater(data: Data, seed: int, cache: Path) -> NDArray[np.int64]:
    """(n,) whether one of the raters of each sentence of the training part, drawn at random, gave it more than 0."""
    from trainers._data import movie_snippets

    snippets = movie_snippets(cache)
    positive = np.array(snippets["label"])
    rows = np.setdiff1d(np.arange(len(positive)), drawn(positive > 0, 0.25))  # as real_data.movies splits them
    if not np.array_equal(positive[rows], data.y):
        raise ValueError("the ratings are those of other rows")
    rng = np.random.default_rng(seed)
    return np.array([int(rng.choice(ratings) > 0) for ratings in snippets.select(rows)["ratings"]])


Ranking = tuple[NDArray[np.float64], NDArray[np.int64] | None]
"""(n,) scores, the lowest for the rows most suspect, and the rows that were found, if the method says which."""


def rankings(data: Data, y: NDArray[np.int64], seed: int) -> dict[str, Ranking]:
    """By method; the run, the features and the labels are the same."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_ensemble_scores, get_label_quality_scores

    def alone(probabilities: NDArray[np.float64]) -> Ranking:
        return get_label_quality_scores(y, probabilities), of_cleanlab(probabilities)

    def of_cleanlab(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.flatnonzero(find_label_issues(y, probabilities, n_jobs=1))

    by_trust, by_margin = ours(data, y, seed)
    network, near, linear = out_of_sample(data, y, seed)
    together = get_label_quality_ensemble_scores(y, [network, near], verbose=False)
    return {
        OURS: by_trust,
        AUM: by_margin,
        CLEANLAB: alone(network),
        BOTH: (together, of_cleanlab((network + near) / 2)),
        LINEAR: alone(linear),
    }


def ours(data: Data, y: NDArray[np.int64], seed: int) -> tuple[Ranking, Ranking]:
    """By trust and by the mean margin, of one recorded run."""
    _, signals = NETWORKS["mlp"].train(data, y, np.arange(len(y)), seed, record=True)
    dataset = as_dataset(data, y).rename_column("row", "position")
    found = find_label_errors(dataset, **signals)["position"][:]
    ranked = find_label_errors(dataset, most=len(y), **signals)
    trust = np.empty(len(y))
    trust[ranked["position"][:]] = ranked["trust"][:]
    return (trust, np.array(found, dtype=np.int64)), (signals["dynamics"].mean("margin"), None)


def out_of_sample(data: Data, y: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """(3, n, classes) probabilities of networks, of neighbours and of linear models that have not seen the row."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier

    classes = len(data.classes)
    every = network, near, linear = np.zeros((3, len(y), classes))
    for seen, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(data.x, y):
        x, own = torch.from_numpy(data.x[seen]), torch.from_numpy(y[seen])
        logits = predicted(NETWORKS["mlp"].fitted(x, own, classes, seed), torch.from_numpy(data.x[held]))
        network[held] = torch.from_numpy(logits).double().softmax(dim=1).numpy()
        neighbors = KNeighborsClassifier(NEIGHBORS).fit(data.x[seen], y[seen])
        near[held[:, None], neighbors.classes_] = neighbors.predict_proba(data.x[held])
        regression = LogisticRegression(max_iter=1000).fit(data.x[seen], y[seen])
        linear[held[:, None], regression.classes_] = regression.predict_proba(data.x[held])
    return every


def measured(wrong: NDArray[np.bool_], scores: NDArray[np.float64], found: NDArray[np.int64] | None) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score

    ranked, count = wrong[np.argsort(scores, kind="stable")], int(wrong.sum())
    row: dict[str, Any] = {"found": None, "right": None, "average_precision": None, "precision": None}
    if found is not None:
        row |= {"found": len(found), "right": int(wrong[found].sum())}
    if count:
        firsts = [max(1, round(share * count)) for share in RANKS]
        row["average_precision"] = float(average_precision_score(wrong, -scores))
        row["precision"] = [float(ranked[:first].mean()) for first in firsts]
    return row
