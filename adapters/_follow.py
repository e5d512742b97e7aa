"""Following: a level and a spread that move with the posted points, from a fitted start.

The level is that of a local-level model (Durbin and Koopman, "Time Series Analysis by State Space Methods", 2012,
section 2.2): the gain starts near 1, because the level after a gap is not known, and settles at the fitted smoothing
constant. The band is wide at first and narrows accordingly. Innovations are clipped, so that an incident moves the
level slowly; the spread follows the size of recent innovations within bounds.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models.points import Points, ranges

CLIP = 4.0
"""Innovations count for no more than this many spreads."""
FEW_SERIES = 20
"""Up to so many series are followed one after the other: NumPy's calls would cost more than the arithmetic."""
SERIES_AT_ONCE = 2048
MEAN_DEVIATION = float(np.sqrt(2 / np.pi))
"""For a normal distribution the mean absolute deviation is this many standard deviations."""

Vector = NDArray[np.float64]


class Start(NamedTuple):
    """Where following begins; every array is float64 (series,).

    Attributes:
        level: expected of the first point.
        spread: of one-step errors, once settled.
        alpha: the settled gain.
        uncertainty: of the level, in spreads.
        widening: how fast the spread follows the size of the errors, a share a point.
    """

    level: Vector
    spread: Vector
    alpha: Vector
    uncertainty: Vector
    widening: Vector


def follow(points: Points, start: Start, bounds: tuple[float, float]) -> tuple[Vector, Vector]:
    """What was expected of each point from those before it, and the spread, both float64 (n,).

    Args:
        points: tidied; values may be NaN.
        start: of each series.
        bounds: of the spread, as shares of the fitted one.
    """
    if points.lengths.max(initial=0) <= 1:  # a tick: no point has one before it
        variance, _, noise = _state(start)
        return start.level[points.owner], (noise * np.sqrt(variance + 1))[points.owner]
    expected, spread = np.empty_like(points.values), np.empty_like(points.values)
    for first in range(0, len(points), SERIES_AT_ONCE):
        chunk = np.arange(first, min(first + SERIES_AT_ONCE, len(points)))
        part = slice(points.offsets[chunk[0]], points.offsets[chunk[-1] + 1])
        some = points if len(chunk) == len(points) else points.take(chunk)
        values, begun = padded(some), Start(*(array[chunk] for array in start))
        run = _run_together if len(chunk) > FEW_SERIES else _run_each
        ahead, around = run(values, begun, bounds)
        inside = np.arange(len(values))[None, :] < some.lengths[:, None]
        expected[part], spread[part] = ahead.T[inside], around.T[inside]
    return expected, spread


def running(points: Points, usual: Vector, widening: Vector, clip: float, bounds: tuple[float, float]) -> Vector:
    """How many times as large as usual the values before each one have been of late, float64 (n,).

    Args:
        points: tidied; values not negative, NaN changes nothing.
        usual: of each series, positive, float64 (series,).
        widening: what a value counts for, a share, float64 (series,).
        clip: a value counts for no more than so many times what is usual of late.
        bounds: of what is returned.
    """
    values = padded(points.with_values(points.values / usual[points.owner]))
    inside = np.arange(len(values))[None, :] < points.lengths[:, None]
    return (_running_together if len(points) > FEW_SERIES else _running_each)(values, widening, clip, bounds).T[inside]


def padded(points: Points) -> Vector:
    """The values as a (longest, series) matrix, NaN below the end of a series."""
    matrix = np.full((len(points), int(points.lengths.max(initial=0))), np.nan)
    matrix[np.arange(matrix.shape[1])[None, :] < points.lengths[:, None]] = points.values
    return np.ascontiguousarray(matrix.T)


def latest(points: Points, count: int) -> Points:
    """The last `count` points of each series."""
    lengths = np.minimum(points.lengths, count)
    at = ranges(points.offsets[1:] - lengths, lengths)
    return Points(points.timestamps[at], points.values[at], np.append(0, np.cumsum(lengths)))


def _state(start: Start) -> tuple[Vector, Vector, Vector]:
    """The level's variance and its drift, in observation variances, and the spread of an observation."""
    drift = start.alpha**2 / np.maximum(1 - start.alpha, 1e-6)  # the steady state's gain is then alpha
    noise = start.spread * np.sqrt(1 - start.alpha)  # the settled one-step spread is then `spread`
    return (start.uncertainty * start.spread / noise) ** 2, drift, noise


def _gains(there: NDArray[np.bool_], start: Start) -> tuple[Vector, Vector]:
    """The level's gain at each step and the spread before it for a width of 1, both (steps, series).

    They depend on which values are there, bool (steps, series), and not on the values.
    """
    variance, drift, noise = _state(start)
    gains, ahead = np.empty(there.shape), np.empty(there.shape)
    for gain, forward, known, whole in zip(gains, ahead, there, np.all(there, axis=1).tolist(), strict=True):
        np.add(variance, 1, out=forward)
        np.divide(variance, forward, out=gain)
        variance = (gain if whole else np.where(known, gain, variance)) + drift
    return gains, noise * np.sqrt(ahead)


def _run_together(values: Vector, start: Start, bounds: tuple[float, float]) -> tuple[Vector, Vector]:
    """Expected values and spreads before each observation, (steps, series), over values of that shape, NaN = gap."""
    there = np.isfinite(values)
    gains, spreads = _gains(there, start)
    expected, gap = np.empty_like(values), ~there
    level, width, off, size = start.level.copy(), *np.ones((3, values.shape[1]))
    narrower, wider = 1 - start.widening, start.widening / MEAN_DEVIATION
    narrowest, widest, most, least = (np.array(bound) for bound in (*bounds, CLIP, -CLIP))
    gaps = np.any(gap, axis=1).tolist()
    with np.errstate(over="ignore"):  # what is that far off is clipped
        for step, (observed, spread, gain) in enumerate(zip(values, spreads, gains, strict=True)):
            expected[step] = level
            np.multiply(spread, width, out=spread)
            np.subtract(observed, level, out=off)
            np.divide(off, spread, out=off)
            np.minimum(off, most, out=off)
            np.maximum(off, least, out=off)
            np.abs(off, out=size)
            np.multiply(size, wider, out=size)
            np.add(size, narrower, out=size)
            if gaps[step]:
                off[gap[step]], size[gap[step]] = 0.0, 1.0
            np.multiply(gain, spread, out=gain)
            np.multiply(gain, off, out=gain)
            np.add(level, gain, out=level)
            np.multiply(width, size, out=width)
            np.maximum(width, narrowest, out=width)
            np.minimum(width, widest, out=width)
    return expected, spreads


def _run_each(values: Vector, start: Start, bounds: tuple[float, float]) -> tuple[Vector, Vector]:
    """As `_run_together`, to the last bit, one series after the other: many times as fast for few."""
    expected, spreads = np.empty_like(values), np.empty_like(values)
    narrowest, widest = bounds
    each = (start.level, 1 - start.widening, start.widening / MEAN_DEVIATION, *_state(start), values.T)
    for i, (level, narrower, wider, variance, drift, noise, mine) in enumerate(
        zip(*(array.tolist() for array in each), strict=True)
    ):
        width, path = 1.0, []
        for observed in mine:
            ahead = variance + 1
            spread, gain = noise * sqrt(ahead) * width, variance / ahead
            path.append((level, spread))
            if observed == observed:
                off = (observed - level) / spread
                off = CLIP if off > CLIP else -CLIP if off < -CLIP else off
                level += gain * spread * off
                width *= abs(off) * wider + narrower
                width = narrowest if width < narrowest else widest if width > widest else width
                variance = gain
            variance += drift
        if path:
            expected[:, i], spreads[:, i] = zip(*path, strict=True)
    return expected, spreads


def _running_together(values: Vector, widening: Vector, clip: float, bounds: tuple[float, float]) -> Vector:
    """As `running`, over values in units of what is usual, (steps, series), NaN = gap."""
    late, path = np.ones(values.shape[1]), np.empty_like(values)
    for step, seen in enumerate(values):
        path[step] = late
        moved = late + widening * (np.minimum(seen, clip * late) - late)
        late = np.where(np.isnan(seen), late, np.minimum(np.maximum(moved, bounds[0]), bounds[1]))
    return path


def _running_each(values: Vector, widening: Vector, clip: float, bounds: tuple[float, float]) -> Vector:
    """As `_running_together`, to the last bit, one series after the other."""
    path = np.empty_like(values)
    narrowest, widest = bounds
    for i, share in enumerate(widening.tolist()):
        late, mine = 1.0, []
        for seen in values[:, i].tolist():
            mine.append(late)
            if seen == seen:
                most = clip * late
                late = late + share * ((most if seen > most else seen) - late)
                late = narrowest if late < narrowest else widest if late > widest else late
        path[:, i] = mine
    return path
