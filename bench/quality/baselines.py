"""Baselines: what anybody would try first, with thresholds from the same calibration as ours.

Each is a function of a series' times and values and where its train part ends. It says of every later point how far
off it is and what spread that is measured in, from nothing but the train part and the points up to that one.
"""

import importlib
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models import calibration
from myriad.models.arrays import Vector
from myriad.models.points import Points
from myriad.models.robust import MAD_TO_STD, ROUNDING, mad

DAY, HOUR, HOURS = 86400, 3600, 24
SMALLEST = 1e-150
"""Of spreads: its square still is more than 0."""

FOREST_WINDOW, FOREST_TREES, FOREST_WINDOWS = 10, 50, 5000
RESIDUAL_WINDOW, RESIDUAL_AHEAD, RESIDUAL_SLOPES, RESIDUAL_LEVEL = 123, 5, 5, 21
AT_ONCE = 8192

Times = NDArray[np.int64]


class Off(NamedTuple):
    """How far off each point is, and the spread that is measured in, both (n,).

    Where `size` is in the unit of the series, a deviation below calibration's floor never scores 1, as with ours.
    """

    size: Vector
    spread: Vector
    in_unit: bool = True


Baseline = Callable[[Times, Vector, int], Off]


def constant_z(_: Times, values: Vector, cut: int) -> Off:
    """The mean and the standard deviation of the train part."""
    spread = max(float(values[:cut].std()), _least(values[:cut]))
    return Off(np.abs(values[cut:] - values[:cut].mean()), np.full(len(values) - cut, spread))


def rolling_z(times: Times, values: Vector, cut: int) -> Off:
    """Mean and standard deviation of the day before each point, the point left out."""
    back = max(DAY // max(int(np.median(np.diff(times[:cut]))), 1), 10)
    centred = values - values[:cut].mean()
    at = np.arange(cut, len(values))
    first = np.maximum(at - back, 0)
    sums, squares = (np.concatenate([[0.0], np.cumsum(centred**power)]) for power in (1, 2))
    mean = (sums[at] - sums[first]) / (at - first)
    variance = (squares[at] - squares[first]) / (at - first) - mean**2
    spread = np.sqrt(np.maximum(variance, _least(values[:cut]) ** 2))
    return Off(np.abs(centred[cut:] - mean), spread)


def seasonal_z(times: Times, values: Vector, cut: int) -> Off:
    """Median and median absolute deviation of each hour of the day in the train part."""
    hour, known = times // HOUR % HOURS, values[:cut]
    level, spread = np.full(HOURS, np.median(known)), np.full(HOURS, mad(known, float(np.median(known))))
    for h in np.unique(hour[:cut]):
        in_hour = known[hour[:cut] == h]
        level[h] = np.median(in_hour)
        spread[h] = mad(in_hour, level[h])
    later = hour[cut:]
    return Off(np.abs(values[cut:] - level[later]), np.maximum(MAD_TO_STD * spread, _least(known))[later])


def isolation_forest(_: Times, values: Vector, cut: int) -> Off:
    """How easily the last few values are told apart from those in the train part (scikit-learn's forest)."""
    forests: Any = importlib.import_module("sklearn.ensemble")
    windows = _windows(values, FOREST_WINDOW)
    chosen = np.linspace(0, cut - 1, min(cut, FOREST_WINDOWS)).astype(np.int64)
    forest = forests.IsolationForest(n_estimators=FOREST_TREES, random_state=0).fit(windows[chosen])
    return _unitless(-forest.score_samples(windows[cut:]))


def spectral_residual(_: Times, values: Vector, cut: int) -> Off:
    """Ren et al., "Time-Series Anomaly Detection Service at Microsoft", KDD 2019: of the last point of each window.

    The window of 123 points goes on for five estimated ones, as there; the saliency is compared with its mean over the
    21 points before.
    """
    windows = _windows(values, RESIDUAL_WINDOW)[cut:]
    parts = [_saliency(windows[i : i + AT_ONCE]) for i in range(0, len(windows), AT_ONCE)]
    return _unitless(np.concatenate(parts) if parts else np.empty(0))


def random(times: Times, values: Vector, cut: int) -> Off:
    """Nothing: exponential noise."""
    draw = np.random.default_rng([zlib.crc32(values[:cut].tobytes()), int(times[0]), cut])
    return _unitless(draw.exponential(size=len(values) - cut))


BASELINES: dict[str, Baseline] = {
    "constant z": constant_z,
    "rolling z": rolling_z,
    "seasonal z": seasonal_z,
    "isolation forest": isolation_forest,
    "spectral residual": spectral_residual,
    "random": random,
}
SLOW = "isolation forest"


class Judged(NamedTuple):
    """Scores of the held-out end of the train part, and of the test part; above 1 is rarer than the rate."""

    held: Vector
    test: Vector


def judged(baseline: Baseline, times: Times, values: Vector, cut: int, rate: float) -> Judged:
    """A baseline's scores, with the threshold its deviations on the last 30 % of the train part give.

    Args:
        baseline: one of `BASELINES`.
        times: epoch seconds, rising.
        values: NaN where there is none.
        cut: where the test part begins.
        rate: as in calibration.
    """
    filled = _filled(values)
    held = baseline(times[:cut], filled[:cut], int(np.ceil(cut * (1 - calibration.HOLDOUT))))
    test = baseline(times, filled, cut)
    limit = max(calibration.threshold(held.size / held.spread, rate), ROUNDING)
    history = Points.of((times[:cut], filled[:cut]))
    floor = float(calibration.effect_floor(history)[0]) if test.in_unit else 0.0
    scores = [one.size / np.maximum(one.spread * limit, floor) for one in (held, test)]
    scores[1][np.isnan(values[cut:])] = np.nan
    return Judged(*scores)


def _unitless(size: Vector) -> Off:
    return Off(size, np.ones(len(size)), in_unit=False)


def _least(values: Vector) -> float:
    """Spreads below this are rounding errors."""
    return max(ROUNDING * float(np.abs(values).max(initial=0)), SMALLEST)


def _filled(values: Vector) -> Vector:
    """With the value before it where there is none."""
    at = np.where(np.isfinite(values), np.arange(len(values)), 0)
    filled = values[np.maximum.accumulate(at)]
    return np.nan_to_num(filled)


def _windows(values: Vector, width: int) -> Vector:
    """The `width` values up to each point, (n, width); the first value stands for those before it."""
    whole = np.concatenate([np.full(width - 1, values[0]), values])
    return np.lib.stride_tricks.sliding_window_view(whole, width)


def _saliency(windows: Vector) -> Vector:
    """How much more salient the last point of each window is than those before it."""
    gaps = np.arange(1, RESIDUAL_SLOPES + 1)
    slopes = (windows[:, -2:-1] - windows[:, -2 - gaps]) / gaps  # of what is before the point in question
    ahead = windows[:, -1 - RESIDUAL_SLOPES] + slopes.sum(axis=1)
    whole = np.concatenate([windows, np.repeat(ahead[:, None], RESIDUAL_AHEAD, axis=1)], axis=1)
    scale = np.abs(whole).max(axis=1, keepdims=True)
    spectrum = np.fft.rfft((whole / np.where(scale > 0, scale, 1)).astype(np.float32))
    amplitude = np.abs(spectrum)
    log = np.log(amplitude + np.float32(1e-8))
    padded = np.pad(log, ((0, 0), (1, 1)), mode="edge")
    smooth = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    residual = np.exp(log - smooth) * spectrum / (amplitude + np.float32(1e-8))
    salient = np.abs(np.fft.irfft(residual, whole.shape[1]))
    last = RESIDUAL_WINDOW - 1
    level = salient[:, last - RESIDUAL_LEVEL : last].mean(axis=1)
    return np.maximum((salient[:, last] - level) / np.maximum(level, 1e-8), 0).astype(np.float64)
