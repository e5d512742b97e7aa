"""Host scores: one score for a host from those of its metrics, and from how these go together.

    mean       = mean over the host's metrics in a slot of time of min(score, METRIC_CAP)
    host score = mean                                                               of less than `MIN_METRICS` metrics
               = (min(mean / its threshold, CAP) + min(departure / its threshold, CAP)) / 2        else
    each over a threshold of its own: what it exceeds at the target rate

One metric's alarm often concerns that metric alone; a host in trouble shows in several, and they no longer move
together as they did: `host_components` has the departure. The threshold of the host score is kept in `combined`, in the
entry of a series whose metric is `*` and that has no model.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models.arrays import Vector
from myriad.models.key import ANY, Series

CLOSE = 4
"""Slots are counted where there can be at most this many times as many as scores."""
MIN_METRICS = 5
"""A metric's score is seen in the light of its host's where so many have one."""
METRIC_CAP = 3.0
"""The score of one metric counts for at most this in the mean."""
CAP = 3.0
"""Neither the mean nor the departure counts for more than this many of its thresholds."""

FIXED_POINT = 2.0**32
"""Scores are added in multiples of 1 / FIXED_POINT: a float64 holds the sum of half a million of them exactly."""


class SlotMeans(NamedTuple):
    """The mean score of a host's metrics in each slot of time that has a point; each array is (slots,).

    Attributes:
        timestamps: the last one in the slot, rising, int64 epoch seconds.
        scores: the mean over the metrics that have a score in the slot, float64; NaN where none has.
        metrics: how many scores that is, int64.
    """

    timestamps: NDArray[np.int64]
    scores: Vector
    metrics: NDArray[np.int64]


def host_key(series: Series) -> Series:
    """The series that stands for all metrics of a series' host."""
    return Series(series.region, series.host, ANY)


def slot_means(timestamps: NDArray[np.int64], scores: Vector, step: int) -> SlotMeans:
    """The mean score of a host's metrics in every slot of `step` seconds.

    Args:
        timestamps: of the points of all its metrics, in any order, epoch seconds, int64 (n,).
        scores: of the same points, float64 (n,), NaN where there is none.
        step: seconds between the points of a metric; metrics need not be measured at the same second.
    """
    slots, slot = distinct(timestamps // step)
    last = np.zeros(len(slots), np.int64)
    np.maximum.at(last, slot, timestamps)
    count, total = _sums(scores, slot, len(slots))
    mean = np.divide(total, count, out=np.full(len(slots), np.nan), where=count > 0)
    return SlotMeans(last, mean, count)


def _sums(scores: Vector, slot: NDArray[np.int64], slots: int = 0) -> tuple[NDArray[np.int64], Vector]:
    """How many scores there are in each slot, and their sum; the same to the last bit in whatever order they come."""
    known = ~np.isnan(scores)
    fixed = np.rint(np.minimum(scores[known], METRIC_CAP) * FIXED_POINT)
    return np.bincount(slot[known], minlength=slots), np.bincount(slot[known], fixed, slots) / FIXED_POINT


def together(mean: Vector, departure: Vector, of_mean: float, of_departure: float) -> Vector:
    """What the mean of a host's metrics and its departure say together, (n,); NaN where there is no mean.

    Args:
        mean: (n,).
        departure: (n,).
        of_mean: the threshold of means.
        of_departure: the threshold of departures.
    """
    return (np.minimum(mean / of_mean, CAP) + np.minimum(departure / of_departure, CAP)) / 2


def with_host(
    timestamps: NDArray[np.int64], scores: Vector, hosts: NDArray[np.int64], steps: NDArray[np.int64]
) -> Vector:
    """Each metric's score in the light of what the host's other metrics show, float64 (n,).

        sqrt(score * mean of the host)      where `MIN_METRICS` or more have a score in the slot; else the score

    Args:
        timestamps: of the points of all metrics, in any order, epoch seconds, (n,).
        scores: of the same points, (n,), NaN where there is none.
        hosts: the number of each point's host, (n,).
        steps: seconds of a slot at each point, the same for all points of a host, (n,).
    """
    slots = timestamps // steps
    first = int(slots.min()) if len(slots) else 0
    many = int(slots.max()) - first + 1 if len(slots) else 1
    _, slot = distinct(hosts * many + (slots - first))
    count, total = _sums(scores, slot)
    found = scores.copy()
    seen = np.flatnonzero(~np.isnan(scores))
    seen = seen[count[slot[seen]] >= MIN_METRICS]
    found[seen] = np.sqrt(scores[seen] * total[slot[seen]] / count[slot[seen]])
    return found


def distinct(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct numbers, rising, and which of them each is; by counting where they lie close together."""
    least, most = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if not len(numbers) or most - least > CLOSE * len(numbers):
        found, which = np.unique(numbers, return_inverse=True)
        return found, which
    there = np.zeros(most - least + 1, np.bool_)
    there[numbers - least] = True
    return np.flatnonzero(there) + least, (np.cumsum(there) - 1)[numbers - least]
