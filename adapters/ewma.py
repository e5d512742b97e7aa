"""ewma: a level and a spread that follow the posted points from a fitted start.

The level is that of a local-level model (Durbin and Koopman, "Time Series Analysis by State Space Methods", 2012,
section 2.2): the gain starts near 1, because the level after a gap is not known, and settles at the fitted smoothing
constant. The band is wide at first and narrows accordingly. Innovations are clipped, so that an incident moves the
level slowly; the spread follows the size of recent innovations within bounds.
"""

from math import sqrt
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from models.base import Fit, Model, Param, Prediction
from models.errors import HistoryUnusable
from models.points import Points, magnitudes

MIN_POINTS = 30
ALPHAS = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
FIT_POINTS = 3000
"""The smoothing constant is chosen on this many of the latest points."""
CLIP = 4.0
SPREAD_GAIN = 0.03
SPREAD_BOUNDS = (0.7, 3.0)
ROUNDING = 1e-9
SMALLEST_SPREAD = 1e-290
FEW_SERIES = 40
"""Up to so many series are followed one after the other: NumPy's calls would cost more than the arithmetic."""
MEAN_DEVIATION = float(np.sqrt(2 / np.pi))
"""For a normal distribution the mean absolute deviation is this many standard deviations."""
SERIES_AT_ONCE = 2048

Vector = NDArray[np.float64]


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
        """The smoothing constant with the smallest clipped one-step errors; at least 30 points are needed."""
        refused = {
            int(i): HistoryUnusable(f"{n} points are too few for a moving level; {MIN_POINTS} are needed")
            for i, n in enumerate(history.lengths)
            if n < MIN_POINTS
        }
        kept = np.array([i for i in range(len(history)) if i not in refused], np.int64)
        recent = _latest(history.take(kept), FIT_POINTS)
        size = magnitudes(recent)
        values = _padded(recent.with_values(recent.values / size[recent.owner]))
        level, wander = _median_and_spread(values)
        errors = np.stack([_one_step_error(values, level, wander, alpha) for alpha in ALPHAS])
        best = errors.argmin(axis=0)
        spread = np.maximum(errors[best, np.arange(len(kept))], ROUNDING)
        arrays = {
            "level": level * size,
            "spread": np.maximum(spread * size, SMALLEST_SPREAD),
            "alpha": np.array(ALPHAS)[best],
            "uncertainty": np.clip(wander / spread, 0.1, 1e4),
        }
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step forecasts: what was expected of each point from those before it."""
        expected, spread = np.empty_like(points.values), np.empty_like(points.values)
        for first in range(0, len(rows), SERIES_AT_ONCE):
            chunk = np.arange(first, min(first + SERIES_AT_ONCE, len(rows)))
            part = slice(points.offsets[chunk[0]], points.offsets[chunk[-1] + 1])
            expected[part], spread[part] = self._follow(rows[chunk], points.take(chunk))
        half_band = self.half_band(np.repeat(rows, points.lengths), spread)
        return self.banded(points.values, expected, half_band)

    def _follow(self, rows: NDArray[np.int64], points: Points) -> tuple[Vector, Vector]:
        values = _padded(points)
        chosen = {name: self.arrays[name][rows].astype(np.float64) for name in self.params}
        run = _run_together if len(rows) > FEW_SERIES else _run_each
        expected, spread = run(values, *_start(**chosen))
        inside = np.arange(len(values))[None, :] < points.lengths[:, None]
        return expected.T[inside], spread.T[inside]


def _start(level: Vector, spread: Vector, alpha: Vector, uncertainty: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """Level, its variance and drift in observation variances, and the spread of an observation, all (series,)."""
    drift = alpha**2 / np.maximum(1 - alpha, 1e-6)  # the steady state's gain is then alpha
    noise = spread * np.sqrt(1 - alpha)  # the settled one-step spread is then `spread`
    return level, (uncertainty * spread / noise) ** 2, drift, noise


def _run_together(
    values: Vector, level: Vector, variance: Vector, drift: Vector, noise: Vector
) -> tuple[Vector, Vector]:
    """Expected values and spreads before each observation, (steps, series), over values of that shape, NaN = gap."""
    width = np.ones_like(level)
    expected, spreads = np.empty_like(values), np.empty_like(values)
    for step, observed in enumerate(values):
        spread_now = width * noise * np.sqrt(variance + 1)
        expected[step], spreads[step] = level, spread_now
        there = np.isfinite(observed)
        error = np.where(there, observed - level, 0.0)
        clipped = np.clip(error, -CLIP * spread_now, CLIP * spread_now)
        gain = variance / (variance + 1)
        level = level + gain * clipped
        size = np.abs(clipped) / (MEAN_DEVIATION * spread_now)
        width = np.where(there, np.clip(width * (1 + SPREAD_GAIN * (size - 1)), *SPREAD_BOUNDS), width)
        variance = np.where(there, gain, variance) + drift
    return expected, spreads


def _run_each(
    values: Vector, levels: Vector, variances: Vector, drifts: Vector, noises: Vector
) -> tuple[Vector, Vector]:
    """As `_run_together`, to the last bit, one series after the other: twenty times as fast for one."""
    expected, spreads = np.empty_like(values), np.empty_like(values)
    narrowest, widest = SPREAD_BOUNDS
    starts = zip(levels.tolist(), variances.tolist(), drifts.tolist(), noises.tolist(), strict=True)
    for i, (level, variance, drift, noise) in enumerate(starts):
        width, path = 1.0, []
        for observed in values[:, i].tolist():
            ahead = variance + 1
            spread_now = width * noise * sqrt(ahead)
            path.append((level, spread_now))
            gain = variance / ahead
            if observed == observed:
                error, limit = observed - level, CLIP * spread_now
                clipped = limit if error > limit else -limit if error < -limit else error
                level = level + gain * clipped
                size = abs(clipped) / (MEAN_DEVIATION * spread_now)
                width = width * (1 + SPREAD_GAIN * (size - 1))
                width = narrowest if width < narrowest else widest if width > widest else width
                variance = gain
            variance += drift
        if path:
            expected[:, i], spreads[:, i] = zip(*path, strict=True)
    return expected, spreads


def _one_step_error(values: Vector, level: Vector, wander: Vector, alpha: float) -> Vector:
    """The typical clipped one-step error of plain exponential smoothing, as a standard deviation, (series,)."""
    limit = CLIP * np.maximum(wander, ROUNDING)
    total, count = np.zeros_like(level), np.zeros_like(level)
    for observed in values:
        error = np.clip(np.where(np.isfinite(observed), observed - level, 0.0), -limit, limit)
        total += np.abs(error)
        count += np.isfinite(observed)
        level = level + alpha * error
    return np.sqrt(np.pi / 2) * total / np.maximum(count, 1)


def _median_and_spread(values: Vector) -> tuple[Vector, Vector]:
    """Median and standard deviation (from the mean absolute deviation) of each column."""
    if values.size == 0:
        return np.empty(values.shape[1]), np.empty(values.shape[1])
    median = np.nanmedian(values, axis=0)
    return median, np.sqrt(np.pi / 2) * np.nanmean(np.abs(values - median), axis=0)


def _latest(points: Points, count: int) -> Points:
    """The last `count` points of each series."""
    position = np.arange(len(points.values)) - points.offsets[:-1][points.owner]
    return points.where(position >= points.lengths[points.owner] - count)


def _padded(points: Points) -> Vector:
    """The values as a (longest, series) matrix, NaN below the end of a series."""
    matrix = np.full((len(points), int(points.lengths.max(initial=0))), np.nan)
    matrix[np.arange(matrix.shape[1])[None, :] < points.lengths[:, None]] = points.values
    return np.ascontiguousarray(matrix.T)
