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

import numpy as np

from myriad.models.points import Points, ranges


def latest(points: Points, count: int) -> Points:
    """The last `count` points of each series."""
    lengths = np.minimum(points.lengths, count)
    positions = ranges(points.offsets[1:] - lengths, lengths)
    return Points(points.timestamps[positions], points.values[positions], np.append(0, np.cumsum(lengths)))
