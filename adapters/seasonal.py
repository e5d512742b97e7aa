"""seasonal: what is usual at this hour of the week, and how far values usually stray from it.

The level is a sum of effects (overall, hour of day, day of week, hour of week), each shrunk by how far it repeats
itself, so that a short or arrhythmic history gives a flat profile and a long rhythmic one its own shape.
"""

import warnings
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.models.base import Fit, Model, Param, Prediction, long_enough
from myriad.models.points import Points, magnitudes

HOUR, HALF, DAY_HOURS, WEEK_DAYS, WEEK_HOURS = 3600, 1800, 24, 7, 168
MIN_POINTS = 30
MAX_WEEKS = 52
"""What is older than a year counts as the week a year ago."""
CLIP = 6.0
"""Hourly means further than this many spreads from the usual of their hour do not count for more than that."""
BELIEF = 4.0
"""An effect is believed as far as its square exceeds this many noise variances."""
ROUNDING = 1e-9
"""Spreads below this share of the largest value are rounding errors."""
SPREAD_PRIOR_DAYS = 3.0
"""The overall spread weighs as much as this many days of an hour's own."""

STEPS = 32
"""Levels are kept in steps of this part of the spread."""

Matrix = NDArray[np.float64]
Effects = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]
"""What an hour of the day (series, 24), a day of the week (series, 7) and an hour of the week (series, 168) add."""


class Seasonal(Model):
    """A level for each hour of the week, interpolated between hours, and a spread for each hour of the day."""

    params: ClassVar = {
        "center": Param("<f8", digits=20),
        "unit": Param("<f8", positive=True, digits=10),
        "hour": Param("<f2", (DAY_HOURS,)),  # in units, as are the others: what is usual at an hour of the day
        "day": Param("<f2", (WEEK_DAYS,)),  # what a day of the week adds
        "week": Param("<f2", (WEEK_HOURS,)),  # what an hour of the week adds; mostly 0
        "spread": Param("<f2", (DAY_HOURS,), positive=True, digits=7),
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Robust hour-of-week levels and hour-of-day spreads; at least 30 points are needed."""
        kept, refused = long_enough(history, MIN_POINTS, "for a seasonal profile")
        points = history.take(kept)
        size = magnitudes(points)
        values = points.values / size[points.owner]  # squares of huge and tiny values stay finite
        hourly = _Hourly(points)
        center, effects = _levels(hourly.mean(values))
        residual = np.abs(values - center[points.owner] - _at(effects, points.owner, points.timestamps))
        spread = _spreads(hourly.mean(residual))
        # A profile far larger than its noise needs the digits of a float16 more than the noise does.
        unit = np.maximum(np.median(spread, axis=1), sum(np.ptp(effect, axis=1) for effect in effects) / 1000)
        unit = np.maximum(unit, ROUNDING)
        hour, day, week = (np.round(effect / unit[:, None] * STEPS) / STEPS for effect in effects)
        arrays = {
            "center": center * size,
            "unit": unit * size,
            "hour": hour,
            "day": day,
            "week": week,
            "spread": np.clip(spread / unit[:, None], 0.05, 1e4),
        }
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The interpolated level at each point's time, with the spread of its hour."""
        starts, lengths = _runs(points)
        row, halves = np.repeat(rows, points.lengths)[starts], points.timestamps[starts] // HALF
        # In a tick all points are of one half an hour: its effects are columns, and taking from these is faster.
        half = int(halves[0]) if len(halves) and (halves == halves[0]).all() else halves
        unit = self.arrays["unit"][row]
        low, rise = _between((self.arrays["hour"], self.arrays["day"], self.arrays["week"]), row, half)
        spread = unit * _taken(self.arrays["spread"], row, half // 2 % DAY_HOURS)
        level, slope, band = self.arrays["center"][row] + unit * low, unit * rise, self.half_band(row, spread)
        if len(starts) < len(points.timestamps):
            level, slope, band = (np.repeat(each, lengths) for each in (level, slope, band))
        expected = level + slope * ((points.timestamps - HALF) % HOUR / HOUR)
        return self.banded(points.values, expected, band)


def _runs(points: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first of the points of one series in the same half an hour, and how many they are: all share a level."""
    half = points.timestamps // HALF
    new = np.ones(len(half) + 1, bool)  # the end too
    np.not_equal(half[1:], half[:-1], out=new[1:-1])
    new[points.offsets] = True
    starts = np.flatnonzero(new)
    return starts[:-1], starts[1:] - starts[:-1]


class _Hourly:
    """Where each point falls in (series, week, hour of the week)."""

    def __init__(self, points: Points) -> None:
        week, hour = np.divmod(points.timestamps // HOUR, WEEK_HOURS)
        last = week[points.offsets[1:] - 1] if len(points) else np.empty(0, np.int64)
        ago = np.minimum(last[points.owner] - week, MAX_WEEKS - 1)
        weeks = int(ago.max(initial=0)) + 1
        self._cell = (points.owner * weeks + weeks - 1 - ago) * WEEK_HOURS + hour
        self._shape = (len(points), weeks, WEEK_HOURS)
        self._counts = np.bincount(self._cell, minlength=len(points) * weeks * WEEK_HOURS)

    def mean(self, values: Matrix) -> Matrix:
        """Means by hour, (series, weeks, 168), NaN where an hour has no points."""
        sums = np.bincount(self._cell, values, minlength=len(self._counts))
        with np.errstate(invalid="ignore", divide="ignore"):
            return (sums / self._counts).reshape(self._shape)


def _levels(hourly: Matrix) -> tuple[Matrix, Effects]:
    """The centre (series,) and the effects around it."""
    series, weeks, _ = hourly.shape
    center = _nanmedian(hourly, axis=(1, 2))
    by_day = (hourly - center[:, None, None]).reshape(series, weeks * 7, DAY_HOURS)
    usual = np.nan_to_num(_nanmedian(by_day, axis=1))
    left = by_day - usual[:, None, :]
    daily = _nanmedian(left, axis=2).reshape(series, weeks, 7)  # an incident shorter than half a day leaves no mark
    day = np.nan_to_num(_nanmean(daily, axis=1)) * _repeating(daily)
    left = _clipped((left.reshape(series, weeks, 7, DAY_HOURS) - day[:, None, :, None]).reshape(hourly.shape))
    left = left.reshape(by_day.shape) + usual[:, None, :]
    hour = usual * _repeating(left)
    left = (left - hour[:, None, :]).reshape(hourly.shape)
    return center, (hour, day, np.nan_to_num(_nanmean(left, axis=1)) * _repeating(left))


def _clipped(effects: Matrix) -> Matrix:
    """Effects (series, weeks, bins) no further than `CLIP` spreads from what their bin shows in most weeks.

    What happened in a single week is taken for an incident, what comes back the next week is not.
    """
    limit = CLIP * 1.4826 * _nanmedian(np.abs(effects), axis=(1, 2))[:, None, None]
    by_size = np.take_along_axis(effects, np.argsort(np.abs(effects), axis=1), axis=1)  # NaN last
    n = np.isfinite(effects).sum(axis=1, keepdims=True)
    usual = np.where(n > 1, np.take_along_axis(by_size, np.maximum(n - 1, 0) // 2, axis=1), 0.0)
    return usual + np.clip(effects - usual, -limit, limit)


def _spreads(hourly_deviation: Matrix) -> Matrix:
    """Standard deviations by hour of day (series, 24), from mean absolute deviations by hour."""
    series, weeks, _ = hourly_deviation.shape
    by_day = hourly_deviation.reshape(series, weeks * WEEK_DAYS, DAY_HOURS)
    overall = _nanmedian(hourly_deviation, axis=(1, 2))[:, None]
    days = np.isfinite(by_day).sum(axis=1)
    own = np.where(days > 0, _nanmedian(by_day, axis=1), overall)
    # For a normal distribution the standard deviation is sqrt(pi / 2) times the mean absolute deviation.
    return np.sqrt(np.pi / 2) * (days * own + SPREAD_PRIOR_DAYS * overall) / (days + SPREAD_PRIOR_DAYS)


def _repeating(effects: Matrix) -> Matrix:
    """How far the mean of repeated effects can be believed, 0 to 1, (series, bins), from (series, repeats, bins).

    The non-negative garrote (Breiman, "Better subset regression using the nonnegative garrote", 1995): 1 - k v / m^2
    for the mean m of a bin whose noise variance is v. The noise is what repeats of one bin differ by, pooled over the
    bins; where nothing repeats, nothing is believed.
    """
    n = np.isfinite(effects).sum(axis=1)
    mean = np.nan_to_num(_nanmean(effects, axis=1))
    within = np.nansum((effects - mean[:, None, :]) ** 2, axis=(1, 2))
    freedom = np.maximum(n - 1, 0).sum(axis=1)
    noise = np.divide(within, freedom, out=np.full(within.shape, np.inf), where=freedom > 0)
    ratio = np.divide(
        BELIEF * noise[:, None] / np.maximum(n, 1), mean**2, out=np.full(mean.shape, np.inf), where=mean**2 > 0
    )
    return np.clip(1 - ratio, 0, 1)


def _at(effects: Effects, rows: NDArray[np.int64], timestamps: NDArray[np.int64]) -> Matrix:
    """The sum of the effects at each timestamp: linear between the middles of the hours."""
    low, rise = _between(effects, rows, timestamps // HALF)
    return low + rise * ((timestamps - HALF) % HOUR / HOUR)


def _between(effects: Effects, rows: NDArray[np.int64], half: "NDArray[np.int64] | int") -> tuple[Matrix, Matrix]:
    """The sum of the effects in the middle of the last hour begun half an hour before, and the rise to the next."""
    hour = (half - 1) // 2
    low = _level(effects, rows, hour)
    return low, _level(effects, rows, hour + 1) - low


def _level(effects: Effects, rows: NDArray[np.int64], hour: "NDArray[np.int64] | int") -> Matrix:
    by_hour, by_day, by_week = effects
    in_week = hour % WEEK_HOURS
    level = _taken(by_hour, rows, in_week % DAY_HOURS).astype(np.float64)
    return level + _taken(by_day, rows, in_week // DAY_HOURS) + _taken(by_week, rows, in_week)


def _taken(
    array: NDArray[np.floating], rows: NDArray[np.int64], column: "NDArray[np.int64] | int"
) -> NDArray[np.floating]:
    return array[:, column][rows] if isinstance(column, int) else array[rows, column]


def _nanmedian(values: Matrix, axis: int | tuple[int, int] = -1) -> Matrix:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an hour nobody reported in has no median
        return np.asarray(np.nanmedian(values, axis=axis))


def _nanmean(values: Matrix, axis: int) -> Matrix:
    n = np.isfinite(values).sum(axis=axis)
    return np.divide(np.nansum(values, axis=axis), n, out=np.full(n.shape, np.nan), where=n > 0)
