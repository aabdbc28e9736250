"""D2 Pruning: difficulty and diversity together, by message passing over a nearest-neighbour graph."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
from datasets.utils import tqdm
from numpy.typing import NDArray

from hf_prune.arguments import instance_of, one_of, real_number, true_or_false, whole_number
from hf_prune.cutoff import suspects
from hf_prune.errors import ArgumentError
from hf_prune.evidence import Evidence, put
from hf_prune.kernels.greedy import Picks, messages, pick
from hf_prune.kernels.knn import Graph, directed_graph, nearest_neighbors, union_graph
from hf_prune.methods.aum import AUM
from hf_prune.methods.base import Method, ScoreMethod
from hf_prune.methods.given_scores import GivenScores
from hf_prune.selection import Selection
from hf_prune.signals import Signals

SMALLEST_SCORE = 1e-7
"""Scores below it are sent as this along a union graph, as the authors' program does."""


@dataclass(frozen=True)
class D2(Method):
    """Keeps hard examples that represent others, no two of them alike.

    Every row starts with its difficulty and gains what its neighbours send (forward pass); then the densest row is
    kept and takes from its neighbours what it stands for, until the budget is spent (reverse pass).

    Needs `embeddings` (n, d), and a difficulty: that of `score`, or of `scores=`, or else AUM from `dynamics`.
    Difficulties below zero are shifted once, over the whole dataset, to begin at 0. Selection.scores holds the score
    in its own units.

    Args:
        score: the difficulty; None reads `scores=`, or else `dynamics`.
        k: neighbours of each row; at most the pool's size - 1 is used, and recorded.
        gamma: how fast the reverse pass fades with distance, >= 0; 0 suppresses all neighbours alike.
        forward: "sum" adds the message to the difficulty, "product" multiplies it.
        reverse: "weighted" subtracts exp(-gamma * distance) * density from neighbours, "absolute" the density itself.
        graph: "union" joins two rows if either is a neighbour of the other, "directed" a row to its own neighbours.
        squared: use squared distances, as the paper's equations do; the authors' program uses plain ones.
        normalize: divide distances by the median over the graph's edges, without which exp(-distance) vanishes on most
            embeddings; False is the authors' program.
        cutoff: fraction of the whole dataset with the lowest AUM that is left out as probably mislabelled, in [0, 1).
            Such rows are taken, least suspect first, only if a pool has too few others for its budget.

    Cost: O(n^2 d) for the graph and O(n k log n) for the rest, on each pool.

    Reference: Maharana, Yadav, Bansal, *D2 Pruning: Message Passing for Balancing Diversity and Difficulty in Data
    Pruning* (2023), arXiv 2310.07931, section 3. *Deviations*: distances are normalised by default; the difficulty
    always points up.

    >>> from datasets import Dataset
    >>> import hf_prune, numpy as np
    >>> points = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> ds = Dataset.from_dict({"x": "abcd"})
    >>> ds.prune("d2", keep=2, k=1, gamma=0.1, scores=[2, 1, 3, 4], embeddings=points)["x"]
    Column(['a', 'd'])
    """

    name: ClassVar[str] = "d2"

    score: ScoreMethod | None = None
    k: int = 10
    gamma: float = 1.0
    forward: Literal["sum", "product"] = "sum"
    reverse: Literal["weighted", "absolute"] = "weighted"
    graph: Literal["union", "directed"] = "union"
    squared: bool = False
    normalize: bool = True
    cutoff: float = 0.0

    def __post_init__(self) -> None:
        if self.score is not None:
            instance_of("score", self.score, ScoreMethod, "hf_prune.AUM()")
        object.__setattr__(self, "k", whole_number("k", self.k, at_least=1))
        object.__setattr__(self, "gamma", real_number("gamma", self.gamma, at_least=0))
        one_of("forward", self.forward, ("sum", "product"))
        one_of("reverse", self.reverse, ("weighted", "absolute"))
        one_of("graph", self.graph, ("union", "directed"))
        true_or_false("squared", self.squared)
        true_or_false("normalize", self.normalize)
        object.__setattr__(self, "cutoff", real_number("cutoff", self.cutoff, at_least=0, below=1))

    @property
    def needs(self) -> frozenset[str]:
        score: ScoreMethod = self.score or AUM()
        return score.needs | {"embeddings"} | ({"dynamics"} if self.cutoff else frozenset())

    def resolve(self, available: frozenset[str]) -> Self:
        if self.score is not None and "scores" in available and "scores" not in self.score.needs:
            raise ArgumentError(
                f"`scores`: D2 was given both scores= and score={self.score!r}; leave out one of the two difficulties"
            )
        if self.score is None:
            return replace(self, score=GivenScores() if "scores" in available else AUM())
        return self

    def select(self, signals: Signals, budget: int, seed: int) -> Selection:
        score: ScoreMethod = self.score or AUM()
        scores = score.scores_of(signals)
        pool, spare = signals, np.empty(0, dtype=np.int64)
        if self.cutoff:
            suspect = suspects(signals, self.cutoff)
            pool, spare = signals.subset(np.flatnonzero(~suspect)), np.flatnonzero(suspect)
            spare = spare[np.argsort(-AUM().scores_of(signals)[spare], kind="stable")]
        order, details, found = self._choose(pool, score.difficulty(pool), min(budget, len(pool)))
        if self.cutoff:
            order = np.concatenate([np.flatnonzero(~suspect)[order], spare[: budget - len(order)]])
        evidence: Evidence = {}
        put(evidence, found, np.flatnonzero(~suspect) if self.cutoff else np.arange(len(pool)), len(signals))
        return Selection.from_order(order, scores, details=details, evidence=evidence)

    def _choose(
        self, pool: Signals, difficulty: NDArray[np.float64], budget: int
    ) -> tuple[NDArray[np.int64], dict[str, Any], Evidence]:
        """(budget,) positions in `pool`, in picking order; details; what was found of every row."""
        k = min(self.k, len(pool) - 1)
        if k < 1 or not budget:  # nobody to send to, or nothing to choose
            return np.arange(budget), {}, {}
        neighbors, distances = nearest_neighbors(pool.embeddings, k, partial(tqdm, desc="Nearest neighbours", delay=2))
        union = union_graph(neighbors, distances)
        graph = union if self.graph == "union" else directed_graph(neighbors, distances)
        scale = _median_edge(union) if self.normalize else 1.0
        graph = graph._replace(distances=graph.distances / scale)
        message = self.message(graph, difficulty)
        density = self._density(message, difficulty)
        if not np.isfinite(density).all():
            raise ArgumentError("`scores`: so large that densities overflow; scale them down")
        picks = self.picks(graph, density, budget)
        evidence = {"message": message, "density": density} | picks._asdict()
        del evidence["order"]
        return picks.order, {"k": k, "distance_scale": scale}, evidence

    def densities(self, graph: Graph, difficulty: NDArray[np.float64]) -> NDArray[np.float64]:
        """The forward pass over a graph with scaled distances: (n,) densities."""
        return self._density(self.message(graph, difficulty), difficulty)

    def message(self, graph: Graph, difficulty: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) what each row's neighbours send it in the forward pass."""
        sent = np.maximum(difficulty, SMALLEST_SCORE) if self.graph == "union" else difficulty
        return messages(graph, sent, np.exp(-self._length(graph)))

    def _density(self, message: NDArray[np.float64], difficulty: NDArray[np.float64]) -> NDArray[np.float64]:
        return message + difficulty if self.forward == "sum" else message * difficulty

    def picks(self, graph: Graph, density: NDArray[np.float64], budget: int) -> Picks:
        """The reverse pass, over a graph with scaled distances."""
        gamma = self.gamma if self.reverse == "weighted" else 0.0
        return pick(graph, density, np.exp(-gamma * self._length(graph)), budget)

    def _length(self, graph: Graph) -> NDArray[np.float64]:
        return graph.distances**2 if self.squared else graph.distances


def _median_edge(union: Graph) -> float:
    """Median length of the undirected edges, each counted once; 1 where it is 0."""
    once = union.rows < union.neighbors
    return float(np.median(union.distances[once])) or 1.0
