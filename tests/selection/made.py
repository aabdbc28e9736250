"""Selections that no call of `prune` made."""

import numpy as np
from datasets import Dataset

import hf_prune
from hf_prune.selection.selection import Selection
from hf_prune.selection.source import Source
from hf_prune.selection.step import Step


def selection_of_rows(rows, scores, *, method=None, details=None, **rest):
    """The selection that keeps `rows`, in that order, of as many as there are scores."""
    n, rows = len(scores), np.asarray(rows, dtype=np.int64)
    config = (method or hf_prune.Random()).to_config()
    step = Step(config, len(rows), 0, n, len(rows), details=details or {})
    return Selection.of_rows(rows, scores, (step,), Source.of(Dataset.from_dict({"x": range(n)})), **rest)
