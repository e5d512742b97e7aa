"""Arrays: the names of the array types that kernels take and give; all contiguous."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
"""Float64, (n,)."""
Matrix = NDArray[np.float64]
"""Float64 with two axes."""
Integers = NDArray[np.int64]
"""Int64, (n,)."""
