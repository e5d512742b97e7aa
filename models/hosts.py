"""Hosts: one score for a host from those of its metrics.

One metric's alarm is often its own affair; a host in trouble shows in several. The mean over a host's metrics of each
one's score, which counts for no more than 3, has a threshold of its own. It is kept as an entry of a series whose
metric is `*` and that has no model: `combined` holds what the mean exceeds at the target rate.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models.key import ANY, Series

MOST = 3.0
"""In the mean a metric counts for no more than that."""


class Means(NamedTuple):
    """What the scores of several metrics come to, each array (n,).

    Attributes:
        timestamps: the last in each slot of time that has one, rising, int64.
        scores: the mean over what has a score there, float64; NaN where nothing has.
        metrics: how many have one, int64.
    """

    timestamps: NDArray[np.int64]
    scores: NDArray[np.float64]
    metrics: NDArray[np.int64]


def whole(series: Series) -> Series:
    """All the metrics of a series' host."""
    return Series(series.region, series.host, ANY)


def means(timestamps: NDArray[np.int64], scores: NDArray[np.float64], step: int) -> Means:
    """The mean over a host's metrics in every `step` seconds.

    Args:
        timestamps: of all its metrics' points, epoch seconds, int64 (n,).
        scores: float64 (n,), NaN where there is none.
        step: seconds between points: metrics need not be measured at the same second.
    """
    slots, at = np.unique(timestamps // step, return_inverse=True)
    last = np.zeros(len(slots), np.int64)
    np.maximum.at(last, at, timestamps)
    known = ~np.isnan(scores)
    count = np.bincount(at[known], minlength=len(slots))
    total = np.bincount(at[known], np.minimum(scores[known], MOST), len(slots))
    mean = np.divide(total, count, out=np.full(len(slots), np.nan), where=count > 0)
    return Means(last, mean, count)
