"""mad: the median of the last points, for series without a rhythm, and the median absolute deviation from it.

Neither bursts in the history nor those among the last points widen the band.
"""

from typing import ClassVar, Self

import numpy as np

from myriad.kernels import predictors
from myriad.kernels.deviations import mean_deviations
from myriad.kernels.predictors import LOOKBACK, PRIOR
from myriad.kernels.quantiles import medians, rolling_medians
from myriad.models.arrays import Vector
from myriad.models.base import Fit, Model, Param, split_by_length
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MAD_TO_STD, ROUNDING

MIN_POINTS = 30
FIT_POINTS = 3000
"""The spread is estimated from this many of the latest points."""
MIN_MEAN_SHARE = 0.25
"""The spread is at least this share of the mean deviation: that of a series that rarely moves has a median of 0."""


class Mad(Model):
    """A rolling median and the median absolute deviation from it."""

    kernel = predictors.Mad
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
        center, spread = _center_and_spread(points, size)
        min_spread = np.finfo(np.float64).tiny * 1e15
        arrays = {"center": center * size, "spread": np.maximum(np.maximum(spread, ROUNDING) * size, min_spread)}
        return Fit(cls.uncalibrated(arrays), kept, refused)


def _center_and_spread(points: Points, size: Vector) -> tuple[Vector, Vector]:
    """Of each series in its size, both (series,); each has a value, and all are finite."""
    center, recent = medians(points.values, points.offsets) / size, points.latest(FIT_POINTS)
    values = recent.values / size[recent.owner]
    before = np.full((len(center), LOOKBACK), np.nan)
    expected = rolling_medians(values, recent.offsets, center, before, PRIOR)
    deviation, none = np.abs(values - expected), np.zeros(len(center))
    mean = mean_deviations(deviation, recent.offsets, none)
    return center, np.maximum(MAD_TO_STD * medians(deviation, recent.offsets), MIN_MEAN_SHARE * mean)
