"""VUS-PR: the volume under the surface of precision, recall and the tolerance around events.

Paparrizos, Boniol, Palpanas, Tsay, Elmore, Franklin, "Volume Under the Surface: A New Accuracy Evaluation Measure for
Time-Series Anomaly Detection", VLDB 2022. For a buffer of l points, a point at distance d from an event, d <= l / 2,
has the label sqrt(1 - d / l). With p the predictions at a threshold:

    true positives = labels . p        positives = (events' points + sum of labels) / 2
    precision = true positives / sum of p
    recall    = min(1, true positives / positives) x share of events with a prediction within l / 2

The area under the curve is taken in steps, sum of precision x rise of recall, so that a score that says nothing gets
the share of labelled points and no more. The volume is the mean of the areas for l = 0 ... L.

Here a point between two events belongs to the nearer, and there are up to 250 thresholds: half at ranks evenly apart,
half at ranks that grow geometrically, because events are rare and what matters is at the top.
"""

import numpy as np
from numpy.typing import NDArray

from bench.quality.events import runs

MOST_BUFFER = 100
DAY = 86400
THRESHOLDS = 250


def buffer_of(step: int) -> int:
    """The longest buffer, in points: a day, which is the period of telemetry, but at most `MOST_BUFFER`."""
    return max(2, min(MOST_BUFFER, DAY // step))


def vus_pr(scores: NDArray[np.float64], labels: NDArray[np.bool_], buffer: int) -> float:
    """The volume for scores and hard labels, both (n,), finite; NaN where there is no event, or nothing else."""
    if not labels.any() or labels.all():
        return float("nan")
    bins, levels = _binned(scores)
    event, distance = _nearest(labels)
    near = distance <= buffer // 2
    seen, event, distance = bins[near], event[near], distance[near]
    deep = buffer // 2 + 1
    histogram = np.bincount(distance * levels + seen, minlength=deep * levels).reshape(deep, levels)
    soft = _soft(buffer)
    true = np.cumsum(soft @ histogram, axis=1)
    positives = (labels.sum() + soft @ histogram.sum(axis=1)) / 2
    found = _found(event, distance, seen, deep, levels)[np.arange(buffer + 1) // 2]
    recall = np.minimum(true / positives[:, None], 1) * found
    precision = true / np.cumsum(np.bincount(bins, minlength=levels))
    return float((np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1).mean())


def _binned(scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """The first, that is highest, threshold each point is predicted at, and how many there are."""
    n = len(scores)
    even, rare = np.linspace(0, n - 1, THRESHOLDS // 2), np.geomspace(1, n, THRESHOLDS // 2) - 1
    ranks = np.unique(np.concatenate([even, rare]).astype(np.int64))
    thresholds = np.sort(scores)[::-1][ranks]
    return np.searchsorted(-thresholds, -scores, side="left"), len(ranks)


def _nearest(labels: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest event of each point, and how many points away it is; int64 (n,)."""
    starts, ends = runs(labels)
    at, far = np.arange(len(labels)), len(labels)
    after = np.searchsorted(starts, at, side="right")
    to_next = np.where(after < len(starts), starts[np.minimum(after, len(starts) - 1)] - at, far)
    since_last = np.where(after > 0, np.maximum(at - (ends[after - 1] - 1), 0), far)
    return np.where(since_last <= to_next, after - 1, after), np.minimum(since_last, to_next)


def _soft(buffer: int) -> NDArray[np.float64]:
    """Labels by buffer and distance, (buffer + 1, buffer // 2 + 1)."""
    wide, distance = np.arange(buffer + 1)[:, None], np.arange(buffer // 2 + 1)[None, :]
    label = np.sqrt(np.maximum(1 - distance / np.maximum(wide, 1), 0))
    return np.where(distance <= wide // 2, label, 0.0)


def _found(
    event: NDArray[np.int64], distance: NDArray[np.int64], seen: NDArray[np.int64], deep: int, levels: int
) -> NDArray[np.float64]:
    """The share of events with a prediction no further than each distance, at each threshold, (deep, levels)."""
    first = np.full((int(event.max()) + 1, deep), levels)
    np.minimum.at(first, (event, distance), seen)
    first = np.minimum.accumulate(first, axis=1)
    counts = np.stack([np.bincount(column, minlength=levels + 1)[:levels] for column in first.T])
    return np.cumsum(counts, axis=1) / len(first)
