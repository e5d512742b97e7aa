"""Calibration: the deviation that is rarer than a stated rate, learnt from history no model was fitted to."""

import numpy as np
from numpy.typing import NDArray

from myriad.models.points import Points

DEFAULT_RATE = 1e-4
"""False alarms a point: a score above 1 is to be rarer than this on normal data."""

HOLDOUT = 0.3
"""The share of a history, its last part, that models are calibrated on and not fitted to."""

MIN_HOLDOUT = 20
"""Scored points needed to calibrate at all."""

TAIL = 0.05
"""The share of the largest deviations the tail is fitted to."""

LIGHTEST = 0.96
"""What a halving of the tail takes of the halving before, at the least; a normal distribution's takes 0.9."""

EXPECTED_BEYOND = 10
"""An empirical quantile is used only when at least this many points are expected beyond it."""

MOST_SPREADS = 1e30
"""A threshold is kept as a float32; beyond this the effect-size floor decides."""

EFFECT = 0.01
"""No deviation below this share of the largest |value| of the history scores 1: rounding and idling do not alert."""

SMALLEST_EFFECT = 1e-9
"""The floor of a series that has only ever been zero."""


def threshold(deviations: NDArray[np.float64], rate: float, lightest: float = LIGHTEST) -> float:
    """The deviation exceeded with probability `rate`.

    The empirical quantile where the sample reaches that far; else one beyond the start u of the largest `TAIL` of the
    sample. Half of those lie within m of u, and were the tail exponential each further halving would take m again
    (peaks over threshold with shape 0: Pickands, "Statistical inference using extreme order statistics", 1975). A
    lighter tail takes less each time: as much less as the halvings before show, but no less than `lightest` of it.
    Quantiles, where the mean excess is usual, because some of the history is incidents: they are few and far out, and
    a mean would follow them.

    Args:
        deviations: of held-out points, not negative, at least one; NaN is left out.
        rate: between 0 and 1.
        lightest: 1 for an exponential tail whatever the sample shows.
    """
    known = deviations[~np.isnan(deviations)]
    if rate >= TAIL or len(known) * rate >= EXPECTED_BEYOND:
        return float(np.quantile(known, 1 - rate))
    body, start, half, far = np.quantile(known, [1 - 4 * TAIL, 1 - TAIL, 1 - TAIL / 2, 1 - TAIL / 4]).tolist()
    shrinks = np.sqrt((far - start) / (start - body)) if start > body else 1.0
    shrinks = min(max(shrinks, lightest), 1 - 1e-9)
    halvings = np.log2(TAIL / rate)
    return float(start + (half - start) * (1 - shrinks**halvings) / (1 - shrinks))


def held_out(points: Points, share: float = HOLDOUT) -> NDArray[np.bool_]:
    """Which points are in the last `share` of their series' points, bool (n,)."""
    position = np.arange(len(points.values)) - points.offsets[:-1][points.owner]
    return position >= (points.lengths * (1 - share))[points.owner]


def effect_floor(history: Points) -> NDArray[np.float64]:
    """The smallest deviation that may score 1, in the unit of each series, float64 (series,)."""
    return np.maximum(history.largest() * EFFECT, SMALLEST_EFFECT)
