"""Levels: the recursions of a level, its spread and its smoothing constant; the twin of `_levels.pyx`.

Series are ragged: series i owns `offsets[i]:offsets[i + 1]` of the values.
"""

import numpy as np

from myriad.kernels.arrays import Integers, Matrix, Vector

MOST_CONSTANTS = 16
"""Smoothing constants that `clipped_errors` takes."""


def one_step(
    values: Vector,
    offsets: Integers,
    levels: Vector,
    variances: Vector,
    drifts: Vector,
    noises: Vector,
    kept: Vector,
    added: Vector,
    clip: float,
    min_factor: float,
    max_factor: float,
) -> tuple[Vector, Vector]:
    """The level and the spread before each value, both (n,); NaN is a gap.

        spread     = base * factor                                   where base = noise * sqrt(variance + 1)
        error      = value - level
        gain       = variance / (variance + 1)
        level      = level + gain * error                            the error within ±clip * spread
        factor     = factor * kept + added * |error| / base          at most clip * factor of the last, within bounds
        variance   = gain + drift                                    or variance + drift after a gap

    The factor starts at 1. So |error| / spread, the innovation, moves the factor by added * |innovation| of itself.

    Args:
        values: (n,).
        offsets: (series + 1,).
        levels: to start from, (series,), as are all vectors below.
        variances: of the level, in observation variances.
        drifts: what is added to the variance with each point.
        noises: the standard deviation of an observation.
        kept: see above.
        added: see above.
        clip: of innovations.
        min_factor: of the spread.
        max_factor: of the spread.
    """
    matrix, inside = _padded(values, offsets)
    expected, spreads = np.empty_like(matrix), np.empty_like(matrix)
    level, variance, factor = levels.copy(), variances.copy(), np.ones(len(levels))
    with np.errstate(over="ignore", invalid="ignore"):  # infinite innovations are clipped
        for step, value in enumerate(matrix):
            base, gain = noises * np.sqrt(variance + 1), variance / (variance + 1)
            expected[step], spreads[step] = level, base * factor
            known, limit = ~np.isnan(value), clip * (base * factor)
            error = np.minimum(np.maximum(value - level, -limit), limit)
            level = np.where(known, level + gain * error, level)
            moved = factor * kept + added * np.minimum(np.abs(value - expected[step]) / base, clip * factor)
            factor = np.where(known, np.minimum(np.maximum(moved, min_factor), max_factor), factor)
            variance = np.where(known, gain, variance) + drifts
    return expected.T[inside], spreads.T[inside]


def relative_average(
    values: Vector, offsets: Integers, smoothing: Vector, clip: float, low: float, high: float
) -> Vector:
    """The exponential moving average before each value, (n,); NaN leaves it as it is.

        average = average + smoothing * (min(value, clip * average) - average)      within its bounds, starting at 1

    Args:
        values: not negative, (n,).
        offsets: (series + 1,).
        smoothing: (series,).
        clip: see above.
        low: of the average.
        high: of the average.
    """
    matrix, inside = _padded(values, offsets)
    average, averages = np.ones(len(smoothing)), np.empty_like(matrix)
    for step, value in enumerate(matrix):
        averages[step] = average
        moved = average + smoothing * (np.minimum(value, clip * average) - average)
        average = np.where(np.isnan(value), average, np.minimum(np.maximum(moved, low), high))
    return averages.T[inside]


def clipped_errors(
    values: Vector, offsets: Integers, first: Vector, limits: Vector, alphas: Matrix
) -> tuple[Matrix, Matrix]:
    """The sum of clipped one-step errors of each smoothing constant, and the level after the last value.

        error = value - level       within ±limit
        level = level + alpha * error

    Args:
        values: finite, (n,).
        offsets: (series + 1,).
        first: the level to start from, (series,).
        limits: (series,).
        alphas: (series, constants), `MOST_CONSTANTS` at most.

    Returns:
        Two of (series, constants).

    Raises:
        ValueError: there are more constants.
    """
    if alphas.shape[1] > MOST_CONSTANTS:
        raise ValueError(f"more than {MOST_CONSTANTS} smoothing constants")
    matrix, _ = _padded(values, offsets)
    level = np.repeat(first[None, :], alphas.shape[1], axis=0)
    total, constants, present = np.zeros_like(level), alphas.T, ~np.isnan(matrix)
    for value, known in zip(np.where(present, matrix, 0.0), present, strict=True):
        error = np.minimum(np.maximum((value - level) * known, -limits), limits)
        total += np.abs(error)
        level += constants * error
    return np.ascontiguousarray(total.T), np.ascontiguousarray(level.T)


def _padded(values: Vector, offsets: Integers) -> tuple[Matrix, "np.ndarray[tuple[int, int], np.dtype[np.bool_]]"]:
    """The values as a (longest, series) matrix, NaN below the end of a series; and where they are in its transpose."""
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    inside = np.arange(longest)[None, :] < lengths[:, None]
    matrix = np.full(inside.shape, np.nan)
    matrix[inside] = values
    return np.ascontiguousarray(matrix.T), inside
