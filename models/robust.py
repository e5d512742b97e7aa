"""Robust: estimates of a centre and a spread that a few extreme values hardly move."""

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.quantiles import medians
from myriad.models.arrays import Vector

MAD_TO_STD = 1.4826
"""For a normal distribution the standard deviation is 1.4826 MADs (median absolute deviations): 1 / Phi^-1(3/4).

Hampel, "The influence curve and its role in robust estimation", 1974.
"""

MEAN_DEVIATION_TO_STD = float(np.sqrt(np.pi / 2))
"""For a normal distribution the standard deviation is sqrt(pi / 2) mean absolute deviations.

Geary, "The ratio of the mean deviation to the standard deviation as a test of normality", 1935.
"""

STD_TO_MEAN_DEVIATION = float(np.sqrt(2 / np.pi))
"""The inverse: for a normal distribution the mean absolute deviation is sqrt(2 / pi) standard deviations."""

ROUNDING = 1e-9
"""A spread below this share of a series' largest absolute value is a rounding error."""


def mad(values: Vector, center: "Vector | float") -> float:
    """The median absolute deviation, median(|values - center|), not scaled to a standard deviation.

    Args:
        values: float64 (n,), n at least 1, none NaN.
        center: one for all values, or one for each, (n,).
    """
    return float(np.median(np.abs(values - center)))


def nan_median(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The median along an axis, leaving out NaN; NaN where all values are, without a warning.

    Args:
        values: float64 of any shape; the axis has at least one element.
        axis: the axis that is dropped.
    """
    rows = np.ascontiguousarray(values if axis in (-1, values.ndim - 1) else np.moveaxis(values, axis, -1))
    count = rows.size // max(rows.shape[-1], 1)
    return medians(rows.ravel(), np.arange(count + 1) * rows.shape[-1]).reshape(rows.shape[:-1])
