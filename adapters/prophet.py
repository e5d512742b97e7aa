"""prophet: Prophet's trend with changepoints, Fourier seasonalities and holidays, evaluated without Prophet.

What the library fits: hourly means, gaps interpolated, by maximum a posteriori in Stan; a fifth of a second a series.

What is served: the fitted coefficients as they are. Prophet scales values by the largest one and times to 0..1 over the
history; the row keeps both scales, and everything else is in them. Trend, seasonalities and holidays are what Prophet
would predict, to the digits of a float32. Changepoints have a slope each; holidays are days with an effect, from a week
before the end of the history to a year after it; what Prophet would say of later ones is not known.

The spread is that of the history's points around the curve, as they are noisier than hourly means. After the history
it grows as Prophet's simulated trends do: there, changepoints go on at the rate of the history with slopes of a Laplace
distribution of the fitted scale b, so that for S of them in the history the trend's variance at scaled time 1 + d is
2 b^2 S d^3 / 3.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._hourly import DAY_HOURS, HALF, HOUR, WEEK_HOURS, deviation, fit_each, hourly_means, quiet
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

DAY = DAY_HOURS * HOUR
MIN_HOURS = 3 * DAY_HOURS
CHANGEPOINTS, WAVES, HOLIDAYS = 25, 32, 40
"""How many of each a row has room for; a wave is one term of a Fourier series."""
DAYS_BEFORE, DAYS_AFTER = 7, 366
MOST_PERIODS = 100.0
"""The variance of the trend does not grow any more after so many times the length of the history."""
SEED = 0

Vector = NDArray[np.float64]


class Prophet(Model):
    """The coefficients of a fitted Prophet."""

    library: ClassVar = "prophet"
    fitted_types: ClassVar = ("prophet.forecaster.Prophet",)
    params: ClassVar = {
        "level": Param("<f8"),  # the trend at the start of the history
        "unit": Param("<f8", positive=True),  # Prophet's scale of values; in it is everything below
        "start": Param("<f8"),  # when scaled time is 0
        "length": Param("<f8", positive=True),  # seconds of 1 of scaled time
        "slope": Param("<f8", digits=32),
        "turn": Param("<f4", (CHANGEPOINTS,)),  # the slope that a changepoint adds, 0 where there is none
        "turned": Param("<f4", (CHANGEPOINTS,)),  # when, in scaled time
        "period": Param("<f8", (WAVES,)),  # in seconds, 0 where there is no wave
        "sine": Param("<f4", (WAVES,)),
        "cosine": Param("<f4", (WAVES,)),
        "times": Param("|u1", (WAVES,)),  # 1 where the wave is a share of the trend
        "day": Param("<i4", (HOLIDAYS,)),  # from the epoch, rising, those that are not used at the end
        "adds": Param("<f4", (HOLIDAYS,)),  # what the day adds
        "multiplies": Param("<f4", (HOLIDAYS,)),  # what the day adds as a share of the trend
        "spread": Param("<f4", positive=True, digits=10),
        "drift": Param("<f4"),  # the variance of the trend when d is 1
    }

    @classmethod
    def fit(
        cls,
        history: Points,
        *,
        growth: str = "linear",
        seasonality_mode: str = "additive",
        changepoints: int = CHANGEPOINTS,
        country_holidays: str | None = None,
    ) -> Fit[Self]:
        """Prophet of hourly means; three days of points are needed.

        Args:
            history: tidied points, values finite.
            growth: of the trend, `linear` or `flat`.
            seasonality_mode: `additive` or `multiplicative`.
            changepoints: at most 25.
            country_holidays: the country whose holidays are used, as Prophet calls it: `US`, `DE`.
        """
        if growth not in ("linear", "flat"):
            raise ValueError(f"growth is {growth!r}; it can be linear or flat")
        options = {"growth": growth, "seasonality_mode": seasonality_mode, "n_changepoints": changepoints}
        return fit_each(cls, history, MIN_HOURS, lambda one: cls.reduced(_fitted(one, options, country_holidays), one))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a fitted Prophet.

        Args:
            fitted: to the hourly means of the history, to its points or to others of the same series, in UTC.
            history: the one series.

        Raises:
            NotReducible: it has logistic growth, regressors, conditional seasonalities or more than a row has room for.
        """
        _require_reducible(fitted)
        effects, (turns, drift) = _coefficients(fitted), _turns(fitted)
        scale = float(fitted.y_scale)
        floor = float(fitted.y_min) if fitted.scaling == "minmax" else 0.0
        row = {
            "level": floor + scale * float(np.nanmean(fitted.params["m"])),
            "unit": scale,
            "start": fitted.start.value / 1e9,
            "length": fitted.t_scale.total_seconds(),
            "slope": float(np.nanmean(fitted.params["k"])) if fitted.growth == "linear" else 0.0,
            **turns,
            **_waves(fitted, effects),
            **_holidays(fitted, effects, int(history.timestamps[-1]) // DAY),
            "spread": 1.0,
            "drift": drift,
        }
        arrays = {name: np.array([value]) for name, value in row.items()}
        off = history.values - cls.uncalibrated(arrays)._expected(np.zeros(len(history.values), np.int64), history)
        return arrays | {"spread": np.array([deviation(off / scale)])}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """What Prophet would say of each point's time."""
        at = np.repeat(rows, points.lengths)
        expected = self._expected(at, points)
        later = np.clip(self._scaled(at, points.timestamps) - 1, 0, MOST_PERIODS)
        spread = np.sqrt(self.arrays["spread"][at].astype(np.float64) ** 2 + self.arrays["drift"][at] * later**3)
        return self.banded(points.values, expected, self.half_band(at, self.arrays["unit"][at] * spread))

    def _scaled(self, at: NDArray[np.int64], times: NDArray[np.int64]) -> Vector:
        return (times - self.arrays["start"][at]) / self.arrays["length"][at]

    def _expected(self, at: NDArray[np.int64], points: Points) -> Vector:
        unit = self.arrays["unit"][at]
        trend = self.arrays["level"][at] + unit * self._risen(at, self._scaled(at, points.timestamps))
        added, share = self._seasons(at, points.timestamps)
        self._add_holidays(at, points.timestamps // DAY, added, share)
        return trend * (1 + share) + unit * added

    def _risen(self, at: NDArray[np.int64], scaled: Vector) -> Vector:
        """How far the trend has risen since the start of the history."""
        risen = self.arrays["slope"][at] * scaled
        for column in range(CHANGEPOINTS):
            turn = self.arrays["turn"][at, column]
            if turn.any():
                risen += turn * np.maximum(scaled - self.arrays["turned"][at, column], 0)
        return risen

    def _seasons(self, at: NDArray[np.int64], times: NDArray[np.int64]) -> tuple[Vector, Vector]:
        """What the seasonalities add, and what they add as shares of the trend."""
        added, share = np.zeros(len(times)), np.zeros(len(times))
        for column in range(WAVES):
            period = self.arrays["period"][at, column]
            if not period.any():
                break
            there = np.where(period > 0, period, DAY)
            phase = 2 * np.pi * (times % there) / there
            wave = np.sin(phase) * self.arrays["sine"][at, column] + np.cos(phase) * self.arrays["cosine"][at, column]
            multiplies = self.arrays["times"][at, column] > 0
            share += np.where(multiplies, wave, 0.0)
            added += np.where(multiplies, 0.0, wave)
        return added, share

    def _add_holidays(self, at: NDArray[np.int64], days: NDArray[np.int64], added: Vector, share: Vector) -> None:
        if not (self.arrays["adds"][at, 0].any() or self.arrays["multiplies"][at, 0].any()):
            return
        for column in range(HOLIDAYS):
            today = self.arrays["day"][at, column] == days
            if today.any():
                added[today] += self.arrays["adds"][at[today], column]
                share[today] += self.arrays["multiplies"][at[today], column]


class _Wave(NamedTuple):
    """A term of a Fourier series."""

    period: float
    sine: float
    cosine: float
    times: int


def _fitted(history: Points, options: dict[str, Any], country: str | None) -> Any:
    with quiet("prophet.plot"):
        import pandas as pd
        import prophet

    first, means = hourly_means(history)
    hours = pd.to_datetime((first + np.arange(len(means))) * HOUR + HALF, unit="s")
    with quiet("prophet", "cmdstanpy"):
        model = prophet.Prophet(
            uncertainty_samples=0,
            daily_seasonality=True,
            weekly_seasonality=len(means) >= 2 * WEEK_HOURS,
            yearly_seasonality="auto",
            **options,
        )
        if country:
            model.add_country_holidays(country)
        return model.fit(pd.DataFrame({"ds": hours, "y": means}), seed=SEED)


def _require_reducible(fitted: Any) -> None:
    if fitted.growth == "logistic":
        raise NotReducible("logistic growth has a capacity for every time, which a row has not; use linear or flat")
    if fitted.extra_regressors:
        raise NotReducible("regressors are values that posted points do not have; fit without them")
    if any(one["condition_name"] for one in fitted.seasonalities.values()):
        raise NotReducible("conditions of a seasonality are values that posted points do not have; fit without them")
    if fitted.history is None:
        raise NotReducible("it has not been fitted yet; call fit")


def _turns(fitted: Any) -> tuple[dict[str, Vector], float]:
    """The changepoints, and by how much the trend's variance grows after the history."""
    times = np.asarray(fitted.changepoints_t, np.float64)
    turns = np.nanmean(fitted.params["delta"], axis=0)
    if len(times) > CHANGEPOINTS:
        raise NotReducible(f"it has {len(times)} changepoints, a row has {CHANGEPOINTS}; use n_changepoints")
    if fitted.growth == "flat":
        return {"turn": np.zeros(CHANGEPOINTS), "turned": np.zeros(CHANGEPOINTS)}, 0.0
    drift = 2 * np.abs(turns).mean() ** 2 * len(times) / 3
    return {"turn": _filled(turns, CHANGEPOINTS), "turned": _filled(times, CHANGEPOINTS)}, float(drift)


def _waves(fitted: Any, effects: dict[str, float]) -> dict[str, Vector]:
    waves = list(_each_wave(fitted, effects))
    if len(waves) > WAVES:
        raise NotReducible(f"its seasonalities have {len(waves)} terms, a row has {WAVES}; use lower Fourier orders")
    columns = np.array(waves, np.float64).reshape(-1, 4).T
    return {name: _filled(column, WAVES) for name, column in zip(_Wave._fields, columns, strict=True)}


def _each_wave(fitted: Any, effects: dict[str, float]) -> Iterator[_Wave]:
    for name, one in fitted.seasonalities.items():
        for order in range(one["fourier_order"]):
            sine, cosine = (effects[f"{name}_delim_{2 * order + i}"] for i in (1, 2))
            yield _Wave(one["period"] * DAY / (order + 1), sine, cosine, int(one["mode"] == "multiplicative"))


def _holidays(fitted: Any, effects: dict[str, float], last_day: int) -> dict[str, Vector]:
    """The days with an effect around and after the last day of the history."""
    days = np.arange(last_day - DAYS_BEFORE, last_day + DAYS_AFTER)
    effect = _holiday_effects(fitted, effects, days)
    some = np.flatnonzero(effect)
    if len(some) > HOLIDAYS:
        raise NotReducible(f"{len(some)} days of the year are holidays, a row has {HOLIDAYS}; use fewer")
    # Days before all others: a place that is not used is found by nobody.
    places = {"day": np.full(HOLIDAYS, -1), "adds": np.zeros(HOLIDAYS), "multiplies": np.zeros(HOLIDAYS)}
    places["day"][: len(some)] = days[some]
    places["multiplies" if fitted.holidays_mode == "multiplicative" else "adds"][: len(some)] = effect[some]
    return places


def _holiday_effects(fitted: Any, effects: dict[str, float], days: NDArray[np.int64]) -> Vector:
    """What all holidays together do on each day."""
    import pandas as pd

    if fitted.holidays is None and fitted.country_holidays is None:
        return np.zeros(len(days))
    dates = pd.Series(pd.to_datetime(days, unit="D"))
    with quiet():
        columns, _, _ = fitted.make_holiday_features(dates, fitted.construct_holiday_dataframe(dates))
    return np.sum([columns[name].to_numpy() * effects[name] for name in columns], axis=0)


def _coefficients(fitted: Any) -> dict[str, float]:
    """The coefficient of each of Prophet's features, by name."""
    mean = np.nanmean(np.asarray(fitted.params["beta"]), axis=0)
    with quiet():
        features, *_ = fitted.make_all_seasonality_features(fitted.history)
    return dict(zip(features.columns, mean.tolist(), strict=True))


def _filled(values: Vector, length: int) -> Vector:
    filled = np.zeros(length)
    filled[: len(values)] = values
    return filled
