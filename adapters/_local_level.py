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

from typing import NamedTuple

import numpy as np

from myriad.kernels import levels
from myriad.models.arrays import Vector
from myriad.models.points import Points
from myriad.models.robust import STD_TO_MEAN_DEVIATION

CLIP = 4.0
"""Larger innovations count as this many spreads."""


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
    variance, drift, noise = _variances(start)
    kept, added = 1 - start.widening, start.widening / STD_TO_MEAN_DEVIATION
    state = (start.level, variance, drift, noise, kept, added)
    return levels.one_step(points.values, points.offsets, *state, CLIP, *bounds)


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
    relative = points.values / usual[points.owner]
    return levels.relative_average(relative, points.offsets, smoothing, clip, *bounds)


def _variances(start: InitialState) -> tuple[Vector, Vector, Vector]:
    """The level's variance and its drift a step, in observation variances, and an observation's standard deviation."""
    drift = start.alpha**2 / np.maximum(1 - start.alpha, 1e-6)  # the steady state's gain is then alpha
    noise = start.spread * np.sqrt(1 - start.alpha)  # the settled one-step spread is then `spread`
    return (start.uncertainty * start.spread / noise) ** 2, drift, noise
