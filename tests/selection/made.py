"""Selections that no call of `prune` made."""

import hashlib
import json

import numpy as np
from datasets import Dataset

import hf_prune
from hf_prune.selection.selection import Selection
from hf_prune.selection.source import Source
from hf_prune.selection.step import Step


def seal(folder, **changes):
    """Change what stands in a saved record's header, and put the digests there that its writer would have put."""
    header = json.loads((folder / "selection.json").read_text()) | changes
    digests = {name: hashlib.blake2b((folder / name).read_bytes(), digest_size=16) for name in header["files"] or ()}
    header["files"] = {name: digest.hexdigest() for name, digest in digests.items()}
    (folder / "selection.json").write_text(json.dumps(sealed(header)))


def sealed(header):
    """A header with its own digest."""
    rest = {name: value for name, value in header.items() if name != "digest"}
    return rest | {"digest": hashlib.blake2b(json.dumps(rest, sort_keys=True).encode(), digest_size=16).hexdigest()}


def selection_of_rows(rows, scores, *, method=None, details=None, **rest):
    """The selection that keeps `rows`, in that order, of as many as there are scores."""
    n, rows = len(scores), np.asarray(rows, dtype=np.int64)
    config = (method or hf_prune.Random()).to_config()
    step = Step(config, len(rows), 0, n, len(rows), details=details or {})
    return Selection.of_rows(rows, scores, (step,), Source.of(Dataset.from_dict({"x": range(n)})), **rest)
