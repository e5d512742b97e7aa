"""prophet: Prophet's trend with changepoints, Fourier seasonalities and holidays, evaluated without Prophet.

    expected = trend * (1 + multiplicative terms) + additive terms
    spread^2 = spread in the history^2 + 2 b^2 S d^3 / 3

Fitting: maximum a posteriori in Stan, on hourly means with gaps interpolated; a fifth of a second a series.

Serving: the fitted coefficients. Prophet divides values by the largest one and scales times to 0..1 over the history.
The row has both scales, and all its other arrays are in these units. The expected value is Prophet's, to the digits of
a float32. A row has the holidays from a week before the end of the history to a year after it, and none later.

The spread in the history is that of its points around the curve, because they are noisier than hourly means. It grows
after the history, at scaled time 1 + d, as in Prophet's simulated trends: S is the number of changepoints in the
history and b the mean absolute change of the slope, the scale of the Laplace distribution of future ones.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._hourly import DAY_HOURS, HALF, HOUR, WEEK_HOURS, fit_each, hourly_means, quiet, residual_std
from myriad.models.arrays import Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

DAY = DAY_HOURS * HOUR
MIN_HOURS = 3 * DAY_HOURS
CHANGEPOINTS, WAVES, HOLIDAYS = 25, 32, 40
"""The most of each in a row. A wave is one term of a Fourier series."""
DAYS_BEFORE, DAYS_AFTER = 7, 366
MOST_PERIODS = 100.0
"""In lengths of the history: the variance of the trend is constant from then on."""
SEED = 0


class Prophet(Model):
    """The coefficients of a fitted Prophet."""

    library: ClassVar = "prophet"
    fitted_types: ClassVar = ("prophet.forecaster.Prophet",)
    params: ClassVar = {
        "level": Param("<f8"),  # the trend at the start of the history
        "unit": Param("<f8", positive=True),  # Prophet's scale of values, the unit of all arrays below
        "start": Param("<f8"),  # the time at scaled time 0
        "length": Param("<f8", positive=True),  # seconds from scaled time 0 to 1
        "slope": Param("<f8", digits=32),
        "turn": Param("<f4", (CHANGEPOINTS,)),  # the change of the slope at each changepoint, 0 if unused
        "turned": Param("<f4", (CHANGEPOINTS,)),  # the scaled time of each changepoint
        "period": Param("<f8", (WAVES,)),  # in seconds, 0 if unused
        "sine": Param("<f4", (WAVES,)),
        "cosine": Param("<f4", (WAVES,)),
        "times": Param("|u1", (WAVES,)),  # 1 if the wave is multiplicative
        "day": Param("<i4", (HOLIDAYS,)),  # days since the epoch, ascending, then unused ones
        "adds": Param("<f4", (HOLIDAYS,)),  # its additive effect
        "multiplies": Param("<f4", (HOLIDAYS,)),  # its multiplicative effect
        "spread": Param("<f4", positive=True, digits=10),
        "drift": Param("<f4"),  # the variance of the trend at scaled time 2
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
            country_holidays: the country whose holidays are used, by its code in Prophet: `US`, `DE`.
        """
        if growth not in ("linear", "flat"):
            raise ValueError(f"growth is {growth!r}; it can be linear or flat")
        options = {"growth": growth, "seasonality_mode": seasonality_mode, "n_changepoints": changepoints}
        return fit_each(
            cls, history, MIN_HOURS, lambda series: cls.reduced(_fitted(series, options, country_holidays), series)
        )

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a fitted Prophet.

        Args:
            fitted: a Prophet fitted to the hourly means of the history, its points or others of the series, in UTC.
            history: the one series.

        Raises:
            NotReducible: it has logistic growth, regressors or conditional seasonalities, or does not fit into a row.
        """
        _require_reducible(fitted)
        effects, (changepoints, drift) = _coefficients(fitted), _changepoints(fitted)
        scale = float(fitted.y_scale)
        floor = float(fitted.y_min) if fitted.scaling == "minmax" else 0.0
        row = {
            "level": floor + scale * float(np.nanmean(fitted.params["m"])),
            "unit": scale,
            "start": fitted.start.value / 1e9,
            "length": fitted.t_scale.total_seconds(),
            "slope": float(np.nanmean(fitted.params["k"])) if fitted.growth == "linear" else 0.0,
            **changepoints,
            **_waves(fitted, effects),
            **_holidays(fitted, effects, int(history.local.max()) // DAY),
            "spread": 1.0,
            "drift": drift,
        }
        arrays = {name: np.array([value]) for name, value in row.items()}
        residuals = history.values - cls.uncalibrated(arrays)._expected(
            np.zeros(len(history.values), np.int64), history
        )
        return arrays | {"spread": np.array([residual_std(residuals / scale)])}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """Prophet's prediction for each point's time."""
        at = np.repeat(rows, points.lengths)
        expected = self._expected(at, points)
        later = np.clip(self._scaled(at, points.local) - 1, 0, MOST_PERIODS)
        spread = np.sqrt(self.arrays["spread"][at].astype(np.float64) ** 2 + self.arrays["drift"][at] * later**3)
        return self.banded(points.values, expected, self.half_band(at, self.arrays["unit"][at] * spread))

    def _scaled(self, at: NDArray[np.int64], times: NDArray[np.int64]) -> Vector:
        return (times - self.arrays["start"][at]) / self.arrays["length"][at]

    def _expected(self, at: NDArray[np.int64], points: Points) -> Vector:
        unit = self.arrays["unit"][at]
        trend = self.arrays["level"][at] + unit * self._rise(at, self._scaled(at, points.local))
        additive, multiplicative = self._seasons(at, points.local)
        self._add_holidays(at, points.local // DAY, additive, multiplicative)
        return trend * (1 + multiplicative) + unit * additive

    def _rise(self, at: NDArray[np.int64], scaled: Vector) -> Vector:
        """The rise of the trend since the start of the history, (n,)."""
        rise = self.arrays["slope"][at] * scaled
        for column in range(CHANGEPOINTS):
            change = self.arrays["turn"][at, column]
            if change.any():
                rise += change * np.maximum(scaled - self.arrays["turned"][at, column], 0)
        return rise

    def _seasons(self, at: NDArray[np.int64], times: NDArray[np.int64]) -> tuple[Vector, Vector]:
        """The sums of the additive and of the multiplicative seasonalities, (n,)."""
        additive, multiplicative = np.zeros(len(times)), np.zeros(len(times))
        for column in range(WAVES):
            period = self.arrays["period"][at, column]
            if not period.any():
                break
            divisor = np.where(period > 0, period, DAY)
            phase = 2 * np.pi * (times % divisor) / divisor
            wave = np.sin(phase) * self.arrays["sine"][at, column] + np.cos(phase) * self.arrays["cosine"][at, column]
            is_multiplicative = self.arrays["times"][at, column] > 0
            multiplicative += np.where(is_multiplicative, wave, 0.0)
            additive += np.where(is_multiplicative, 0.0, wave)
        return additive, multiplicative

    def _add_holidays(
        self, at: NDArray[np.int64], days: NDArray[np.int64], additive: Vector, multiplicative: Vector
    ) -> None:
        """Add the effects of holidays, in place."""
        if not (self.arrays["adds"][at, 0].any() or self.arrays["multiplies"][at, 0].any()):
            return
        for column in range(HOLIDAYS):
            today = self.arrays["day"][at, column] == days
            if today.any():
                additive[today] += self.arrays["adds"][at[today], column]
                multiplicative[today] += self.arrays["multiplies"][at[today], column]


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
    if any(seasonality["condition_name"] for seasonality in fitted.seasonalities.values()):
        raise NotReducible("conditions of a seasonality are values that posted points do not have; fit without them")
    if fitted.history is None:
        raise NotReducible("it has not been fitted yet; call fit")


def _changepoints(fitted: Any) -> tuple[dict[str, Vector], float]:
    """The arrays of the changepoints, and the variance of the trend at scaled time 2."""
    times = np.asarray(fitted.changepoints_t, np.float64)
    changes = np.nanmean(fitted.params["delta"], axis=0)
    if len(times) > CHANGEPOINTS:
        raise NotReducible(f"it has {len(times)} changepoints, a row has {CHANGEPOINTS}; use n_changepoints")
    if fitted.growth == "flat":
        return {"turn": np.zeros(CHANGEPOINTS), "turned": np.zeros(CHANGEPOINTS)}, 0.0
    drift = 2 * np.abs(changes).mean() ** 2 * len(times) / 3
    return {"turn": _filled(changes, CHANGEPOINTS), "turned": _filled(times, CHANGEPOINTS)}, float(drift)


def _waves(fitted: Any, effects: dict[str, float]) -> dict[str, Vector]:
    waves = list(_each_wave(fitted, effects))
    if len(waves) > WAVES:
        raise NotReducible(f"its seasonalities have {len(waves)} terms, a row has {WAVES}; use lower Fourier orders")
    columns = np.array(waves, np.float64).reshape(-1, 4).T
    return {name: _filled(column, WAVES) for name, column in zip(_Wave._fields, columns, strict=True)}


def _each_wave(fitted: Any, effects: dict[str, float]) -> Iterator[_Wave]:
    for name, seasonality in fitted.seasonalities.items():
        for order in range(seasonality["fourier_order"]):
            sine, cosine = (effects[f"{name}_delim_{2 * order + i}"] for i in (1, 2))
            multiplicative = int(seasonality["mode"] == "multiplicative")
            yield _Wave(seasonality["period"] * DAY / (order + 1), sine, cosine, multiplicative)


def _holidays(fitted: Any, effects: dict[str, float], last_day: int) -> dict[str, Vector]:
    """The days with an effect around and after the last day of the history."""
    days = np.arange(last_day - DAYS_BEFORE, last_day + DAYS_AFTER)
    effect = _holiday_effects(fitted, effects, days)
    holidays = np.flatnonzero(effect)
    if len(holidays) > HOLIDAYS:
        raise NotReducible(f"{len(holidays)} days of the year are holidays, a row has {HOLIDAYS}; use fewer")
    # Unused days are -1, which no point has.
    arrays = {"day": np.full(HOLIDAYS, -1), "adds": np.zeros(HOLIDAYS), "multiplies": np.zeros(HOLIDAYS)}
    arrays["day"][: len(holidays)] = days[holidays]
    mode = "multiplies" if fitted.holidays_mode == "multiplicative" else "adds"
    arrays[mode][: len(holidays)] = effect[holidays]
    return arrays


def _holiday_effects(fitted: Any, effects: dict[str, float], days: NDArray[np.int64]) -> Vector:
    """The sum of the effects of all holidays on each day, (days,)."""
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
