"""Data for the tests of comparisons."""

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value

NAMES = ("cat", "dog", "owl")


def blobs(n, seed=0, spread=1.2, wrong=0.0):
    """Three classes of unequal frequency around three corners: a dataset and (n, 4) embeddings."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    points = rng.normal(0, spread, (n, 4))
    points[np.arange(n), labels] += 3
    shown = np.where(rng.random(n) < wrong, (labels + 1) % 3, labels)
    features = Features({"label": ClassLabel(names=list(NAMES)), "row": Value("int64"), "site": Value("string")})
    columns = {"label": shown, "row": np.arange(n), "site": np.where(rng.random(n) < 0.4, "north", "south")}
    return Dataset.from_dict(columns, features=features), points
