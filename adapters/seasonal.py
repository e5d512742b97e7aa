"""seasonal: a fixed level for each hour of the week and a fixed spread for each hour of the day.

    level = centre + effect of the hour of the day + effect of the day of the week + effect of the hour of the week

Each effect is shrunk towards 0 unless it repeats itself (see `_garrote`). So a short history, or one without a rhythm,
gives a flat profile, and a long rhythmic one gives its own shape.
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.kernels import predictors
from myriad.kernels.profiles import less_profile, period_means
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Fit, Model, Param, split_by_length
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MAD_TO_STD, MEAN_DEVIATION_TO_STD, ROUNDING, nan_median

HOUR, DAY_HOURS, WEEK_DAYS, WEEK_HOURS = 3600, 24, 7, 168
MIN_POINTS = 30
MAX_WEEKS = 52
"""Older points count as those of the week a year ago."""
CLIP = 6.0
"""Hourly means further than this many spreads from the median of their hour count as that far."""
GARROTE = 4.0
"""The `k` of the non-negative garrote, see `_garrote`."""
SPREAD_PRIOR_DAYS = 3.0
"""The spread of an hour is averaged with the overall one, which weighs as much as this many days."""

STEPS = 32
"""Effects are rounded to 1/32 of the unit."""

Effects = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]
"""Of the hour of the day (series, 24), the day of the week (series, 7) and the hour of the week (series, 168)."""


class Seasonal(Model):
    """A level for each hour of the week, interpolated between hours, and a spread for each hour of the day."""

    kernel = predictors.Seasonal
    params: ClassVar = {
        "center": Param("<f8", digits=20),
        "unit": Param("<f8", positive=True, digits=10),
        "hour": Param("<f2", (DAY_HOURS,)),  # the effect of the hour of the day, in units as the others
        "day": Param("<f2", (WEEK_DAYS,)),  # the effect of the day of the week
        "week": Param("<f2", (WEEK_HOURS,)),  # the effect of the hour of the week; mostly 0
        "spread": Param("<f2", (DAY_HOURS,), positive=True, digits=7),
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Robust hour-of-week levels and hour-of-day spreads; at least 30 points are needed."""
        kept, refused = split_by_length(history, MIN_POINTS, "for a seasonal profile")
        points = history.take(kept)
        size = magnitudes(points)
        center, effects = _levels(_hourly(points, points.values, size))
        at = center[:, None] + _of_week(effects)
        residual = less_profile(
            points.local, points.values, points.offsets, size, at, np.roll(at, -1, axis=1), HOUR, HOUR // 2
        )
        spread = _spreads(_hourly(points, np.abs(residual), np.ones(len(points))))
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


def _hourly(points: Points, values: Vector, size: Vector) -> Matrix:
    """Means by hour, (series, weeks, 168), of values of each point over its series' size; NaN where there are none."""
    return period_means(points.local, values, points.offsets, size, HOUR, WEEK_HOURS, MAX_WEEKS)


def _levels(hourly: Matrix) -> tuple[Vector, Effects]:
    """The centre (series,) and the effects around it, from hourly means (series, weeks, 168)."""
    series, weeks, _ = hourly.shape
    center = nan_median(hourly.reshape(series, weeks * WEEK_HOURS), axis=1)
    by_day = (hourly - center[:, None, None]).reshape(series, weeks * 7, DAY_HOURS)
    of_hour = np.nan_to_num(nan_median(by_day, axis=1))
    residual = by_day - of_hour[:, None, :]
    daily = nan_median(residual, axis=2).reshape(series, weeks, 7)  # not moved by incidents shorter than half a day
    day = np.nan_to_num(_nanmean(daily, axis=1)) * _garrote(daily)
    residual = _clipped((residual.reshape(series, weeks, 7, DAY_HOURS) - day[:, None, :, None]).reshape(hourly.shape))
    residual = residual.reshape(by_day.shape) + of_hour[:, None, :]
    hour = of_hour * _garrote(residual)
    residual = (residual - hour[:, None, :]).reshape(hourly.shape)
    return center, (hour, day, np.nan_to_num(_nanmean(residual, axis=1)) * _garrote(residual))


def _clipped(effects: Matrix) -> Matrix:
    """Effects (series, weeks, bins), limited to `CLIP` spreads around the effect of their bin in most weeks.

    So an incident of a single week is cut off, and what comes back the next week is not.
    """
    series, weeks, bins = effects.shape
    limit = (CLIP * MAD_TO_STD * nan_median(np.abs(effects).reshape(series, weeks * bins), axis=1))[:, None, None]
    by_size = np.take_along_axis(effects, np.argsort(np.abs(effects), axis=1), axis=1)  # NaN last
    n = np.isfinite(effects).sum(axis=1, keepdims=True)
    repeated = np.where(n > 1, np.take_along_axis(by_size, np.maximum(n - 1, 0) // 2, axis=1), 0.0)
    return repeated + np.clip(effects - repeated, -limit, limit)


def _spreads(hourly_deviation: Matrix) -> Matrix:
    """Standard deviations by hour of the day (series, 24), from mean absolute deviations (series, weeks, 168)."""
    series, weeks, _ = hourly_deviation.shape
    by_day = hourly_deviation.reshape(series, weeks * WEEK_DAYS, DAY_HOURS)
    overall = nan_median(hourly_deviation.reshape(series, weeks * WEEK_HOURS), axis=1)[:, None]
    days = np.isfinite(by_day).sum(axis=1)
    own = np.where(days > 0, nan_median(by_day, axis=1), overall)
    return MEAN_DEVIATION_TO_STD * (days * own + SPREAD_PRIOR_DAYS * overall) / (days + SPREAD_PRIOR_DAYS)


def _garrote(effects: Matrix) -> Matrix:
    """The factor, 0 to 1, by which the mean effect of each bin is shrunk, (series, bins).

        max(1 - k v / m^2, 0)

    m is the mean of a bin and v its noise variance: the non-negative garrote (Breiman, "Better subset regression using
    the nonnegative garrote", 1995). The variance within the bins is pooled over all of them. A series with at most one
    effect a bin has factors of 0.

    Args:
        effects: (series, repeats, bins), NaN where there is none.
    """
    n = np.isfinite(effects).sum(axis=1)
    mean = np.nan_to_num(_nanmean(effects, axis=1))
    within = np.nansum((effects - mean[:, None, :]) ** 2, axis=(1, 2))
    freedom = np.maximum(n - 1, 0).sum(axis=1)
    noise = np.divide(within, freedom, out=np.full(within.shape, np.inf), where=freedom > 0)
    ratio = np.divide(
        GARROTE * noise[:, None] / np.maximum(n, 1), mean**2, out=np.full(mean.shape, np.inf), where=mean**2 > 0
    )
    return np.clip(1 - ratio, 0, 1)


def _of_week(effects: Effects) -> Matrix:
    """The sum of the effects in the middle of each hour of the week, (series, 168)."""
    by_hour, by_day, by_week = effects
    return np.tile(by_hour, (1, WEEK_DAYS)) + np.repeat(by_day, DAY_HOURS, axis=1) + by_week


def _nanmean(values: Matrix, axis: int) -> Matrix:
    n = np.isfinite(values).sum(axis=axis)
    return np.divide(np.nansum(values, axis=axis), n, out=np.full(n.shape, np.nan), where=n > 0)
