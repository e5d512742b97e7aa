"""statsforecast: what AutoETS, AutoARIMA, AutoTheta or MSTL of statsforecast forecast, as a table.

What the library fits: hourly means, gaps interpolated. What is kept is its forecast of the next fourteen days, hour by
hour, with the standard deviation that its band implies. In serving, the mean is linear between the middles of the
hours. It does not follow the posted points; train again before the table ends.

Past the table the forecast is that of the same hour of its last week, again and again, and its variance goes on growing
by as much an hour as it grew over that week. Before the table it is that of the first week and as certain as the first
hour.

Posted points are noisier than hourly means: to the variance of each hour is added by how much the points of the history
stray more from what the model made of their hour than the model itself expected of the first hour.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._hourly import (
    DAY_HOURS,
    HALF,
    HOUR,
    ROUNDING,
    WEEK_HOURS,
    deviation,
    fit_each,
    hourly_means,
    interpolated,
    quiet,
    unit_of,
)
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import HistoryUnusable, NotReducible
from myriad.models.points import Points

HOURS = 2 * WEEK_HOURS
MIN_HOURS = 3 * DAY_HOURS
ONE_SIGMA = 68.2689492137086
"""The percentage of a normal distribution within one standard deviation."""
MOST_SPREADS = 1e4
"""A forecast's standard deviation is kept as a float16, in units."""

Vector = NDArray[np.float64]


class Statsforecast(Model):
    """A forecast of two weeks, hour by hour: its mean and its standard deviation."""

    library: ClassVar = "statsforecast"
    fitted_types: ClassVar = (
        "statsforecast.models.AutoETS",
        "statsforecast.models.AutoARIMA",
        "statsforecast.models.AutoTheta",
        "statsforecast.models.MSTL",
        "statsforecast.core.StatsForecast",
    )
    params: ClassVar = {
        "level": Param("<f8", digits=24),
        "unit": Param("<f8", positive=True, digits=24),
        "start": Param("<i4"),  # the first hour of the table, from the epoch
        "mean": Param("<f2", (HOURS,)),  # in units, from the level
        "spread": Param("<f2", (HOURS,), positive=True, digits=7),  # in units
    }

    @classmethod
    def fit(cls, history: Points, *, model: str = "ets") -> Fit[Self]:
        """Forecasts from hourly means; three days of points are needed.

        Args:
            history: tidied points, values finite.
            model: `ets`, additive errors and no trend, with a daily season if that is better by AICc: a twentieth of
                a second a series; `ets_all`, all of AutoETS: a second or more; `mstl`, seasons of a day and, from two
                weeks on, a week, around an `ets` without one: half a second; `theta`: a tenth; `arima`: many seconds.
        """
        if model not in _MODELS:
            raise ValueError(f"model is {model!r}; it can be {', '.join(_MODELS)}")
        return fit_each(cls, history, MIN_HOURS, lambda one: cls._row(one, model))

    @classmethod
    def _row(cls, history: Points, model: str) -> Arrays:
        try:
            return cls.reduced(_fitted(history, model), history)
        except NotReducible as why:
            raise HistoryUnusable(f"{model} has no forecast of it: {why}") from why

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a model's forecast.

        Args:
            fitted: to the hourly means of the history; a `StatsForecast` has one model and one series.
            history: the one series.

        Raises:
            NotReducible: it was fitted to something else, or has no bands.
        """
        one = _only(fitted)
        first, means = hourly_means(history)
        usual = _in_sample(one, len(means))
        mean, spread = _forecast(one)
        left = history.values - interpolated(first, usual, history.timestamps)
        # The first day is what many models need to find out where they are.
        noise = deviation(left[history.timestamps >= (first + DAY_HOURS) * HOUR])
        spread = np.sqrt(np.maximum(spread**2 - spread[0] ** 2, 0) + noise**2)
        unit = unit_of(mean, float(np.median(spread)))
        level = float(np.median(mean))
        row = {
            "level": level,
            "unit": unit,
            "start": first + len(means),
            "mean": (mean - level) / unit,
            "spread": np.clip(spread / unit, 1 / MOST_SPREADS, MOST_SPREADS),
        }
        return {name: np.array([value]) for name, value in row.items()}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The table at each point's time."""
        at = np.repeat(rows, points.lengths)
        hour, second = np.divmod(points.timestamps - HALF, HOUR)
        ahead = hour - self.arrays["start"][at]
        before, after = self._mean(at, ahead), self._mean(at, ahead + 1)
        unit = self.arrays["unit"][at]
        expected = self.arrays["level"][at] + unit * (before + (after - before) * (second / HOUR))
        nearest = ahead + (second >= HALF)
        return self.banded(points.values, expected, self.half_band(at, unit * self._spread(at, nearest)))

    def _mean(self, at: NDArray[np.int64], ahead: NDArray[np.int64]) -> Vector:
        week = ahead % WEEK_HOURS
        place = np.where(ahead < 0, week, np.where(ahead < HOURS, ahead, WEEK_HOURS + week))
        return self.arrays["mean"][at, place].astype(np.float64)

    def _spread(self, at: NDArray[np.int64], ahead: NDArray[np.int64]) -> Vector:
        table = self.arrays["spread"]
        inside = table[at, np.clip(ahead, 0, HOURS - 1)].astype(np.float64)
        past = np.maximum(ahead - (HOURS - 1), 0)
        if not past.any():
            return inside
        last, week_before = (table[at, i].astype(np.float64) for i in (HOURS - 1, HOURS - 1 - WEEK_HOURS))
        growth = np.maximum(last**2 - week_before**2, 0) / WEEK_HOURS
        return np.sqrt(inside**2 + growth * past)


def _ets(_: int) -> Any:
    from statsforecast.models import AutoETS

    return AutoETS(season_length=DAY_HOURS, model="ANZ")


def _ets_all(_: int) -> Any:
    from statsforecast.models import AutoETS

    return AutoETS(season_length=DAY_HOURS)


def _mstl(hours: int) -> Any:
    from statsforecast.models import MSTL, AutoETS

    return MSTL(season_length=_seasons(hours), trend_forecaster=AutoETS(model="ANN"))


def _theta(_: int) -> Any:
    from statsforecast.models import AutoTheta

    return AutoTheta(season_length=DAY_HOURS)


def _arima(hours: int) -> Any:
    from statsforecast.models import MSTL, AutoARIMA

    return MSTL(season_length=_seasons(hours), trend_forecaster=AutoARIMA())


def _seasons(hours: int) -> list[int]:
    return [DAY_HOURS, WEEK_HOURS] if hours >= 2 * WEEK_HOURS else [DAY_HOURS]


_MODELS: dict[str, Callable[[int], Any]] = {
    "ets": _ets,
    "ets_all": _ets_all,
    "mstl": _mstl,
    "theta": _theta,
    "arima": _arima,
}


def _fitted(history: Points, model: str) -> Any:
    _, means = hourly_means(history)
    chosen = model if np.ptp(means) > ROUNDING else "ets"  # the others divide by what a constant has none of
    with quiet():
        return _MODELS[chosen](len(means)).fit(means)


def _only(fitted: Any) -> Any:
    """The one fitted model of a `StatsForecast`; anything else is one itself."""
    several = getattr(fitted, "fitted_", None)
    if several is None:
        return fitted
    if several.shape != (1, 1):
        raise NotReducible(f"{several.shape[0]} series and {several.shape[1]} models are not a row; take one of each")
    return several[0, 0]


def _in_sample(fitted: Any, hours: int) -> Vector:
    """What the model made of each hour of the history."""
    with quiet():
        usual = np.asarray(fitted.predict_in_sample()["fitted"], np.float64)
    if len(usual) != hours:
        raise NotReducible(f"it was fitted to {len(usual)} observations, not to the history's {hours} hourly means")
    return np.where(np.isfinite(usual), usual, np.nanmean(usual))


def _forecast(fitted: Any) -> tuple[Vector, Vector]:
    """Mean and standard deviation of each hour of the table."""
    with quiet():
        table = fitted.predict(HOURS, level=[ONE_SIGMA])
    mean, low, high = (np.asarray(table.get(key), np.float64) for key in ("mean", f"lo-{ONE_SIGMA}", f"hi-{ONE_SIGMA}"))
    if mean.shape != (HOURS,) or low.shape != mean.shape or not np.isfinite(low + mean + high).all():
        raise NotReducible(f"{type(fitted).__name__} gives no finite bands; use AutoETS, AutoARIMA, AutoTheta or MSTL")
    return mean, (high - low) / 2
