"""stl: seasonal-trend decomposition by LOESS (STL) of statsmodels; a fixed level, season and spread.

    expected = level + season at the hour of the day or the week

Fitting, on hourly means with gaps interpolated:

1. A robust `STL` with a daily season finds outliers, and those that do not recur at the same hour of the week are
   replaced, so that an incident does not become part of the season.
2. `STL` fits the daily season, or `MSTL` the daily and the weekly one if the rest still recurs every week.

Serving: the season of the last week, linear between the middles of the hours, on the mean of the trend's last day. It
is not updated with new points; train again as often as the level changes. The spread of each hour of the day is that
of the history's points around trend and season.
"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._hourly import (
    DAY_HOURS,
    HALF,
    HOUR,
    WEEK_HOURS,
    at_times,
    fit_each,
    hourly_means,
    quiet,
    residual_std_by_hour,
    step_of,
    unit_of,
    week_profile,
)
from myriad.models.arrays import Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.models.robust import MAD_TO_STD

MIN_HOURS = 3 * DAY_HOURS
MIN_WEEKS = 3
"""A weekly season needs at least this many weeks, so that it can recur twice."""
STRENGTH = 0.64
"""The strength from which a season is used, as in `nsdiffs` of R's package forecast.

Wang, Smith and Hyndman, "Characteristic-based clustering for time series data", 2006.
"""
CLIP = 6.0
"""An hour whose residual is larger than this many spreads is an outlier."""
ROBUST_ITERATIONS = 3
"""The library's default of fifteen takes five times as long and changes little."""


class Stl(Model):
    """The last week's season, the level at the end, and a spread for each hour of the day."""

    library: ClassVar = "statsmodels"
    fitted_types: ClassVar = (
        "statsmodels.tsa.seasonal._seasonal.DecomposeResult",
        "statsmodels.tsa.seasonal.DecomposeResult",  # its place in older versions
    )
    params: ClassVar = {
        "level": Param("<f8", digits=24),
        "unit": Param("<f8", positive=True, digits=24),
        "season": Param("<f2", (WEEK_HOURS,)),  # in units, of each hour of the week
        "spread": Param("<f2", (DAY_HOURS,), positive=True, digits=7),  # in units, of each hour of the day
    }

    @classmethod
    def fit(cls, history: Points, *, season_hours: int | None = None) -> Fit[Self]:
        """Decompose hourly means; three days of points are needed.

        Args:
            history: tidied points, values finite.
            season_hours: the period of the season, 24 or 168; None chooses between a day and both.
        """
        if season_hours not in (None, DAY_HOURS, WEEK_HOURS):
            raise ValueError(f"season_hours is {season_hours}; it can be {DAY_HOURS}, {WEEK_HOURS} or None")
        min_hours = MIN_HOURS if season_hours != WEEK_HOURS else 2 * WEEK_HOURS
        return fit_each(cls, history, min_hours, lambda series: cls.reduced(_decomposed(series, season_hours), series))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of an additive decomposition: `STL`, `MSTL`, or `seasonal_decompose` with an additive model.

        Args:
            fitted: a decomposition of the hourly means of the history, or of its points if they are regular.
            history: the one series.

        Raises:
            NotReducible: it is not additive, or shorter than a day.
        """
        season, trend = _components(fitted)
        after, step = step_of(len(season), history)
        profile = _last_week(season, after, step)
        times = after - step * np.arange(len(season), 0, -1) + (HALF if step == HOUR else 0)
        known = np.isfinite(trend)
        expected = np.interp(history.local, times[known], trend[known])
        expected += np.interp(history.local, times, season)
        spread = residual_std_by_hour(history, history.values - expected)
        unit = unit_of(profile, float(np.median(spread)))
        day = DAY_HOURS * HOUR // step
        row = {
            "level": trend[known][-day:].mean(),
            "unit": unit,
            "season": profile / unit,
            "spread": np.clip(spread / unit, 1e-3, 1e4),
        }
        return {name: np.array([value]) for name, value in row.items()}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """Level and season at each point's time, and the spread of its hour."""
        at = np.repeat(rows, points.lengths)
        unit = self.arrays["unit"][at]
        season = at_times(self.arrays["season"], at, points.local)
        spread = unit * self.arrays["spread"][at, points.local // HOUR % DAY_HOURS]
        return self.banded(points.values, self.arrays["level"][at] + unit * season, self.half_band(at, spread))


def _decomposed(history: Points, season_hours: int | None) -> Any:
    from statsmodels.tsa.seasonal import MSTL, STL

    _, means = hourly_means(history)
    with quiet():
        cleaned = _without_outliers(
            means, STL(means, period=DAY_HOURS, robust=True).fit(inner_iter=2, outer_iter=ROBUST_ITERATIONS)
        )
        daily = STL(cleaned, period=season_hours or DAY_HOURS).fit()
        if season_hours or not _repeats_weekly(cleaned - daily.seasonal):
            return daily
        return MSTL(cleaned, periods=(DAY_HOURS, WEEK_HOURS)).fit()


def _without_outliers(means: Vector, daily: Any) -> Vector:
    """The means with outliers replaced by trend and season, (hours,).

    An hour of the week that is an outlier in most weeks stays as it is.

    Args:
        means: (hours,).
        daily: a decomposition of them with a daily season.
    """
    deviation = np.abs(daily.resid)
    outlier = deviation > CLIP * MAD_TO_STD * np.median(deviation)
    weeks = len(outlier) // WEEK_HOURS
    if weeks >= MIN_WEEKS:
        recurring = np.median(outlier[-weeks * WEEK_HOURS :].reshape(weeks, WEEK_HOURS), axis=0) > 0
        outlier &= ~np.resize(np.roll(recurring, len(outlier) % WEEK_HOURS), len(outlier))
    return np.where(outlier, means - daily.resid, means)


def _repeats_weekly(residuals: Vector) -> bool:
    """Whether the strength of a weekly season, 1 - noise variance / total variance, is above `STRENGTH`."""
    if len(residuals) < MIN_WEEKS * WEEK_HOURS:
        return False
    weeks = residuals[-(len(residuals) // WEEK_HOURS) * WEEK_HOURS :].reshape(-1, WEEK_HOURS)
    noise = np.square(weeks - weeks.mean(axis=0)).sum() / (len(weeks) - 1)
    total = np.square(weeks - weeks.mean()).sum() / len(weeks)
    return bool(noise < (1 - STRENGTH) * total)


def _components(fitted: Any) -> tuple[Vector, Vector]:
    """The sum of the seasonal components, and the trend, both (steps,)."""
    season, trend, residual = (np.asarray(part, np.float64) for part in (fitted.seasonal, fitted.trend, fitted.resid))
    season = season if season.ndim == 1 else season.sum(axis=1)
    observed = np.asarray(fitted.observed, np.float64)
    known = np.isfinite(trend) & np.isfinite(residual)
    difference = np.abs(observed - season - trend - residual)[known]
    if not known.any() or difference.max() > 1e-6 * np.abs(observed).max():
        raise NotReducible("its components do not add up to the observed values; use STL, MSTL or model='additive'")
    return season, trend


def _last_week(season: Vector, after: int, step: int) -> Vector:
    """The season of the last week as a profile of the hours of the week, (168,), or of the last day if shorter."""
    week, day = WEEK_HOURS * HOUR // step, DAY_HOURS * HOUR // step
    if len(season) < day:
        raise NotReducible(f"{len(season)} steps of {step} s are less than a day; decompose a longer history")
    return week_profile(season[-week:] if len(season) >= week else season[-day:], after, step)
