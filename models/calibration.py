"""Calibration: the deviation that is exceeded at a stated rate, learnt from history that no model was fitted to."""

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.quantiles import quantiles
from myriad.models.arrays import Matrix, Vector
from myriad.models.points import Points, counted

DEFAULT_RATE = 1e-4
"""False alarms a point: the share of normal points whose score may exceed 1."""

HOLDOUT = 0.3
"""The share of a history, its last part, that models are calibrated on and not fitted to."""

MIN_HOLDOUT = 20
"""Scored points needed to calibrate at all."""

TAIL = 0.05
"""The tail is fitted to this share of the sample, the largest deviations."""

TAIL_LEVELS = (1 - 4 * TAIL, 1 - TAIL, 1 - TAIL / 2, 1 - TAIL / 4)
"""Where the quantiles lie that describe a tail."""

MIN_HALVING_RATIO = 0.96
"""The smallest `c` in `threshold`. That of a normal distribution is 0.9."""

EXPECTED_BEYOND = 10
"""An empirical quantile is used only when at least this many points are expected beyond it."""

MAX_THRESHOLD = 1e30
"""In spreads. A threshold is kept as a float32; a larger one would be infinite there."""

EFFECT_SHARE = 0.01
"""No deviation below this share of the history's usual largest |value| scores 1: rounding and idling do not alert."""

DAY = 86_400
MOST_DAYS = 3660
"""Older points count as those of the first of these days."""
LEAST_DAYS = 3
"""On fewer days nothing recurs."""
SELDOM = 0.25
"""The share of days on which what is usual may be missing."""
OFTEN = 0.5
"""Points expected beyond a threshold in a bin of a day; with more the highest of most days is beyond it."""

MIN_EFFECT = 1e-9
"""The effect floor of a series that has only ever been zero."""


def thresholds(
    deviations: Vector, offsets: NDArray[np.int64], rate: float, min_ratio: float = MIN_HALVING_RATIO
) -> Vector:
    """The deviation exceeded with probability `rate`, of each of many samples.

    Let Q be the sample's empirical quantile function. Where the sample reaches far enough, that is if rate >= TAIL or
    at least `EXPECTED_BEYOND` points are expected beyond the result:

        Q(1 - rate)

    Otherwise the tail is extrapolated:

        u + m (1 - c^k) / (1 - c)

        u = Q(1 - TAIL)             where the tail starts
        m = Q(1 - TAIL / 2) - u     what halving the probability adds the first time
        k = log2(TAIL / rate)       how often it is halved
        c = sqrt((Q(1 - TAIL / 4) - u) / (u - Q(1 - 4 TAIL))), limited to [min_ratio, 1)

    Each halving adds c times what the one before it added. In an exponential tail all add the same, c = 1 (peaks over
    threshold with shape 0: Pickands, "Statistical inference using extreme order statistics", 1975). In a lighter tail
    each adds less; c is estimated from the two halvings before u and the two after it.

    The tail is described by quantiles, where the textbook uses the mean excess, because histories contain incidents.
    These are few and extreme: they would move a mean and hardly move a quantile.

    Args:
        deviations: of held-out points, not negative, float64 (n,); NaN is left out.
        offsets: sample i is `deviations[offsets[i]:offsets[i + 1]]`, int64 (samples + 1,).
        rate: between 0 and 1.
        min_ratio: the smallest c; 1 takes the tail for exponential whatever the sample shows.

    Returns:
        float64 (samples,), NaN where a sample has nothing.
    """
    found = quantiles(deviations, offsets, tail_levels(rate))
    return of_quantiles(found, counted(deviations, offsets), rate, min_ratio)


def tail_levels(rate: float) -> Vector:
    """The levels of the quantiles that a threshold is made of, ascending, (5,)."""
    return np.sort([*TAIL_LEVELS, 1 - rate])


def of_quantiles(
    found: NDArray[np.float64], counts: NDArray[np.int64], rate: float, min_ratio: float = MIN_HALVING_RATIO
) -> NDArray[np.float64]:
    """As `thresholds`, of samples whose quantiles are known.

    Args:
        found: the quantiles at `tail_levels(rate)`, float64 (..., 5).
        counts: values of each sample, int64 (...).
        rate: between 0 and 1.
        min_ratio: see `thresholds`.

    Returns:
        float64 (...), NaN where a sample has nothing.
    """
    place = int(np.searchsorted(TAIL_LEVELS, 1 - rate))  # of the direct one
    direct = found[..., place]
    before_tail, start, half, quarter = (found[..., at + (at >= place)] for at in range(len(TAIL_LEVELS)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(start > before_tail, np.sqrt((quarter - start) / (start - before_tail)), 1.0)
    ratio = np.minimum(np.maximum(ratio, min_ratio), 1 - 1e-9)
    halvings = np.log2(TAIL / rate)
    beyond = start + (half - start) * (1 - ratio**halvings) / (1 - ratio)
    return np.where((counts * rate >= EXPECTED_BEYOND) | (rate >= TAIL), direct, beyond)


def threshold(deviations: Vector, rate: float, min_ratio: float = MIN_HALVING_RATIO) -> float:
    """As `thresholds`, of one sample that has a value."""
    return float(thresholds(deviations, np.array([0, len(deviations)]), rate, min_ratio)[0])


def recurring(by_day: NDArray[np.float64], points: Points, rate: float) -> Matrix:
    """The deviation that each bin of the day reaches on three quarters of the days, (series, bins); 0 of few days.

    What happens on most days is usual, however rare a share of the points it is: a job of a few minutes a night. What
    happens on one day is an incident, however many points it has. It is 0 too where, at the rate, a point of the bin is
    expected beyond the threshold on most days.

    Args:
        by_day: the largest deviation in each bin of each day, not negative, (series, days, bins); NaN where there is
            none.
        points: that they are of.
        rate: false alarms a point.
    """
    there = np.isfinite(by_day)
    days, cells = there.sum(axis=1), there.sum(axis=(1, 2))
    rare = rate * points.lengths / np.maximum(cells, 1) < OFTEN
    ranked = np.sort(by_day, axis=1)  # days without points come last
    place = (SELDOM * (days - 1)).astype(np.int64).clip(min=0)
    usual = np.take_along_axis(ranked, place[:, None, :], axis=1)[:, 0]
    return np.where((days >= LEAST_DAYS) & rare[:, None], usual, 0.0)


def held_out(points: Points, share: float = HOLDOUT) -> NDArray[np.bool_]:
    """Which points are in the last `share` of their series' points, bool (n,)."""
    return np.arange(len(points.values)) >= first_after(points, 1 - share)[points.owner]


def first_after(points: Points, share: float) -> NDArray[np.int64]:
    """The position of the first point after the first `share` of each series' points, int64 (series,)."""
    return points.offsets[:-1] + np.ceil(points.lengths * share).astype(np.int64)


def effect_floor(history: Points) -> Vector:
    """The smallest deviation that may score 1, in the unit of each series, float64 (series,)."""
    return np.maximum(history.usual_largest * EFFECT_SHARE, MIN_EFFECT)
