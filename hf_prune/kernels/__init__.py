"""Arrays in, arrays out, and no types of Hugging Face.

Imports errors of the ground floor and nothing else.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
