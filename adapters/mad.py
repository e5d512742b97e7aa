"""mad: the median of the last points, for series without a rhythm, and the median absolute deviation from it.

Neither bursts in the history nor those among the last points widen the band.
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.models.arrays import Vector
from myriad.models.base import Fit, Model, Param, Prediction, split_by_length
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MAD_TO_STD, ROUNDING, nan_median

MIN_POINTS = 30
LOOKBACK = 30
"""The median is that of this many points."""
PRIOR = 3
"""The fitted centre counts as this many points more: at the start of a request there are no others."""
FIT_POINTS = 3000
"""The spread is estimated from this many of the latest points."""
POINTS_AT_ONCE = 4096
"""Points whose medians are computed together, from a row of 33 values each."""
MIN_MEAN_SHARE = 0.25
"""The spread is at least this share of the mean deviation: that of a series that rarely moves has a median of 0."""


class Mad(Model):
    """A rolling median and the median absolute deviation from it."""

    params: ClassVar = {
        "center": Param("<f8", digits=24),
        "spread": Param("<f8", positive=True, digits=10),
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Centre and spread of each series; at least 30 points are needed."""
        kept, refused = split_by_length(history, MIN_POINTS, "for a median")
        points = history.take(kept)
        size = magnitudes(points)
        fitted = [_center_and_spread(points.series(i)[1] / size[i]) for i in range(len(points))]
        center, spread = np.array(fitted).reshape(-1, 2).T
        min_spread = np.finfo(np.float64).tiny * 1e15
        arrays = {"center": center * size, "spread": np.maximum(np.maximum(spread, ROUNDING) * size, min_spread)}
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The median of up to 30 points before each, together with the centre."""
        at = np.repeat(rows, points.lengths)
        expected = _rolling_median(points, self.arrays["center"][at])
        return self.banded(points.values, expected, self.half_band(at, self.arrays["spread"][at]))


def _center_and_spread(values: Vector) -> tuple[float, float]:
    center = float(np.median(values))
    latest = values[-FIT_POINTS:]
    points = Points.of((np.arange(len(latest)), latest))
    deviation = np.abs(latest - _rolling_median(points, np.full(len(latest), center)))
    return center, max(MAD_TO_STD * float(np.median(deviation)), MIN_MEAN_SHARE * float(deviation.mean()))


def _rolling_median(points: Points, center: Vector) -> Vector:
    """The median of the `LOOKBACK` points before each in its series and of `PRIOR` times its centre, (n,)."""
    start = points.offsets[:-1][points.owner]
    medians = np.empty(len(points.values))
    for first in range(0, len(medians), POINTS_AT_ONCE):
        chunk = np.arange(first, min(first + POINTS_AT_ONCE, len(medians)))
        before = chunk[:, None] - np.arange(1, LOOKBACK + 1)
        rows = np.empty((len(chunk), LOOKBACK + PRIOR))
        rows[:, :LOOKBACK] = np.where(before >= start[chunk, None], points.values[np.maximum(before, 0)], np.nan)
        rows[:, LOOKBACK:] = center[chunk, None]
        medians[chunk] = nan_median(rows, axis=1)
    return medians
