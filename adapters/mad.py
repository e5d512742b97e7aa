"""mad: the median of the points just before, for series without a rhythm, and how far values usually stray from it.

The median absolute deviation is the spread, so that neither bursts in the history nor those just seen widen the band.
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.models.base import Fit, Model, Param, Prediction, long_enough
from myriad.models.points import Points, magnitudes

MIN_POINTS = 30
BACK = 30
"""Points looked back on."""
PRIOR = 3
"""The fitted centre counts for so many of them: it is all there is at the start of a request."""
FIT_POINTS = 3000
"""The spread is that of so many of the latest points."""
AT_ONCE = 4096
"""Points whose medians are taken together: a row of 33 values each."""
ROUNDING = 1e-9
LEAST_SHARE = 0.25
"""Of the mean deviation: a series that mostly stands still has no median deviation at all."""

Vector = NDArray[np.float64]


class Mad(Model):
    """A rolling median and the median absolute deviation from it."""

    params: ClassVar = {
        "center": Param("<f8", digits=24),
        "spread": Param("<f8", positive=True, digits=10),
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """The centre and the spread of each series; at least 30 points are needed."""
        kept, refused = long_enough(history, MIN_POINTS, "for a median")
        points = history.take(kept)
        size = magnitudes(points)
        fitted = [_center_and_spread(points.series(i)[1] / size[i]) for i in range(len(points))]
        center, spread = np.array(fitted).reshape(-1, 2).T
        least = np.finfo(np.float64).tiny * 1e15
        arrays = {"center": center * size, "spread": np.maximum(np.maximum(spread, ROUNDING) * size, least)}
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The median of up to 30 points before each, and of the centre."""
        at = np.repeat(rows, points.lengths)
        expected = _rolling_median(points, self.arrays["center"][at])
        return self.banded(points.values, expected, self.half_band(at, self.arrays["spread"][at]))


def _center_and_spread(values: Vector) -> tuple[float, float]:
    center = float(np.median(values))
    latest = values[-FIT_POINTS:]
    points = Points.of((np.arange(len(latest)), latest))
    strayed = np.abs(latest - _rolling_median(points, np.full(len(latest), center)))
    # For a normal distribution the standard deviation is 1.4826 median absolute deviations.
    return center, max(1.4826 * float(np.median(strayed)), LEAST_SHARE * float(strayed.mean()))


def _rolling_median(points: Points, center: Vector) -> Vector:
    """The median of the points before each one in its series, and of `PRIOR` times its centre, (n,)."""
    start = points.offsets[:-1][points.owner]
    medians = np.empty(len(points.values))
    for first in range(0, len(medians), AT_ONCE):
        here = np.arange(first, min(first + AT_ONCE, len(medians)))
        before = here[:, None] - np.arange(1, BACK + 1)
        seen = np.empty((len(here), BACK + PRIOR))
        seen[:, :BACK] = np.where(before >= start[here, None], points.values[np.maximum(before, 0)], np.nan)
        seen[:, BACK:] = center[here, None]
        medians[here] = _median(seen)
    return medians


def _median(values: Vector) -> Vector:
    """As `np.nanmedian` along the rows, of which none is all NaN, ten times as fast."""
    ordered = np.sort(values, axis=1)  # NaN last
    count, row = values.shape[1] - np.isnan(ordered).sum(axis=1), np.arange(len(values))
    return (ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2
