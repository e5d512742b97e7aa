"""ewma: an exponentially weighted level and spread, updated with each point; see `adapters._local_level`."""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._local_level import CLIP, InitialState, latest, one_step, padded
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Fit, Model, Param, Prediction, split_by_length
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MEAN_DEVIATION_TO_STD, ROUNDING

MIN_POINTS = 30
ALPHAS = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
FIT_POINTS = 3000
"""The smoothing constant is chosen on this many of the latest points."""
WIDENING = 0.03
SPREAD_BOUNDS = (0.7, 3.0)
MIN_SPREAD = 1e-290


class Ewma(Model):
    """A local level and the spread of its one-step errors."""

    params: ClassVar = {
        "level": Param("<f8", digits=24),
        "spread": Param("<f8", positive=True, digits=10),  # of one-step errors once settled
        "alpha": Param("<f4", positive=True, digits=8),  # the settled gain
        "uncertainty": Param("<f4", positive=True, digits=7),  # of the starting level, in spreads
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Choose the smoothing constant with the smallest clipped one-step errors; at least 30 points are needed."""
        kept, refused = split_by_length(history, MIN_POINTS, "for a moving level")
        recent = latest(history.take(kept), FIT_POINTS)
        size = magnitudes(recent)
        values = padded(recent.with_values(recent.values / size[recent.owner]))
        level, overall = _median_and_spread(values)
        errors = np.stack([_one_step_error(values, level, overall, alpha) for alpha in ALPHAS])
        best = errors.argmin(axis=0)
        spread = np.maximum(errors[best, np.arange(len(kept))], ROUNDING)
        arrays = {
            "level": level * size,
            "spread": np.maximum(spread * size, MIN_SPREAD),
            "alpha": np.array(ALPHAS)[best],
            "uncertainty": np.clip(overall / spread, 0.1, 1e4),
        }
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step predictions: of each point from those before it."""
        fitted = {name: self.arrays[name][rows].astype(np.float64) for name in self.params}
        start = InitialState(**fitted, widening=np.full(len(rows), WIDENING))
        expected, spread = one_step(points, start, SPREAD_BOUNDS)
        half_band = self.half_band(np.repeat(rows, points.lengths), spread)
        return self.banded(points.values, expected, half_band)


def _one_step_error(values: Matrix, level: Vector, overall: Vector, alpha: float) -> Vector:
    """The mean clipped one-step error of simple exponential smoothing, as a standard deviation, (series,).

    Args:
        values: (points, series), NaN below the end of a series.
        level: before the first point, (series,).
        overall: the spread of the values themselves, (series,): larger errors than `CLIP` of it count as that.
        alpha: the smoothing constant.
    """
    limit = CLIP * np.maximum(overall, ROUNDING)
    total, count = np.zeros_like(level), np.zeros_like(level)
    for value in values:
        error = np.where(np.isfinite(value), value - level, 0.0)
        error = np.minimum(np.maximum(error, -limit), limit)
        total += np.abs(error)
        count += np.isfinite(value)
        level = level + alpha * error
    return MEAN_DEVIATION_TO_STD * total / np.maximum(count, 1)


def _median_and_spread(values: Matrix) -> tuple[Vector, Vector]:
    """Median and standard deviation (from the mean absolute deviation) of each column."""
    if values.size == 0:
        return np.empty(values.shape[1]), np.empty(values.shape[1])
    median = np.nanmedian(values, axis=0)
    return median, MEAN_DEVIATION_TO_STD * np.nanmean(np.abs(values - median), axis=0)
