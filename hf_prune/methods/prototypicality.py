"""Prototypicality: how far a row lies from the prototypes of its dataset, found without labels."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from hf_prune.arguments import whole_number
from hf_prune.config import checked
from hf_prune.kernels import Floats
from hf_prune.kernels.candidates import Centred
from hf_prune.kernels.tiles import tiles
from hf_prune.methods.score import Score
from hf_prune.signals.signals import Signals

ROWS_AT_A_TIME = 4096


@dataclass(frozen=True)
class Prototypicality(Score):
    """Keeps the examples that are least like any prototype: the unusual ones. Needs neither labels nor a training run.

    Score: Euclidean distance of the embedding to the nearest of `clusters` centroids that k-means found, (n,) in the
    embeddings' unit, higher = harder. Prototypes are those of the whole dataset, also inside `PerClass`, and the same
    for the same seed of `prune`.

    `prefer="hard"`, the default, is the paper's choice where much data is left; where little is, it keeps the "easy".

    Args:
        clusters: number of centroids; None means round(sqrt(n)), which needs no labels and for ImageNet (1,132) is
            near the paper's 1,000, its number of classes. At most n are used.

    Cost: 25 passes of O(n clusters d), each over at most 256 rows a cluster; one float32 copy of the embeddings.

    Reference: Sorscher et al. (2022): their self-supervised metric. *Deviations*: the default number of clusters; the
    distance is Euclidean, so pass embeddings of unit length to go by angle.

    >>> from datasets import Dataset
    >>> import hf_prune, numpy as np
    >>> points = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.8]])
    >>> method = hf_prune.Prototypicality(clusters=2)
    >>> method.score(hf_prune.Signals(6, {"embeddings": points}), seed=0).round(2).tolist()
    [0.1, 0.0, 0.1, 0.3, 0.2, 0.5]
    >>> Dataset.from_dict({"x": list("abcdef")}).prune(method, keep=1, embeddings=points)["x"]
    Column(['f'])
    """

    name: ClassVar[str] = "prototypicality"
    reference: ClassVar[str] = (
        "Sorscher et al., Beyond Neural Scaling Laws: Beating Power Law Scaling via Data Pruning (2022), "
        "arXiv 2206.14486"
    )
    reads: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    libraries: ClassVar[tuple[str, ...]] = ("faiss-cpu",)
    higher_is: ClassVar = "harder"

    clusters: int | None = field(default=None, metadata=checked(whole_number, at_least=1))

    def score(self, signals: Signals, seed: int) -> Floats:
        import faiss

        centred = Centred(signals.embeddings)
        n, d = centred.points.shape
        points, parts = np.empty((n, d), dtype=np.float32), tiles(n, ROWS_AT_A_TIME)
        for rows in parts:
            points[rows] = centred[rows]
        clusters = min(n, self.clusters or max(1, round(math.sqrt(n))))
        # faiss complains about few points a centroid, which is the user's to decide.
        kmeans = faiss.Kmeans(d, clusters, seed=seed % 2**31, min_points_per_centroid=1)
        kmeans.train(points)
        assert kmeans.centroids is not None, "train sets them"
        nearest = kmeans.index.search(points, 1)[1][:, 0]
        distance = np.empty(n)
        for rows in parts:
            # Measured again: float32 loses the small distances between numbers of size 1.
            difference = points[rows].astype(np.float64) - kmeans.centroids[nearest[rows]]
            distance[rows] = np.linalg.norm(difference, axis=1) / centred.scale
        return distance
