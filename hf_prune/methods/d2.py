"""D2 Pruning: difficulty and diversity together, by message passing over a nearest-neighbour graph."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Literal, Self

import numpy as np
from datasets.utils import tqdm

from hf_prune.arguments import real_number, whole_number
from hf_prune.config import checked
from hf_prune.errors import ArgumentError
from hf_prune.kernels import Floats
from hf_prune.kernels.graph import Graph, directed_graph, union_graph
from hf_prune.kernels.greedy import Picks, fading, messages, pick
from hf_prune.kernels.neighbors import find_neighbors, searched
from hf_prune.methods.aum import AUM
from hf_prune.methods.base import Method
from hf_prune.methods.choice import Choice
from hf_prune.methods.given_scores import GivenScores
from hf_prune.methods.score import A_SCORE, Score
from hf_prune.selection.explain import Row
from hf_prune.signals.signals import Signals

SMALLEST_SCORE = 1e-7
"""Scores below it are sent as this along a union graph, as the authors' program does."""

LARGEST_DENSITY = 1e300
"""Up to it no sum over neighbours overflows in the reverse pass."""


@dataclass(frozen=True)
class D2(Method):
    """Keeps hard examples that represent others, no two of them alike.

    Every row starts with its difficulty and gains what its neighbours send (forward pass); then the densest row is
    kept and takes from its neighbours what it stands for, until the budget is spent (reverse pass).

    Needs `embeddings` (n, d), by default the early features of the run in `dynamics`, and a difficulty: that of
    `score`, or of `scores=`, or else AUM from `dynamics`.
    Difficulties below zero are shifted once, over the whole dataset, to begin at 0. Selection.scores holds the score
    in its own units.

    Args:
        score: the difficulty; None reads `scores=`, or else `dynamics`. For D2 the direction of `scores=` is: higher =
            kept first. So a quality, such as the image-text similarity of DataComp, goes in as it is, with its high
            end meaning good, and D2 keeps the best pairs that are not alike.
        k: neighbours of each row; at most the pool's size - 1 is used, and recorded.
        gamma: how fast the reverse pass fades with distance, >= 0; 0 suppresses all neighbours alike.
        forward: "sum" adds the message to the difficulty, "product" multiplies it.
        reverse: "weighted" subtracts exp(-gamma * distance) * density from neighbours, "absolute" the density itself.
        graph: "union" joins two rows if either is a neighbour of the other, "directed" a row to its own neighbours.
        squared: use squared distances, as the paper's equations do; the authors' program uses plain ones.
        normalize: divide distances by the median over the graph's edges, without which exp(-distance) vanishes on most
            embeddings; False is the authors' program.
        search: how neighbours are found: "exact", "approximate", or "auto", which is exact up to 500,000 rows in a
            pool. The record has the recall of an approximate search, measured on 1,000 rows.

    The worst class: where D2 chooses in a class, that class wins recall from its rivals. With equal quotas a hard
    class may lose more to its rivals than it wins: where about a third of the rows stay, D2 moves theirs from the
    core to the border, and a class that is nearly all border has no core to take rows from. `quotas="drop"` gives a
    hard class more rows; where classes are rare rather than hard, `quotas="equal"` is better. Measured in
    tests/benchmarks/worst_class/crowding.py.

    Cost: O(n^2 d) for the graph, O(n^1.5 d) for an approximate one, and O(n k log n) for the rest, on each pool.

    Reference: Maharana, Yadav and Bansal (2023), section 3. *Deviations*: distances are normalised by default; the
    difficulty always points up.

    >>> from datasets import Dataset
    >>> import hf_prune, numpy as np
    >>> points = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> ds = Dataset.from_dict({"x": "abcd"})
    >>> ds.prune("d2", keep=2, k=1, gamma=0.1, scores=[2, 1, 3, 4], embeddings=points)["x"]
    Column(['a', 'd'])
    """

    name: ClassVar[str] = "d2"
    reference: ClassVar[str] = (
        "Maharana, Yadav, Bansal, D2 Pruning: Message Passing for Balancing Diversity and Difficulty in Data Pruning "
        "(2023), arXiv 2310.07931"
    )
    reads: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    libraries: ClassVar[tuple[str, ...]] = ("faiss-cpu", "numba", "torch")
    cutoff_by_default: ClassVar[bool] = True
    derivable: ClassVar[frozenset[str]] = frozenset({"message"})  # the density less the difficulty

    score: Score | None = field(default=None, metadata=A_SCORE)
    k: int = field(default=10, metadata=checked(whole_number, at_least=1))
    gamma: float = field(default=1.0, metadata=checked(real_number, at_least=0))
    forward: Literal["sum", "product"] = "sum"
    reverse: Literal["weighted", "absolute"] = "weighted"
    graph: Literal["union", "directed"] = "union"
    squared: bool = False
    normalize: bool = True
    search: Literal["auto", "exact", "approximate"] = "auto"

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | (self.score or AUM()).needs

    def resolve(self, available: frozenset[str]) -> Self:
        if self.score is not None and "scores" in available and "scores" not in self.score.needs:
            raise ArgumentError(
                f"`scores`: D2 was given both scores= and score={self.score!r}; leave out one of the two difficulties"
            )
        resolved = super().resolve(available)
        if self.score is None:
            return replace(resolved, score=GivenScores() if "scores" in available else AUM())
        return resolved

    def scores(self, signals: Signals, seed: int) -> Floats:
        return (self.score or AUM()).scores_of(signals, seed)

    def select(self, signals: Signals, budget: int, seed: int) -> Choice:
        scores, k = self.scores(signals, seed), min(self.k, len(signals) - 1)
        if k < 1 or not budget:  # nobody to send to, or nothing to choose
            return Choice(np.arange(budget), scores)
        graph, scale, recall = self._graph(signals, k)
        message, density = self.densities(graph, (self.score or AUM()).difficulty(signals, seed))
        if not np.abs(density).max() < LARGEST_DENSITY:
            raise ArgumentError("`scores`: so large that densities overflow; scale them down")
        picked = self.picks(graph, density, budget)._asdict()
        order = picked.pop("order")
        details = {"k": k, "distance_scale": scale} | searched(recall)
        return Choice(order, scores, details=details, evidence={"message": message, "density": density} | picked)

    def _graph(self, pool: Signals, k: int) -> tuple[Graph, float, float | None]:
        """The graph with scaled distances, what they were divided by, and the recall of an approximate search."""
        track = partial(tqdm, desc="Nearest neighbours", delay=2)
        neighbors, distances, recall = find_neighbors(pool.embeddings, k, track, search=self.search)
        union = union_graph(neighbors, distances)
        # Every undirected edge is there twice, which leaves the median as it is.
        scale = (float(np.median(union.distances)) or 1.0) if self.normalize else 1.0
        graph = union if self.graph == "union" else directed_graph(neighbors, distances)
        np.divide(graph.distances, scale, out=graph.distances)
        return graph, scale, recall

    def densities(self, graph: Graph, difficulty: Floats) -> tuple[Floats, Floats]:
        """The forward pass over a graph with scaled distances: (n,) messages and (n,) densities."""
        sent = np.maximum(difficulty, SMALLEST_SCORE) if self.graph == "union" else difficulty
        message = messages(graph, sent, fading(self._lengths(graph)))
        return message, message + difficulty if self.forward == "sum" else message * difficulty

    def picks(self, graph: Graph, density: Floats, budget: int) -> Picks:
        """The reverse pass over the same graph."""
        gamma = self.gamma if self.reverse == "weighted" else 0.0
        return pick(graph, density, fading(self._lengths(graph), gamma), budget)

    def _lengths(self, graph: Graph) -> Floats:
        return graph.distances**2 if self.squared else graph.distances

    def explain(self, row: Row) -> list[str]:
        if "density" not in row.selection.evidence:  # a pool of one row, or a record without
            return [f"score {row.score:.4g}; what D2 made of it is not on record: push with explain=True to keep that"]
        density, message, taken, left = map(row.shown, ("density", "message", "suppression", "left"))
        score = f"score {row.score:.4g}"
        if density is None:
            return [f"{score}; the last step's graph has no entry for this row"]
        near = "that of the rows near it" + ("" if message is None else f" ({message})")
        make = "add up to" if self.forward == "sum" else "multiply to"
        lines = [f"{score}; its difficulty and {near} {make} {density}"]
        by = row.position("suppressed_by")
        if by is not None:
            taker = f"row {by}" if row.kept[by] else f"row {by}, which the larger selection of {row.larger} kept,"
            lines.append(f"{taker} is near it and was picked before, which took most: {taken} of {density}")
        last = row.last_picked("left")
        if row.was_picked:
            return [*lines, f"{left} was left when it was picked, more than of any other"]
        if last is None:
            return [*lines, f"{left} was left"]
        below = by is None and row.amount("left") <= row.amount("left", last)
        had = f"{left} was left, and the last row picked had {row.shown('left', last)}"
        return [*lines, f"{'no row near it was picked before, but ' if below else ''}{had}"]
