"""stl: seasonal-trend decomposition by LOESS of statsmodels; the profile of a week or a day, a level and spreads.

What the library fits: hourly means, gaps interpolated. A robust `STL` shows which hours are far from the usual of their
day and only once; so that an incident does not come back as a rhythm, they are taken for usual. Another `STL` then
takes out the rhythm of the day or, where what is left repeats itself from week to week, `MSTL` that of day and week.

What is served: the seasonal component of the last week, linear between the middles of the hours, on the level on which
the trend ended: the mean of its last day. It does not follow the posted points; train again as often as the level
changes. The spread of each hour of the day is that of the history's points around trend and season.
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
    deviations_by_hour,
    fit_each,
    hourly_means,
    quiet,
    step_of,
    unit_of,
    week_profile,
)
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

MIN_HOURS = 3 * DAY_HOURS
MIN_WEEKS = 3
"""A rhythm of the week is looked for where it can have repeated itself twice."""
STRENGTH = 0.64
"""A seasonal component of this strength counts, as in `nsdiffs` of R's forecast package (Wang, Smith and Hyndman,
"Characteristic-based clustering for time series data", 2006)."""
CLIP = 6.0
"""Hours further than this many spreads from the usual are incidents."""
REWEIGHTED = 3
"""Rounds of down-weighting outliers; the library's own fifteen take five times as long and change little."""

Vector = NDArray[np.float64]


class Stl(Model):
    """The last week's season, the level at the end, and a spread for each hour of the day."""

    library: ClassVar = "statsmodels"
    fitted_types: ClassVar = (
        "statsmodels.tsa.seasonal._seasonal.DecomposeResult",
        "statsmodels.tsa.seasonal.DecomposeResult",  # where older versions have it
    )
    params: ClassVar = {
        "level": Param("<f8", digits=24),
        "unit": Param("<f8", positive=True, digits=24),
        "season": Param("<f2", (WEEK_HOURS,)),  # in units, of each hour of the week
        "spread": Param("<f2", (DAY_HOURS,), positive=True, digits=7),  # in units, of each hour of the day
    }

    @classmethod
    def fit(cls, history: Points, *, season_hours: int | None = None) -> Fit[Self]:
        """A robust decomposition of hourly means; three days of points are needed.

        Args:
            history: tidied points, values finite.
            season_hours: the season's period: a day, 24, or a week, 168; None looks for both.
        """
        if season_hours not in (None, DAY_HOURS, WEEK_HOURS):
            raise ValueError(f"season_hours is {season_hours}; it can be {DAY_HOURS}, {WEEK_HOURS} or None")
        least = MIN_HOURS if season_hours != WEEK_HOURS else 2 * WEEK_HOURS
        return fit_each(cls, history, least, lambda one: cls.reduced(_decomposed(one, season_hours), one))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of an additive decomposition: `STL`, `MSTL`, or `seasonal_decompose` with an additive model.

        Args:
            fitted: to the hourly means of the history, or to its points if they are regular.
            history: the one series.

        Raises:
            NotReducible: it is not additive, or shorter than a day.
        """
        season, trend = _components(fitted)
        after, step = step_of(len(season), history)
        profile = _last_week(season, after, step)
        times = after - step * np.arange(len(season), 0, -1) + (HALF if step == HOUR else 0)
        known = np.isfinite(trend)
        usual = np.interp(history.timestamps, times[known], trend[known])
        usual += np.interp(history.timestamps, times, season)
        spread = deviations_by_hour(history, history.values - usual)
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
        """Level and season at each point's time, with the spread of its hour."""
        at = np.repeat(rows, points.lengths)
        unit = self.arrays["unit"][at]
        season = at_times(self.arrays["season"], at, points.timestamps)
        spread = unit * self.arrays["spread"][at, points.timestamps // HOUR % DAY_HOURS]
        return self.banded(points.values, self.arrays["level"][at] + unit * season, self.half_band(at, spread))


def _decomposed(history: Points, season_hours: int | None) -> Any:
    from statsmodels.tsa.seasonal import MSTL, STL

    _, means = hourly_means(history)
    with quiet():
        calm = _calmed(means, STL(means, period=DAY_HOURS, robust=True).fit(inner_iter=2, outer_iter=REWEIGHTED))
        daily = STL(calm, period=season_hours or DAY_HOURS).fit()
        if season_hours or not _repeats_weekly(calm - daily.seasonal):
            return daily
        return MSTL(calm, periods=(DAY_HOURS, WEEK_HOURS)).fit()


def _calmed(means: Vector, daily: Any) -> Vector:
    """The means without incidents: hours far from the usual of their day that are so in no other week."""
    off = np.abs(daily.resid)
    far = off > CLIP * 1.4826 * np.median(off)
    weeks = len(far) // WEEK_HOURS
    if weeks >= MIN_WEEKS:
        often = np.median(far[-weeks * WEEK_HOURS :].reshape(weeks, WEEK_HOURS), axis=0) > 0
        far &= ~np.resize(np.roll(often, len(far) % WEEK_HOURS), len(far))
    return np.where(far, means - daily.resid, means)


def _repeats_weekly(left: Vector) -> bool:
    """Whether the usual of an hour of the week explains most of what differs between the hours of some weeks."""
    if len(left) < MIN_WEEKS * WEEK_HOURS:
        return False
    weeks = left[-(len(left) // WEEK_HOURS) * WEEK_HOURS :].reshape(-1, WEEK_HOURS)
    noise = np.square(weeks - weeks.mean(axis=0)).sum() / (len(weeks) - 1)
    whole = np.square(weeks - weeks.mean()).sum() / len(weeks)
    return bool(noise < (1 - STRENGTH) * whole)


def _components(fitted: Any) -> tuple[Vector, Vector]:
    """The sum of the seasonal components, and the trend."""
    season, trend, rest = (np.asarray(part, np.float64) for part in (fitted.seasonal, fitted.trend, fitted.resid))
    season = season if season.ndim == 1 else season.sum(axis=1)
    observed = np.asarray(fitted.observed, np.float64)
    known = np.isfinite(trend) & np.isfinite(rest)
    off = np.abs(observed - season - trend - rest)[known]
    if not known.any() or off.max() > 1e-6 * np.abs(observed).max():
        raise NotReducible("its components do not add up to the observed values; use STL, MSTL or model='additive'")
    return season, trend


def _last_week(season: Vector, after: int, step: int) -> Vector:
    """What each hour of the week added when it was last seen, or each hour of the day where there is no week."""
    week, day = WEEK_HOURS * HOUR // step, DAY_HOURS * HOUR // step
    if len(season) < day:
        raise NotReducible(f"{len(season)} steps of {step} s are less than a day; decompose a longer history")
    return week_profile(season[-week:] if len(season) >= week else season[-day:], after, step)
