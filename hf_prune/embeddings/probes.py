"""A few rows that are computed at every call, to see whether the encoder still gives what its cache holds."""

import numpy as np
from numpy.typing import NDArray

from hf_prune.embeddings.cache import VectorFile
from hf_prune.errors import ArgumentError
from hf_prune.kernels.keyed_hash import keyed_hash

PROBES = 4
"""Rows that are computed again where vectors are found."""

ROUNDING = {"float32": 1e-3, "bfloat16": 2e-2}
"""By how much of its length a vector may differ from itself, as on another processor of the same kind."""

TINY = float(np.finfo(np.float32).tiny)


def probe_rows(n: int) -> NDArray[np.int64]:
    """Returns the rows, at most PROBES and the same for each n, that are computed at every call."""
    spread = keyed_hash(0, np.arange(8 * PROBES)) % np.uint64(n)
    return np.array(list(dict.fromkeys(spread.tolist()))[:PROBES], dtype=np.int64)


def check_probes(vectors: NDArray[np.float32], file: VectorFile, rows: NDArray[np.int64], precision: str) -> None:
    """Refuses a cache whose probes differ from `vectors`; both are of one batch, so that padding is the same.

    Raises:
        ArgumentError: they differ by more than rounding does.
    """
    stored, most = file.probes().astype(np.float64), ROUNDING[precision]
    if stored.shape == vectors.shape:
        difference = np.linalg.norm(vectors - stored, axis=1) / np.maximum(np.linalg.norm(stored, axis=1), TINY)
        at = int(difference.argmax())
        if difference[at] <= most:
            return
        what = f"by {difference[at]:.2g} of its length for row {rows[at]}, where {most:.0e} would be rounding"
    else:
        what = f"of shape {vectors.shape} in place of {stored.shape} for {len(rows)} rows"
    raise ArgumentError(
        f"`encoder`: it gives other numbers than its cache, {what}, though its code and state are the same; does it "
        'read a file or a service, or draw random numbers? Pass cache_key="...", a text that you change whenever the '
        "vectors do and that is trusted then, or delete the cache: import shutil; "
        f"shutil.rmtree({str(file.folder)!r})"
    )
