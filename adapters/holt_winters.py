"""holt_winters: exponential smoothing of statsmodels; what is usual at this hour, on a level that follows the points.

What the library fits: hourly means, gaps interpolated, by `ExponentialSmoothing` with an additive season of a day and,
if asked for, a damped trend. The season it starts with is the mean of each hour of the day over the whole history, so
that only the smoothing constants are left to optimise: a hundredth of a second a series.

What is served: the season as it stood at the end (linear between the middles of the hours, no longer updated), and the
library's recursion for the level, carried on over the posted points. Its smoothing constant belongs to an hour; at the
history's own step of d hours it is 1 - (1 - alpha)^d, so that the level forgets as fast as the library's. As in the
state space form of the same recursion (Durbin and Koopman, "Time Series Analysis by State Space Methods", 2012, section
2.2), the level becomes less certain with the time since it was last seen, by as much as the library's own forecast
variance grows, up to how far the level strayed in the history; a point after a gap or at a longer step then corrects it
by more. Without posted values the prediction is the library's forecast. Errors are clipped, so that an incident moves
the level slowly.

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
    deviation,
    fit_each,
    hourly_means,
    interpolated,
    quiet,
    step_of,
    unit_of,
    week_profile,
)
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

MIN_HOURS = 3 * DAY_HOURS
ALPHA_BOUNDS = (0.05, 0.95)
"""Per hour: a level that is never followed would make a lasting shift an alarm for ever."""
CERTAINTY_BOUNDS = (0.1, 1e4)
"""The largest variance of the level, in variances of an observation, is at least and at most this."""
TREND_HOURS = 14 * DAY_HOURS
"""A trend goes on for this long after the history, and then stays where it is."""
CLIP = 4.0
FIT_POINTS = 20000
"""The spread is measured on this many of the latest points."""
FEW_SERIES = 40
"""Up to so many series are followed one after the other: NumPy's calls would cost more than the arithmetic."""
SERIES_AT_ONCE = 2048

Vector = NDArray[np.float64]


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
        "wander": Param("<f4", positive=True, digits=7),  # in units, how far the level strayed
        "alpha": Param("<f4", positive=True, digits=10),  # the smoothing constant of an hour
        "trend": Param("<f4"),  # in units, the rise in an hour at the end
        "damping": Param("<f4", positive=True),  # what is left of the trend after an hour
        "ended": Param("<i8"),  # when the level was as it is
        "step": Param("<i4", positive=True),  # seconds between the history's points
    }

    @classmethod
    def fit(cls, history: Points, *, damped_trend: bool = False) -> Fit[Self]:
        """Additive exponential smoothing of hourly means; three days of points are needed."""
        return fit_each(cls, history, MIN_HOURS, lambda one: cls.reduced(_fitted(one, damped_trend), one))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of additive exponential smoothing, with or without trend and season.

        Args:
            fitted: to the hourly means of the history, or to its points if they are regular.
            history: the one series.

        Raises:
            NotReducible: something in it is multiplicative or transformed, or its season does not fit into a week.
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
        """One-step forecasts: what was expected of each point from those before it."""
        at = np.repeat(rows, points.lengths)
        usual = self._usual(at, points.timestamps)
        left = points.with_values(points.values - usual)
        level, spread = np.empty_like(usual), np.empty_like(usual)
        for first in range(0, len(rows), SERIES_AT_ONCE):
            chunk = np.arange(first, min(first + SERIES_AT_ONCE, len(rows)))
            part = slice(points.offsets[chunk[0]], points.offsets[chunk[-1] + 1])
            level[part], spread[part] = self._follow(rows[chunk], left.take(chunk))
        return self.banded(points.values, usual + level, self.half_band(at, spread))

    def _usual(self, at: NDArray[np.int64], times: NDArray[np.int64]) -> Vector:
        """What season and trend add to the level."""
        chosen = {name: self.arrays[name][at].astype(np.float64) for name in ("unit", "trend", "damping")}
        risen = np.zeros(len(times))
        if chosen["trend"].any():
            hours = np.clip((times - self.arrays["ended"][at]) / HOUR, 0, TREND_HOURS)
            risen = chosen["trend"] * _damped_hours(chosen["damping"], hours)
        return chosen["unit"] * (at_times(self.arrays["season"], at, times) + risen)

    def _follow(self, rows: NDArray[np.int64], points: Points) -> tuple[Vector, Vector]:
        row = {name: self.arrays[name][rows].astype(np.float64) for name in self.params if name != "season"}
        path = _Path.of(row["alpha"], row["step"], row["unit"] * row["spread"], row["unit"] * row["wander"])
        values, grown = _padded(points, points.values), path.growth * _padded(points, _elapsed(points, row["ended"]))
        run = _run_together if len(rows) > FEW_SERIES else _run_each
        level, spread = run(values, grown, row["level"], path)
        inside = np.arange(len(values))[None, :] < points.lengths[:, None]
        return level.T[inside], spread.T[inside]


class _State(NamedTuple):
    """What a library's object says of the time after its history."""

    level: float
    trend: float
    damping: float
    season: Vector
    alpha: float
    ended: int

    @classmethod
    def of(cls, fitted: Any, after: int, step: int) -> "_State":
        """The same state with an hour's trend, damping and smoothing, given the first time after the history."""
        trend, damping = _trend(fitted)
        share = HOUR / step
        season = np.zeros(WEEK_HOURS)
        if fitted.model.seasonal:
            season = week_profile(np.asarray(fitted.season)[-fitted.model.seasonal_periods :], after, step)
        hourly_trend = trend * float(_damped_hours(np.array([damping]), np.array([share]))[0])
        hourly = damping**share
        alpha = 1 - (1 - _smoothing(fitted)) ** share
        # An observation stands for its whole step, hour means for instance for the middle of the hour.
        ended = after - step + (HALF if step == HOUR else 0)
        level = float(np.asarray(fitted.level)[-1])
        return cls(level, hourly_trend / hourly, hourly, season, float(np.clip(alpha, *ALPHA_BOUNDS)), ended)


class _Path(NamedTuple):
    """How the level of each series is followed, all (series,); variances are in those of an observation."""

    settled: Vector
    growth: Vector
    most: Vector
    noise: Vector

    @classmethod
    def of(cls, alpha: Vector, step: Vector, spread: Vector, wander: Vector) -> "_Path":
        gain = 1 - (1 - alpha) ** (step / HOUR)
        noise = spread * np.sqrt(1 - gain)  # the settled one-step spread is then `spread`
        most = np.maximum(np.clip(wander / noise, 1e-8, 1e8) ** 2, CERTAINTY_BOUNDS[0])
        most = np.maximum(np.minimum(most, CERTAINTY_BOUNDS[1]), gain / (1 - gain))
        return cls(gain, gain**2 / (1 - gain) / step, most, noise)  # the steady state's gain is then `gain`


def _fitted(history: Points, damped_trend: bool) -> Any:
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    _, means = hourly_means(history)
    level = float(means.mean())
    usual = np.array([means[hour::DAY_HOURS].mean() for hour in range(DAY_HOURS)]) - level
    trend = {"trend": "add", "damped_trend": True, "initial_trend": 0.0} if damped_trend else {}
    with quiet():
        model = ExponentialSmoothing(
            means,
            seasonal="add",
            seasonal_periods=DAY_HOURS,
            initialization_method="known",
            initial_level=level,
            initial_seasonal=usual,
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
    """The trend of a step at the end, and what is left of it after another."""
    if not fitted.model.trend:
        return 0.0, 1.0
    simple = isinstance(fitted.params, dict)
    slope = fitted.trend[-1] if simple else np.asarray(fitted.states)[-1, 1]
    if not fitted.model.damped_trend:
        return float(slope), 1.0
    return float(slope), float(fitted.params["damping_trend"] if simple else fitted.damping_trend)


def _damped_hours(damping: Vector, hours: Vector) -> Vector:
    """The sum of the powers of the damping from the first to that of the hours: how often the trend adds itself."""
    damped = damping < 1
    base = np.where(damped, damping, 0.5)
    return np.where(damped, base * (1 - base**hours) / (1 - base), hours)


def _spreads(state: _State, history: Points) -> tuple[float, float]:
    """The spread of one-step errors at the history's latest points, and that of the level around its usual."""
    first, means = hourly_means(history)
    zero = np.zeros(1, np.int64)
    hours = (first + np.arange(len(means))) * HOUR + HALF
    levels = means - at_times(state.season[None, :], np.zeros(len(means), np.int64), hours)
    wander = deviation(levels - np.median(levels))
    recent = history.where(np.arange(len(history.values)) >= len(history.values) - FIT_POINTS)
    usual = at_times(state.season[None, :], np.zeros(len(recent.values), np.int64), recent.timestamps)
    left = recent.values - usual
    # A smooth series hardly differs from the point before, an hourly one not at all from its hour's mean.
    size = max(deviation(left - interpolated(first, levels, recent.timestamps)), deviation(np.diff(left)))
    path = _Path.of(*(np.array([x]) for x in (state.alpha, _step(history), size, wander)))
    start = interpolated(first, levels, recent.timestamps[zero])
    grown = path.growth * _elapsed(recent, recent.timestamps[zero].astype(np.float64))[:, None]
    level, _ = _run_each(left[:, None], grown, start, path)
    errors = np.clip(left - level[:, 0], -CLIP * size, CLIP * size)
    return deviation(errors), wander


def _run_together(values: Vector, grown: Vector, level: Vector, path: _Path) -> tuple[Vector, Vector]:
    """Levels and spreads before each observation, (steps, series), over values of that shape, NaN = gap.

    `grown` is by how much the level has become less certain since the step before.
    """
    variance = path.settled
    levels, spreads = np.empty_like(values), np.empty_like(values)
    for step, observed in enumerate(values):
        variance = np.minimum(variance + grown[step], path.most)
        spread_now = path.noise * np.sqrt(variance + 1)
        levels[step], spreads[step] = level, spread_now
        there = np.isfinite(observed)
        error = np.where(there, observed - level, 0.0)
        gain = variance / (variance + 1)
        level = level + gain * np.clip(error, -CLIP * spread_now, CLIP * spread_now)
        variance = np.where(there, gain, variance)
    return levels, spreads


def _run_each(values: Vector, grown: Vector, levels: Vector, path: _Path) -> tuple[Vector, Vector]:
    """As `_run_together`, to the last bit, one series after the other: twenty times as fast for one."""
    expected, spreads = np.empty_like(values), np.empty_like(values)
    starts = zip(levels.tolist(), *(part.tolist() for part in (path.settled, path.most, path.noise)), strict=True)
    for i, (level, variance, most, noise) in enumerate(starts):
        steps = []
        for observed, more in zip(values[:, i].tolist(), grown[:, i].tolist(), strict=True):
            variance = variance + more
            variance = most if variance > most else variance
            spread_now = noise * sqrt(variance + 1)
            steps.append((level, spread_now))
            if observed == observed:
                error, limit = observed - level, CLIP * spread_now
                gain = variance / (variance + 1)
                level = level + gain * (limit if error > limit else -limit if error < -limit else error)
                variance = gain
        if steps:
            expected[:, i], spreads[:, i] = zip(*steps, strict=True)
    return expected, spreads


def _elapsed(points: Points, since: Vector) -> Vector:
    """Seconds since the point before, for the first since the series' own time, (n,); never negative."""
    before = np.empty(len(points.timestamps))
    before[1:] = points.timestamps[:-1]
    some = points.lengths > 0
    before[points.offsets[:-1][some]] = since[some]
    return np.maximum(points.timestamps - before, 0.0)


def _padded(points: Points, flat: Vector) -> Vector:
    """Flat values as a (longest, series) matrix, NaN below the end of a series."""
    matrix = np.full((len(points), int(points.lengths.max(initial=0))), np.nan)
    matrix[np.arange(matrix.shape[1])[None, :] < points.lengths[:, None]] = flat
    return np.ascontiguousarray(matrix.T)


def _step(history: Points) -> int:
    return max(int(np.median(np.diff(history.timestamps))), 1)
