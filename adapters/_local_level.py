"""Local level: a level and a spread that are updated with each point, starting from a fitted state.

The level is that of a local-level model (Durbin and Koopman, "Time Series Analysis by State Space Methods", 2012,
section 2.2), filtered as there:

    innovation = (value - level) / spread                   clipped to ±CLIP, so that an incident moves the level slowly
    gain       = variance / (variance + 1)
    level      = level + gain * spread * innovation
    variance   = gain + drift
    factor     = factor * (1 - widening + widening * |innovation| / sqrt(2 / pi))    within bounds

Variances are in units of the observation variance. After a gap, and at the start, the level is uncertain: its gain is
near 1 and the band is wide. With more points the gain falls to the fitted smoothing constant and the band narrows.

The spread is multiplied by `factor`, which grows while innovations are larger than a normal distribution's and shrinks
while they are smaller.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models.arrays import Matrix, Vector
from myriad.models.points import Points, ranges
from myriad.models.robust import STD_TO_MEAN_DEVIATION

CLIP = 4.0
"""Larger innovations count as this many spreads."""
FEW_SERIES = 20
"""Up to this many series are filtered one after the other: calling NumPy would take longer than the arithmetic."""
SERIES_AT_ONCE = 2048


class InitialState(NamedTuple):
    """The state before the first point; every array is float64 (series,).

    Attributes:
        level: the expected first value.
        spread: the standard deviation of one-step errors, once the gain has settled.
        alpha: the gain once settled, which is the smoothing constant of the level.
        uncertainty: the standard deviation of `level`, in spreads.
        widening: the smoothing constant of the spread.
    """

    level: Vector
    spread: Vector
    alpha: Vector
    uncertainty: Vector
    widening: Vector


def one_step(points: Points, start: InitialState, bounds: tuple[float, float]) -> tuple[Vector, Vector]:
    """One-step predictions and their spreads, both float64 (n,): of each point from those before it.

    Args:
        points: tidied; values may be NaN.
        start: of each series.
        bounds: of the spread, as multiples of the fitted one.
    """
    if points.lengths.max(initial=0) <= 1:  # one new point a series: there is nothing to filter
        variance, _, noise = _variances(start)
        return start.level[points.owner], (noise * np.sqrt(variance + 1))[points.owner]
    expected, spread = np.empty_like(points.values), np.empty_like(points.values)
    for first in range(0, len(points), SERIES_AT_ONCE):
        chunk = np.arange(first, min(first + SERIES_AT_ONCE, len(points)))
        part = slice(points.offsets[chunk[0]], points.offsets[chunk[-1] + 1])
        chosen = points if len(chunk) == len(points) else points.take(chunk)
        values, state = padded(chosen), InitialState(*(array[chunk] for array in start))
        run = _filter_batch if len(chunk) > FEW_SERIES else _filter_each
        levels, spreads = run(values, state, bounds)
        inside = np.arange(len(values))[None, :] < chosen.lengths[:, None]
        expected[part], spread[part] = levels.T[inside], spreads.T[inside]
    return expected, spread


def relative_average(
    points: Points, usual: Vector, smoothing: Vector, clip: float, bounds: tuple[float, float]
) -> Vector:
    """The exponential moving average, before each point, of values over their usual size; float64 (n,).

        average = average + smoothing * (min(value / usual, clip * average) - average), starting at 1

    Args:
        points: tidied; values are not negative, and NaN leaves the average as it is.
        usual: the usual size of the values of each series, positive, float64 (series,).
        smoothing: the smoothing constant of each series, float64 (series,).
        clip: a value counts as at most this many times the average.
        bounds: of the average.
    """
    values = padded(points.with_values(points.values / usual[points.owner]))
    inside = np.arange(len(values))[None, :] < points.lengths[:, None]
    run = _average_batch if len(points) > FEW_SERIES else _average_each
    return run(values, smoothing, clip, bounds).T[inside]


def padded(points: Points) -> Matrix:
    """The values as a (longest, series) matrix, NaN below the end of a series."""
    matrix = np.full((len(points), int(points.lengths.max(initial=0))), np.nan)
    matrix[np.arange(matrix.shape[1])[None, :] < points.lengths[:, None]] = points.values
    return np.ascontiguousarray(matrix.T)


def latest(points: Points, count: int) -> Points:
    """The last `count` points of each series."""
    lengths = np.minimum(points.lengths, count)
    positions = ranges(points.offsets[1:] - lengths, lengths)
    return Points(points.timestamps[positions], points.values[positions], np.append(0, np.cumsum(lengths)))


def _variances(start: InitialState) -> tuple[Vector, Vector, Vector]:
    """The level's variance and its drift a step, in observation variances, and an observation's standard deviation."""
    drift = start.alpha**2 / np.maximum(1 - start.alpha, 1e-6)  # the steady state's gain is then alpha
    noise = start.spread * np.sqrt(1 - start.alpha)  # the settled one-step spread is then `spread`
    return (start.uncertainty * start.spread / noise) ** 2, drift, noise


def _gains(present: NDArray[np.bool_], start: InitialState) -> tuple[Matrix, Matrix]:
    """The level's gain at each step, and the spread before it without its factor, both (steps, series).

    They depend on which values are present, bool (steps, series), and not on the values.
    """
    variance, drift, noise = _variances(start)
    gains, totals = np.empty(present.shape), np.empty(present.shape)
    complete = np.all(present, axis=1).tolist()
    for gain, total, known, all_known in zip(gains, totals, present, complete, strict=True):
        np.add(variance, 1, out=total)
        np.divide(variance, total, out=gain)
        variance = (gain if all_known else np.where(known, gain, variance)) + drift
    return gains, noise * np.sqrt(totals)


def _filter_batch(values: Matrix, start: InitialState, bounds: tuple[float, float]) -> tuple[Matrix, Matrix]:
    """The level and the spread before each value, (steps, series), of values of that shape; NaN is a gap."""
    present = np.isfinite(values)
    gains, spreads = _gains(present, start)
    levels, absent = np.empty_like(values), ~present
    level, factor, innovation, update = start.level.copy(), *np.ones((3, values.shape[1]))
    kept, added = 1 - start.widening, start.widening / STD_TO_MEAN_DEVIATION
    min_factor, max_factor, max_innovation, min_innovation = (np.array(bound) for bound in (*bounds, CLIP, -CLIP))
    has_gaps = np.any(absent, axis=1).tolist()
    with np.errstate(over="ignore"):  # infinite innovations are clipped
        for step, (value, spread, gain) in enumerate(zip(values, spreads, gains, strict=True)):
            levels[step] = level
            np.multiply(spread, factor, out=spread)
            np.subtract(value, level, out=innovation)
            np.divide(innovation, spread, out=innovation)
            np.minimum(innovation, max_innovation, out=innovation)
            np.maximum(innovation, min_innovation, out=innovation)
            np.abs(innovation, out=update)
            np.multiply(update, added, out=update)
            np.add(update, kept, out=update)
            if has_gaps[step]:
                innovation[absent[step]], update[absent[step]] = 0.0, 1.0
            np.multiply(gain, spread, out=gain)
            np.multiply(gain, innovation, out=gain)
            np.add(level, gain, out=level)
            np.multiply(factor, update, out=factor)
            np.maximum(factor, min_factor, out=factor)
            np.minimum(factor, max_factor, out=factor)
    return levels, spreads


def _filter_each(values: Matrix, start: InitialState, bounds: tuple[float, float]) -> tuple[Matrix, Matrix]:
    """The same as `_filter_batch`, to the last bit, one series after the other: many times faster for few."""
    levels, spreads = np.empty_like(values), np.empty_like(values)
    min_factor, max_factor = bounds
    by_series = (
        start.level,
        1 - start.widening,
        start.widening / STD_TO_MEAN_DEVIATION,
        *_variances(start),
        values.T,
    )
    for i, (level, kept, added, variance, drift, noise, series) in enumerate(
        zip(*(array.tolist() for array in by_series), strict=True)
    ):
        factor, steps = 1.0, []
        for value in series:
            total = variance + 1
            spread, gain = noise * sqrt(total) * factor, variance / total
            steps.append((level, spread))
            if value == value:
                innovation = (value - level) / spread
                innovation = CLIP if innovation > CLIP else -CLIP if innovation < -CLIP else innovation
                level += gain * spread * innovation
                factor *= abs(innovation) * added + kept
                factor = min_factor if factor < min_factor else max_factor if factor > max_factor else factor
                variance = gain
            variance += drift
        if steps:
            levels[:, i], spreads[:, i] = zip(*steps, strict=True)
    return levels, spreads


def _average_batch(values: Matrix, smoothing: Vector, clip: float, bounds: tuple[float, float]) -> Matrix:
    """As `relative_average`, over values that are relative already, (steps, series); NaN is a gap."""
    average, averages = np.ones(values.shape[1]), np.empty_like(values)
    for step, value in enumerate(values):
        averages[step] = average
        moved = average + smoothing * (np.minimum(value, clip * average) - average)
        average = np.where(np.isnan(value), average, np.minimum(np.maximum(moved, bounds[0]), bounds[1]))
    return averages


def _average_each(values: Matrix, smoothing: Vector, clip: float, bounds: tuple[float, float]) -> Matrix:
    """The same as `_average_batch`, to the last bit, one series after the other."""
    averages = np.empty_like(values)
    low, high = bounds
    for i, share in enumerate(smoothing.tolist()):
        average, steps = 1.0, []
        for value in values[:, i].tolist():
            steps.append(average)
            if value == value:
                limit = clip * average
                average = average + share * ((limit if value > limit else value) - average)
                average = low if average < low else high if average > high else average
        averages[:, i] = steps
    return averages
