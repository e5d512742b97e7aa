"""Counters: series that only count up, as rates a second."""

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.deviations import moves
from myriad.models.points import Points

LEAST_RISES = 20
"""A series that has risen less often may be anything."""
RISES_A_FALL = 20
"""A counter starts again far more rarely than it counts."""
NEAR_ZERO = 0.05
"""After it has started again a counter is below this share of what it was."""


def as_rates(points: Points, is_counter: NDArray[np.bool_]) -> tuple[Points, NDArray[np.bool_]]:
    """Points with the rate a second since the point before in place of the values of counters.

    A value smaller than the one before is a counter that has started again at 0, as Prometheus' `rate` takes it. The
    first point of a counter has no rate and is left out.

    Args:
        points: tidied, values finite.
        is_counter: of each series, bool (series,).

    Returns:
        The points that are left, and which of the given ones these are, bool (n,).
    """
    counted = is_counter[points.owner]
    first = np.zeros(len(counted), bool)
    first[points.offsets[:-1][points.lengths > 0]] = True
    before = np.concatenate([points.values[:1], points.values[:-1]])
    seconds = np.maximum(np.diff(points.timestamps, prepend=points.timestamps[:1]), 1)
    risen = np.where(points.values < before, points.values, points.values - before)
    rates = np.where(counted, risen / seconds, points.values)
    kept = ~(counted & first)
    return points.with_values(rates).where(kept), kept


def look_like_counters(points: Points) -> NDArray[np.bool_]:
    """Which series never fall but to near 0, and rise far more often, bool (series,)."""
    rises, falls, drops = moves(points.values, points.offsets, NEAR_ZERO).T
    return (drops == 0) & (rises >= LEAST_RISES) & (rises >= RISES_A_FALL * falls)
