"""Features: what models that learn from lags and the calendar see of a point; the same for fitting and predicting."""

import numpy as np
from numpy.typing import NDArray

from myriad.models.points import Points

VERSION = 1
"""Raised when a feature changes its meaning; an adapter that uses them has it in its own `version`."""

LAGS = (1, 2, 3, 5, 10, 15, 30)
"""How many points back; by count, not by time."""

DAY, WEEK = 86400, 7 * 86400

Matrix = NDArray[np.float64]


def calendar(timestamps: NDArray[np.int64]) -> Matrix:
    """Where in the day and the week each time is, (n, 4): sine and cosine of each."""
    day, week = (2 * np.pi * (timestamps % period) / period for period in (DAY, WEEK))
    return np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], axis=1)


def lagged(points: Points, lags: tuple[int, ...] = LAGS) -> Matrix:
    """The values some points before each point, (n, lags).

    Where the series does not reach so far back, or has a gap there, it is the nearest value after that which is there
    and before the point; where there is none at all, 0. So values are best scaled to be around 0.

    Args:
        points: tidied, in time order; values may be NaN.
        lags: how many points back, rising.
    """
    before = np.arange(len(points.values)) - points.offsets[:-1][points.owner]
    columns: list[NDArray[np.float64]] = []
    nearer = np.zeros(len(points.values))
    for lag in lags:
        at = np.maximum(np.arange(len(points.values)) - lag, 0)
        there = (before >= lag) & np.isfinite(points.values[at])
        nearer = np.where(there, points.values[at], nearer)
        columns.append(nearer)
    return np.stack(columns, axis=1)


def features(points: Points, lags: tuple[int, ...] = LAGS) -> Matrix:
    """Lags and calendar of each point, (n, lags + 4), of points scaled to be around 0."""
    return np.concatenate([lagged(points, lags), calendar(points.timestamps)], axis=1)
