"""statsforecast: a table of the forecast of statsforecast's AutoETS, AutoARIMA, AutoTheta or MSTL.

    spread^2 at hour h = forecast variance at h - forecast variance at the first hour + variance of the history's points

Fitting: hourly means with gaps interpolated. A row is the forecast of the next fourteen days, hour by hour: the mean,
and the standard deviation that the library's band implies. The last term of the spread is the variance of the history's
points around the model's in-sample values, because points are noisier than hourly means.

Serving: the mean is linear between the middles of the hours. It is not updated with new points; train again before the
table ends. After its end its last week is repeated, and the variance grows by as much an hour as on average in that
week. Before its start its first week is repeated, with the spread of the first hour.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._hourly import (
    DAY_HOURS,
    HALF,
    HOUR,
    WEEK_HOURS,
    fit_each,
    hourly_means,
    interpolated,
    quiet,
    residual_std,
    unit_of,
)
from myriad.models.arrays import Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import HistoryUnusable, NotReducible
from myriad.models.points import Points
from myriad.models.robust import ROUNDING

HOURS = 2 * WEEK_HOURS
MIN_HOURS = 3 * DAY_HOURS
ONE_SIGMA = 68.2689492137086
"""The percentage of a normal distribution within one standard deviation."""
MAX_SPREAD = 1e4
"""In units, and 1 / MAX_SPREAD is the smallest: the spread is kept as float16."""


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
        "start": Param("<i4"),  # the first local hour of the table, from the epoch
        "mean": Param("<f2", (HOURS,)),  # in units, without the level
        "spread": Param("<f2", (HOURS,), positive=True, digits=7),  # in units
    }

    @classmethod
    def fit(cls, history: Points, *, model: str = "ets") -> Fit[Self]:
        """Fit to hourly means and forecast; three days of points are needed.

        Args:
            history: tidied points, values finite.
            model: with the time it takes a series,
                `ets`: additive errors, no trend, a daily season if AICc prefers it; a twentieth of a second.
                `ets_all`: all of AutoETS; a second or more.
                `mstl`: seasons of a day and, from two weeks on, a week, around a level; half a second.
                `theta`: a tenth of a second.
                `arima`: many seconds.
        """
        if model not in _MODELS:
            raise ValueError(f"model is {model!r}; it can be {', '.join(_MODELS)}")
        return fit_each(cls, history, MIN_HOURS, lambda series: cls._row(series, model))

    @classmethod
    def _row(cls, history: Points, model: str) -> Arrays:
        try:
            return cls.reduced(_fitted(history, model), history)
        except NotReducible as error:
            raise HistoryUnusable(f"{model} has no forecast of it: {error}") from error

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a model's forecast.

        Args:
            fitted: a model fitted to the hourly means of the history, or a `StatsForecast` of one model and one series.
            history: the one series.

        Raises:
            NotReducible: it was fitted to something else, or its forecast has no bands.
        """
        model = _single(fitted)
        first, means = hourly_means(history)
        in_sample = _in_sample(model, len(means))
        mean, spread = _forecast(model)
        residuals = history.values - interpolated(first, in_sample, history.local)
        # Many models need the first day to initialise their state.
        noise = residual_std(residuals[history.local >= (first + DAY_HOURS) * HOUR])
        spread = np.sqrt(np.maximum(spread**2 - spread[0] ** 2, 0) + noise**2)
        unit = unit_of(mean, float(np.median(spread)))
        level = float(np.median(mean))
        row = {
            "level": level,
            "unit": unit,
            "start": first + len(means),
            "mean": (mean - level) / unit,
            "spread": np.clip(spread / unit, 1 / MAX_SPREAD, MAX_SPREAD),
        }
        return {name: np.array([value]) for name, value in row.items()}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The forecast in the table at each point's time."""
        at = np.repeat(rows, points.lengths)
        hour, second = np.divmod(points.local - HALF, HOUR)
        ahead = hour - self.arrays["start"][at]
        before, after = self._mean(at, ahead), self._mean(at, ahead + 1)
        unit = self.arrays["unit"][at]
        expected = self.arrays["level"][at] + unit * (before + (after - before) * (second / HOUR))
        nearest = ahead + (second >= HALF)
        return self.banded(points.values, expected, self.half_band(at, unit * self._spread(at, nearest)))

    def _mean(self, at: NDArray[np.int64], ahead: NDArray[np.int64]) -> Vector:
        week = ahead % WEEK_HOURS
        position = np.where(ahead < 0, week, np.where(ahead < HOURS, ahead, WEEK_HOURS + week))
        return self.arrays["mean"][at, position].astype(np.float64)

    def _spread(self, at: NDArray[np.int64], ahead: NDArray[np.int64]) -> Vector:
        table = self.arrays["spread"]
        inside = table[at, np.clip(ahead, 0, HOURS - 1)].astype(np.float64)
        beyond = np.maximum(ahead - (HOURS - 1), 0)
        if not beyond.any():
            return inside
        last, week_before = (table[at, i].astype(np.float64) for i in (HOURS - 1, HOURS - 1 - WEEK_HOURS))
        growth = np.maximum(last**2 - week_before**2, 0) / WEEK_HOURS
        return np.sqrt(inside**2 + growth * beyond)


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
    chosen = model if np.ptp(means) > ROUNDING else "ets"  # the others divide by the variance
    with quiet():
        return _MODELS[chosen](len(means)).fit(means)


def _single(fitted: Any) -> Any:
    """The only fitted model of a `StatsForecast`; any other object is a model itself."""
    models = getattr(fitted, "fitted_", None)
    if models is None:
        return fitted
    if models.shape != (1, 1):
        raise NotReducible(f"{models.shape[0]} series and {models.shape[1]} models are not a row; take one of each")
    return models[0, 0]


def _in_sample(fitted: Any, hours: int) -> Vector:
    """The model's one-step prediction for each hour of the history, (hours,)."""
    with quiet():
        in_sample = np.asarray(fitted.predict_in_sample()["fitted"], np.float64)
    if len(in_sample) != hours:
        raise NotReducible(f"it was fitted to {len(in_sample)} observations, not to the history's {hours} hourly means")
    return np.where(np.isfinite(in_sample), in_sample, np.nanmean(in_sample))


def _forecast(fitted: Any) -> tuple[Vector, Vector]:
    """Mean and standard deviation of each hour of the table, both (336,)."""
    with quiet():
        table = fitted.predict(HOURS, level=[ONE_SIGMA])
    mean, low, high = (np.asarray(table.get(key), np.float64) for key in ("mean", f"lo-{ONE_SIGMA}", f"hi-{ONE_SIGMA}"))
    if mean.shape != (HOURS,) or low.shape != mean.shape or not np.isfinite(low + mean + high).all():
        raise NotReducible(f"{type(fitted).__name__} gives no finite bands; use AutoETS, AutoARIMA, AutoTheta or MSTL")
    return mean, (high - low) / 2
