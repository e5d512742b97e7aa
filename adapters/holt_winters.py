"""holt_winters: additive exponential smoothing of statsmodels, with a fixed season and a level updated with each point.

    expected = level + season at the hour + damped trend

Fitting: `ExponentialSmoothing` with an additive season of a day and, if requested, a damped trend, on hourly means with
gaps interpolated. The initial season is the mean of each hour of the day over the whole history, so that only the
smoothing constants are optimised: a hundredth of a second a series.

Serving: the season stays as it was at the end of the history, linear between the middles of the hours. The level goes
on as in the library's recursion. Its smoothing constant alpha is that of an hour; at a step of d hours it is
1 - (1 - alpha)^d, so that old values lose weight as fast as in the library.

The level has a variance, as in the state space form of the recursion (Durbin and Koopman, "Time Series Analysis by
State Space Methods", 2012, section 2.2). It grows with the time since the last point, at the rate at which the
library's forecast variance grows, up to the variance of the level in the history. So a point after a gap corrects the
level by more. Without new values the prediction is the library's forecast. Errors are clipped, so that an incident
moves the level slowly.

The spread is that of one-step errors at the history's own points, which are noisier than hourly means.
"""

from math import sqrt
from typing import Any, ClassVar, NamedTuple, Self

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
    interpolated,
    quiet,
    residual_std,
    step_of,
    unit_of,
    week_profile,
)
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

MIN_HOURS = 3 * DAY_HOURS
ALPHA_BOUNDS = (0.05, 0.95)
"""Of alpha, per hour. If the level were never updated, a lasting shift would alarm for ever."""
VARIANCE_LIMIT_BOUNDS = (0.1, 1e4)
"""Of the limit of the level's variance, in observation variances."""
TREND_HOURS = 14 * DAY_HOURS
"""The trend continues for this long after the history and is constant from then on."""
CLIP = 4.0
FIT_POINTS = 20000
"""The spread is estimated from this many of the latest points."""
FEW_SERIES = 40
"""Up to this many series are filtered one after the other: calling NumPy would take longer than the arithmetic."""
SERIES_AT_ONCE = 2048


class HoltWinters(Model):
    """The state of additive exponential smoothing at the end of the history."""

    library: ClassVar = "statsmodels"
    fitted_types: ClassVar = (
        "statsmodels.tsa.holtwinters.results.HoltWintersResultsWrapper",
        "statsmodels.tsa.holtwinters.results.HoltWintersResults",
        "statsmodels.tsa.exponential_smoothing.ets.ETSResultsWrapper",
        "statsmodels.tsa.exponential_smoothing.ets.ETSResults",
    )
    params: ClassVar = {
        "level": Param("<f8", digits=24),
        "unit": Param("<f8", positive=True, digits=24),
        "season": Param("<f2", (WEEK_HOURS,)),  # in units, of each hour of the week
        "spread": Param("<f4", positive=True, digits=10),  # in units, of one-step errors at `step` once settled
        "wander": Param("<f4", positive=True, digits=7),  # in units, the standard deviation of the level in the history
        "alpha": Param("<f4", positive=True, digits=10),  # the smoothing constant of an hour
        "trend": Param("<f4"),  # in units, the rise in the last hour
        "damping": Param("<f4", positive=True),  # the share of the trend that is left after an hour
        "ended": Param("<i8"),  # the local time of the level
        "step": Param("<i4", positive=True),  # seconds between the history's points
    }

    @classmethod
    def fit(cls, history: Points, *, damped_trend: bool = False) -> Fit[Self]:
        """Additive exponential smoothing of hourly means; three days of points are needed."""
        return fit_each(cls, history, MIN_HOURS, lambda series: cls.reduced(_fitted(series, damped_trend), series))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of additive exponential smoothing, with or without trend and season.

        Args:
            fitted: a result fitted to the hourly means of the history, or to its points if they are regular.
            history: the one series.

        Raises:
            NotReducible: a component is multiplicative, values are transformed, or a week is not whole seasons.
        """
        _require_additive(fitted)
        state = _State.of(fitted, *step_of(len(fitted.level), history))
        spread, wander = _spreads(state, history)
        unit = unit_of(state.season, spread)
        row = {
            "level": state.level,
            "unit": unit,
            "season": state.season / unit,
            "spread": spread / unit,
            "wander": wander / unit,
            "alpha": state.alpha,
            "trend": state.trend / unit,
            "damping": state.damping,
            "ended": state.ended,
            "step": _step(history),
        }
        return {name: np.array([value]) for name, value in row.items()}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step predictions: of each point from those before it."""
        at = np.repeat(rows, points.lengths)
        fixed = self._season_and_trend(at, points.local)
        levels = points.with_values(points.values - fixed)
        level, spread = np.empty_like(fixed), np.empty_like(fixed)
        for first in range(0, len(rows), SERIES_AT_ONCE):
            chunk = np.arange(first, min(first + SERIES_AT_ONCE, len(rows)))
            part = slice(points.offsets[chunk[0]], points.offsets[chunk[-1] + 1])
            level[part], spread[part] = self._filter(rows[chunk], levels.take(chunk))
        return self.banded(points.values, fixed + level, self.half_band(at, spread))

    def _season_and_trend(self, at: NDArray[np.int64], times: NDArray[np.int64]) -> Vector:
        """The season and the trend at each local time, (n,), without the level."""
        row = {name: self.arrays[name][at].astype(np.float64) for name in ("unit", "trend", "damping")}
        trend = np.zeros(len(times))
        if row["trend"].any():
            hours = np.clip((times - self.arrays["ended"][at]) / HOUR, 0, TREND_HOURS)
            trend = row["trend"] * _damped_hours(row["damping"], hours)
        return row["unit"] * (at_times(self.arrays["season"], at, times) + trend)

    def _filter(self, rows: NDArray[np.int64], points: Points) -> tuple[Vector, Vector]:
        """The level and the spread before each point, (n,), of values without season and trend."""
        row = {name: self.arrays[name][rows].astype(np.float64) for name in self.params if name != "season"}
        dynamics = _Dynamics.of(row["alpha"], row["step"], row["unit"] * row["spread"], row["unit"] * row["wander"])
        values = _padded(points, points.values)
        growth = dynamics.growth * _padded(points, _elapsed(points, row["ended"]))
        run = _filter_batch if len(rows) > FEW_SERIES else _filter_each
        level, spread = run(values, growth, row["level"], dynamics)
        inside = np.arange(len(values))[None, :] < points.lengths[:, None]
        return level.T[inside], spread.T[inside]


class _State(NamedTuple):
    """The state of a library's object at the end of its history; trend, damping and alpha are those of an hour."""

    level: float
    trend: float
    damping: float
    season: Vector
    alpha: float
    ended: int

    @classmethod
    def of(cls, fitted: Any, after: int, step: int) -> "_State":
        """The state of a fitted object.

        Args:
            fitted: a result of the library.
            after: the time of the first step after the history.
            step: seconds between the observations it was fitted to.
        """
        trend, damping = _trend(fitted)
        share = HOUR / step
        season = np.zeros(WEEK_HOURS)
        if fitted.model.seasonal:
            season = week_profile(np.asarray(fitted.season)[-fitted.model.seasonal_periods :], after, step)
        hourly_trend = trend * float(_damped_hours(np.array([damping]), np.array([share]))[0])
        hourly = damping**share
        alpha = 1 - (1 - _smoothing(fitted)) ** share
        # An hourly mean is the value of the middle of its hour.
        ended = after - step + (HALF if step == HOUR else 0)
        level = float(np.asarray(fitted.level)[-1])
        return cls(level, hourly_trend / hourly, hourly, season, float(np.clip(alpha, *ALPHA_BOUNDS)), ended)


class _Dynamics(NamedTuple):
    """The local-level model of each series; all (series,), variances in units of the observation variance.

    Attributes:
        settled: the variance after a point, once it has settled; it equals the gain.
        growth: of the variance in a second.
        limit: of the variance.
        noise: the standard deviation of an observation.
    """

    settled: Vector
    growth: Vector
    limit: Vector
    noise: Vector

    @classmethod
    def of(cls, alpha: Vector, step: Vector, spread: Vector, wander: Vector) -> "_Dynamics":
        gain = 1 - (1 - alpha) ** (step / HOUR)
        noise = spread * np.sqrt(1 - gain)  # the settled one-step spread is then `spread`
        limit = np.maximum(np.clip(wander / noise, 1e-8, 1e8) ** 2, VARIANCE_LIMIT_BOUNDS[0])
        limit = np.maximum(np.minimum(limit, VARIANCE_LIMIT_BOUNDS[1]), gain / (1 - gain))
        return cls(gain, gain**2 / (1 - gain) / step, limit, noise)  # the steady state's gain is then `gain`


def _fitted(history: Points, damped_trend: bool) -> Any:
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    _, means = hourly_means(history)
    level = float(means.mean())
    season = np.array([means[hour::DAY_HOURS].mean() for hour in range(DAY_HOURS)]) - level
    trend = {"trend": "add", "damped_trend": True, "initial_trend": 0.0} if damped_trend else {}
    with quiet():
        model = ExponentialSmoothing(
            means,
            seasonal="add",
            seasonal_periods=DAY_HOURS,
            initialization_method="known",
            initial_level=level,
            initial_seasonal=season,
            **trend,
        )
        return model.fit()


def _require_additive(fitted: Any) -> None:
    parts = (fitted.model.trend, fitted.model.seasonal)
    if any(part in ("mul", "multiplicative") for part in parts):
        raise NotReducible("a multiplicative trend or season cannot be a row of holt_winters; use additive ones")
    if isinstance(fitted.params, dict) and (fitted.params["use_boxcox"] or fitted.params["remove_bias"]):
        raise NotReducible("transformed or bias-corrected values cannot be a row; fit with use_boxcox=False")


def _smoothing(fitted: Any) -> float:
    alpha = fitted.params["smoothing_level"] if isinstance(fitted.params, dict) else fitted.smoothing_level
    return float(np.clip(np.nan_to_num(alpha), 0, 1))


def _trend(fitted: Any) -> tuple[float, float]:
    """The trend at the end, per step, and its damping, per step."""
    if not fitted.model.trend:
        return 0.0, 1.0
    simple = isinstance(fitted.params, dict)
    slope = fitted.trend[-1] if simple else np.asarray(fitted.states)[-1, 1]
    if not fitted.model.damped_trend:
        return float(slope), 1.0
    return float(slope), float(fitted.params["damping_trend"] if simple else fitted.damping_trend)


def _damped_hours(damping: Vector, hours: Vector) -> Vector:
    """damping^1 + ... + damping^hours: the trend's rise in this many hours, in its rise of the first, (n,)."""
    damped = damping < 1
    base = np.where(damped, damping, 0.5)
    return np.where(damped, base * (1 - base**hours) / (1 - base), hours)


def _spreads(state: _State, history: Points) -> tuple[float, float]:
    """The spread of one-step errors at the history's latest points, and that of the level around its median."""
    first, means = hourly_means(history)
    zero = np.zeros(1, np.int64)
    hours = (first + np.arange(len(means))) * HOUR + HALF
    levels = means - at_times(state.season[None, :], np.zeros(len(means), np.int64), hours)
    wander = residual_std(levels - np.median(levels))
    recent = history.where(np.arange(len(history.values)) >= len(history.values) - FIT_POINTS)
    season = at_times(state.season[None, :], np.zeros(len(recent.values), np.int64), recent.local)
    unseasonal = recent.values - season
    # The first is 0 for hourly series, whose points are the hourly means; the second is small for smooth series.
    from_hours = residual_std(unseasonal - interpolated(first, levels, recent.local))
    size = max(from_hours, residual_std(np.diff(unseasonal)))
    dynamics = _Dynamics.of(*(np.array([x]) for x in (state.alpha, _step(history), size, wander)))
    start = interpolated(first, levels, recent.local[zero])
    growth = dynamics.growth * _elapsed(recent, recent.local[zero].astype(np.float64))[:, None]
    level, _ = _filter_each(unseasonal[:, None], growth, start, dynamics)
    errors = np.clip(unseasonal - level[:, 0], -CLIP * size, CLIP * size)
    return residual_std(errors), wander


def _filter_batch(values: Matrix, growth: Matrix, level: Vector, dynamics: _Dynamics) -> tuple[Matrix, Matrix]:
    """The level and the spread before each value, (steps, series).

    Args:
        values: without season and trend, (steps, series); NaN is a gap.
        growth: of the level's variance since the step before, (steps, series).
        level: before the first step, (series,).
        dynamics: of each series.
    """
    variance = dynamics.settled
    levels, spreads = np.empty_like(values), np.empty_like(values)
    for step, value in enumerate(values):
        variance = np.minimum(variance + growth[step], dynamics.limit)
        spread = dynamics.noise * np.sqrt(variance + 1)
        levels[step], spreads[step] = level, spread
        present = np.isfinite(value)
        error = np.where(present, value - level, 0.0)
        gain = variance / (variance + 1)
        level = level + gain * np.clip(error, -CLIP * spread, CLIP * spread)
        variance = np.where(present, gain, variance)
    return levels, spreads


def _filter_each(values: Matrix, growth: Matrix, start: Vector, dynamics: _Dynamics) -> tuple[Matrix, Matrix]:
    """The same as `_filter_batch`, to the last bit, one series after the other: twenty times as fast for one."""
    levels, spreads = np.empty_like(values), np.empty_like(values)
    by_series = (start, dynamics.settled, dynamics.limit, dynamics.noise)
    for i, (level, variance, limit, noise) in enumerate(zip(*(array.tolist() for array in by_series), strict=True)):
        steps = []
        for value, grown in zip(values[:, i].tolist(), growth[:, i].tolist(), strict=True):
            variance = variance + grown
            variance = limit if variance > limit else variance
            spread = noise * sqrt(variance + 1)
            steps.append((level, spread))
            if value == value:
                error, clip = value - level, CLIP * spread
                gain = variance / (variance + 1)
                level = level + gain * (clip if error > clip else -clip if error < -clip else error)
                variance = gain
        if steps:
            levels[:, i], spreads[:, i] = zip(*steps, strict=True)
    return levels, spreads


def _elapsed(points: Points, since: Vector) -> Vector:
    """Seconds since the point before, (n,), not negative; of the first of series i since local time `since[i]`."""
    before = np.empty(len(points.timestamps))
    before[1:] = points.timestamps[:-1]
    filled = points.lengths > 0
    first = points.offsets[:-1][filled]
    before[first] = since[filled] + (points.timestamps - points.local)[first]
    return np.maximum(points.timestamps - before, 0.0)


def _padded(points: Points, flat: Vector) -> Matrix:
    """A value for each point as a (longest, series) matrix, NaN below the end of a series."""
    matrix = np.full((len(points), int(points.lengths.max(initial=0))), np.nan)
    matrix[np.arange(matrix.shape[1])[None, :] < points.lengths[:, None]] = flat
    return np.ascontiguousarray(matrix.T)


def _step(history: Points) -> int:
    return max(int(np.median(np.diff(history.timestamps))), 1)
