"""persistence: a value is expected to be what the one before it was.

    expected[t] = value[t - 1]
    score[t] = |value[t] - value[t - 1]| / (threshold * step_spread)

The persistence (or naive) forecast suits series that wander without a rhythm. It finds jumps and not slow changes. The
first point of a request has none before it: it is compared with the median of the history, and with the spread around
that. Use it as `--adapter persistence`; see README.md.
"""

from typing import ClassVar, Self

import numpy as np
from myriad.models.base import Fit, Model, Param, Prediction
from myriad.models.errors import HistoryUnusable
from myriad.models.points import Points, magnitudes
from numpy.typing import NDArray

MIN_POINTS = 30
NORMAL = float(np.sqrt(np.pi / 2))
"""For a normal distribution the standard deviation is this many mean absolute deviations."""
ROUNDING = 1e-9
"""No spread is smaller than this share of the largest value: that of a constant series would be zero."""


class Persistence(Model):
    """The median of the history, the spread around it, and the spread of one-step changes."""

    params: ClassVar = {
        "level": Param("<f8"),
        "level_spread": Param("<f8", positive=True, digits=10),
        "step_spread": Param("<f8", positive=True, digits=10),
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """A row for each history of at least 30 points; spreads are scaled mean absolute deviations."""
        refused = {
            i: HistoryUnusable(f"{n} points are too few for the spread of changes; {MIN_POINTS} are needed")
            for i, n in enumerate(history.lengths.tolist())
            if n < MIN_POINTS
        }
        kept = np.array([i for i in range(len(history)) if i not in refused], np.int64)
        points = history.take(kept)
        rows = [_level_and_spreads(points.series(i)[1]) for i in range(len(points))]
        level, level_spread, step_spread = np.array(rows).reshape(-1, 3).T
        least = ROUNDING * magnitudes(points)
        arrays = {
            "level": level,
            "level_spread": np.maximum(level_spread, least),
            "step_spread": np.maximum(step_spread, least),
        }
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The last value before each point of its series; the level where there is none."""
        row = np.repeat(rows, points.lengths)
        before = _last_before(points)
        has_last = before >= 0
        expected = np.where(has_last, points.values[before], self.arrays["level"][row])
        spread = np.where(has_last, self.arrays["step_spread"][row], self.arrays["level_spread"][row])
        return self.banded(points.values, expected, self.half_band(row, spread))


def _level_and_spreads(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The median, the spread around it, and the spread of the changes from one value to the next."""
    level = float(np.median(values))
    return level, NORMAL * float(np.abs(values - level).mean()), NORMAL * float(np.abs(np.diff(values)).mean())


def _last_before(points: Points) -> NDArray[np.int64]:
    """Where the last value before each point of its series is, int64 (n,); -1 where there is none.

    NaN is no value: a point after a gap is compared with the last one before the gap.
    """
    position = np.arange(len(points.values))
    last = np.full(len(position), -1)
    last[1:] = np.maximum.accumulate(np.where(np.isnan(points.values), -1, position))[:-1]
    first = points.offsets[:-1][points.owner]  # of the point's own series
    return np.where(last >= first, last, -1)
