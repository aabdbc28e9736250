"""What training dynamics consist of, as plain arrays, for files, tables and means of runs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNSEEN = -1
"""The label of rows that were never seen."""

FEATURES = "features."
"""How files and tables call features, followed by their moment."""


class Contents(NamedTuple):
    """The arguments of TrainingDynamics, in their order."""

    signals: dict[str, NDArray[np.float32]]
    """(epochs, n) by name"""
    labels: NDArray[np.int64]
    features: dict[str, NDArray[np.float32]]
    task: str
