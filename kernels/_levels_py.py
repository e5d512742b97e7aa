"""Levels: the recursions of a level, its spread and its smoothing constant; the twin of `_levels.pyx`.

Series are ragged: series i owns `offsets[i]:offsets[i + 1]` of the values.
"""

import numpy as np

from myriad.kernels._quantiles_py import medians
from myriad.kernels.arrays import Integers, Matrix, Vector

SLOW_CLIP = 3.0
"""Larger errors from a slow level count as this many spreads."""
LEAST_RATIO, MOST_RATIO = 0.25, 1e12
"""Of the variance of errors from a slow level, as multiples of the fitted one."""
CHANGED, CHANGED_CLIP = 200.0, 10.0
"""A variance that has grown so many times over is no incident's: the series has changed. It follows faster then, as
errors count with up to so many spreads."""
FAST_SHARE = 0.4
"""The spread of errors from a fast level widens with that of the slow one, beyond 2.5 times, at this share of it."""
FAST = 0.3
"""The smoothing constant of a fast level."""
MOST_CONSTANTS = 16
"""Smoothing constants that `clipped_errors` takes."""


def one_step(
    values: Vector,
    offsets: Integers,
    state: Matrix,
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

    |error| / spread, the innovation, moves the factor by added * |innovation| of itself.

    Args:
        values: (n,).
        offsets: (series + 1,).
        state: the level, its variance in observation variances and the factor to start from; moved behind the last
            value, so that further values can follow; (series, 3).
        drifts: what is added to the variance with each point, (series,), as are all vectors below.
        noises: the standard deviation of an observation.
        kept: see above.
        added: see above.
        clip: of innovations.
        min_factor: of the spread.
        max_factor: of the spread.
    """
    matrix, inside = _padded(values, offsets)
    expected, spreads = np.empty_like(matrix), np.empty_like(matrix)
    level, variance, factor = state.T.copy()
    there = np.diff(offsets)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite innovations are clipped
        for step, value in enumerate(matrix):
            base, gain = noises * np.sqrt(variance + 1), variance / (variance + 1)
            expected[step], spreads[step] = level, base * factor
            known, limit = ~np.isnan(value), clip * (base * factor)
            error = np.minimum(np.maximum(value - level, -limit), limit)
            level = np.where(known, level + gain * error, level)
            moved = factor * kept + added * np.minimum(np.abs(value - expected[step]) / base, clip * factor)
            factor = np.where(known, np.minimum(np.maximum(moved, min_factor), max_factor), factor)
            variance = np.where(step < there, np.where(known, gain, variance) + drifts, variance)
    state[:] = np.stack([level, variance, factor], axis=1)
    return expected.T[inside], spreads.T[inside]


def two_levels(
    values: Vector,
    offsets: Integers,
    state: Matrix,
    spreads: Vector,
    alphas: Vector,
    widenings: Vector,
    fast_spreads: Vector,
    first_spreads: Vector,
) -> tuple[Vector, Vector, Vector, Vector]:
    """The slow level and its spread, the fast level and its spread, before each value, (n,) each; NaN is a gap.

        slow     = slow + alpha * error                  the error within ±SLOW_CLIP * spread
        variance = variance + widening * (min(|error|, clip * spread)^2 - variance)     within its bounds
        fast     = fast + gain * (value - fast)          gain: 1, 1/2, 1/3, then FAST

    The clip is SLOW_CLIP, or CHANGED_CLIP once variance / spreads^2 is above CHANGED. The first value of all replaces
    the fast level, of which the spread is `first_spreads` until then. The fast spread is
    fast_spreads * max(FAST_SHARE * spread / spreads, 1).

    Args:
        values: (n,).
        offsets: (series + 1,).
        state: the slow level, the variance of its errors over spreads^2, the fast level and its gain, to start from;
            moved behind the last value, so that further values can follow; (series, 4). Of a series without values
            the second and the last are 1.
        spreads: of errors from the slow level, as fitted; positive, (series,), as are all vectors below.
        alphas: of the slow level.
        widenings: of its variance.
        fast_spreads: of errors from the fast level.
        first_spreads: see above.
    """
    matrix, inside = _padded(values, offsets)
    found = np.empty((4, *matrix.shape))
    level, ratio, quick, gain = state.T.copy()
    with np.errstate(over="ignore", invalid="ignore"):  # infinite errors are clipped
        for step, value in enumerate(matrix):
            root = np.sqrt(ratio)
            wider = fast_spreads * np.maximum(FAST_SHARE * root, 1.0)
            found[:, step] = level, spreads * root, quick, np.where(gain == 1, first_spreads, wider)
            known, error, limit = ~np.isnan(value), value - level, SLOW_CLIP * (spreads * root)
            most = np.where(ratio > CHANGED, CHANGED_CLIP**2, SLOW_CLIP**2) * ratio
            moved = ratio + widenings * (np.minimum((error * (1 / spreads)) ** 2, most) - ratio)
            level = np.where(known, level + alphas * np.minimum(np.maximum(error, -limit), limit), level)
            ratio = np.where(known, np.minimum(np.maximum(moved, LEAST_RATIO), MOST_RATIO), ratio)
            quick = np.where(known, quick + gain * (value - quick), quick)
            gain = np.where(known, np.maximum(gain / (1 + gain), FAST), gain)
    state[:] = np.stack([level, ratio, quick, gain], axis=1)
    slow_levels, slow_spreads, fast_levels, spreads_of_fast = (each.T[inside] for each in found)
    return slow_levels, slow_spreads, fast_levels, spreads_of_fast


def fitted_levels(
    values: Vector, offsets: Integers, state: Matrix, spreads: Vector, alphas: Vector, least: Vector, scale: float
) -> tuple[Vector, Vector]:
    """The spreads of errors from both levels of `two_levels`, where that of the slow one stays as it is, (series,).

        slow = root of the mean square of the errors         within SLOW_CLIP * max(scale * median |error|, least)
        fast = scale * median |error|

    Neither is below `least`.

    Args:
        values: finite, (n,).
        offsets: (series + 1,).
        state: as for `two_levels`, and moved likewise.
        spreads: that errors from the slow level are clipped by, (series,), as are all vectors below.
        alphas: of the slow level.
        least: see above.
        scale: see above.
    """
    matrix, inside = _padded(values, offsets)
    found = np.empty((2, *matrix.shape))
    (level, _, quick, gain), limit = state.T.copy(), SLOW_CLIP * spreads
    for step, value in enumerate(matrix):
        known, error = ~np.isnan(value), value - level
        found[:, step] = np.abs(error), np.abs(value - quick)
        level = np.where(known, level + alphas * np.minimum(np.maximum(error, -limit), limit), level)
        quick = np.where(known, quick + gain * (value - quick), quick)
        gain = np.where(known, np.maximum(gain / (1 + gain), FAST), gain)
    state[:] = np.stack([level, state[:, 1], quick, gain], axis=1)
    slow, fast = (each.T[inside] for each in found)
    owner, lengths = np.repeat(np.arange(len(least)), np.diff(offsets)), np.diff(offsets)
    slow_scale, fast_scale = (np.fmax(scale * medians(each, offsets), least) for each in (slow, fast))
    squares = np.bincount(owner, np.minimum(slow, SLOW_CLIP * slow_scale[owner]) ** 2, len(least))
    return np.maximum(np.sqrt(squares / np.maximum(lengths, 1)), least), fast_scale


def level_deviations(
    times: Integers,
    values: Vector,
    offsets: Integers,
    state: Matrix,
    spreads: Vector,
    alphas: Vector,
    widenings: Vector,
    fast_spreads: Vector,
    first_spreads: Vector,
    widths: Matrix,
    apart: int,
) -> tuple[Vector, Vector]:
    """How far values are from the slow and from the fast level, in the spreads of each, (n,) both.

    Args:
        times: those of a clock, which may go back, (n,).
        values: the others up to `first_spreads` as for `two_levels`.
        offsets: likewise.
        state: likewise.
        spreads: likewise.
        alphas: likewise.
        widenings: likewise.
        fast_spreads: likewise.
        first_spreads: likewise.
        widths: what the spread of the slow level is multiplied by in each bin of a period, (series, bins).
        apart: seconds of a bin; a period begins where the time is a multiple of all its bins.
    """
    slow, slow_spreads, fast, spreads_of_fast = two_levels(
        values, offsets, state, spreads, alphas, widenings, fast_spreads, first_spreads
    )
    owner = np.repeat(np.arange(len(spreads)), np.diff(offsets))
    width = widths[owner, times // apart % widths.shape[1]]
    return np.abs(values - slow) / (slow_spreads * width), np.abs(values - fast) / spreads_of_fast


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
