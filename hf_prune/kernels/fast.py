"""Whether the compiled loops are there: they give the same results as the plain ones, sooner."""

import functools
import importlib
import importlib.util
from typing import Any


@functools.cache
def loops() -> Any:
    """The module `compiled`, or None without numba; `pip install "hf_prune[fast]"` brings it."""
    if importlib.util.find_spec("numba") is None:
        return None
    return importlib.import_module("hf_prune.kernels.compiled")
