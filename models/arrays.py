"""Arrays: the names of the array types that most functions take and give."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
"""Float64 with one value a point or a series, (n,) unless the function says otherwise."""

Matrix = NDArray[np.float64]
"""Float64 with two or more axes; the function says which."""
