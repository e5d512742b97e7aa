"""Features: lags and the calendar of each point, computed in the same way for fitting and predicting."""

import numpy as np
from numpy.typing import NDArray

from myriad.models.arrays import Matrix, Vector
from myriad.models.points import Points

VERSION = 1
"""Raised when the meaning of a feature changes; adapters that use them include it in their own `version`."""

LAGS = (1, 2, 3, 5, 10, 15, 30)
"""In points, not in seconds."""

DAY, WEEK = 86400, 7 * 86400


def calendar(local: NDArray[np.int64]) -> Matrix:
    """Sine and cosine of the phase in the day and in the week at each local time, (n, 4)."""
    day, week = (2 * np.pi * (local % period) / period for period in (DAY, WEEK))
    return np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], axis=1)


def lagged(points: Points, lags: tuple[int, ...] = LAGS) -> Matrix:
    """The lagged values of each point, (n, lags).

    A lag that is missing, because the series is too short or the value NaN, gets the value of the next shorter lag, or
    0 if there is none. So values should be scaled to be around 0.

    Args:
        points: tidied; values may be NaN.
        lags: in points, ascending.
    """
    before = np.arange(len(points.values)) - points.offsets[:-1][points.owner]
    columns: list[Vector] = []
    column = np.zeros(len(points.values))
    for lag in lags:
        at = np.maximum(np.arange(len(points.values)) - lag, 0)
        present = (before >= lag) & np.isfinite(points.values[at])
        column = np.where(present, points.values[at], column)
        columns.append(column)
    return np.stack(columns, axis=1)


def features(points: Points, lags: tuple[int, ...] = LAGS) -> Matrix:
    """Lags and calendar of each point, (n, lags + 4); values should be scaled to be around 0."""
    return np.concatenate([lagged(points, lags), calendar(points.local)], axis=1)
