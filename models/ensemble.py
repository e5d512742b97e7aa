"""Ensemble: one score from the scores of several windows."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.windows import POWER, combined
from myriad.models.arrays import Matrix, Vector
from myriad.models.windows import Window

Combine = Literal["weighted", "min", "max"]
"""weighted: the power mean, longer windows counting more. min: all windows agree (page). max: any window (explore)."""

COMBINES: tuple[Combine, ...] = get_args(Combine)
DEFAULT_WEIGHTS: Mapping[Window, float] = {Window(60): 1.0, Window(900): 2.0, Window(3600): 4.0}
POWERS = (1, POWER)
"""Of the weighted mean: plain, and the default."""
MAX_WINDOWS = 6
"""A release has at most this many windows: a calibrated combination is kept for every subset of them."""


def combine(scores: Matrix, weights: Sequence[float], how: Combine, power: int = POWER) -> Vector:
    """One uncalibrated score for each point, float64 (n,), from those of the windows.

        weighted: (sum(weight * score^p) / sum(weight))^(1/p), over the windows that have a score at the point
        min, max: the smallest or largest of these scores

    Where longer windows weigh more, a plain mean, p = 1, would let quiet long windows outvote a short one that is far
    off. The fourth power lets one window carry an incident, and the weights still say that the same score is more
    serious in a longer one. A score counts for at most 1,000.

    Args:
        scores: float64 (windows, n); NaN where a window has no score.
        weights: one for each window, positive.
        how: see `Combine`.
        power: p, one of `POWERS`.

    Returns:
        float64 (n,), NaN where no window has a score.
    """
    return combined(scores, np.asarray(weights, np.float64), power, COMBINES.index(how))


def subset(present: NDArray[np.bool_], positions: Sequence[int]) -> NDArray[np.int64]:
    """Which windows have a score at each point, as a bit mask, int64 (n,).

    Args:
        present: whether they do, bool (windows, n).
        positions: the bit of each window: its position among the release's.
    """
    bits = np.zeros(present.shape[1], np.int64)
    for window_present, position in zip(present, positions, strict=True):
        bits += window_present.astype(np.int64) << position
    return bits


def subsets(windows: int) -> range:
    """The bit masks of all subsets, the empty one included."""
    return range(1 << windows)
