"""VUS-PR: the volume under the surface of precision, recall and the tolerance around events.

Paparrizos, Boniol, Palpanas, Tsay, Elmore, Franklin, "Volume Under the Surface: A New Accuracy Evaluation Measure for
Time-Series Anomaly Detection", VLDB 2022. For a buffer of l points, a point at distance d from an event, d <= l / 2,
has the label sqrt(1 - d / l). With p the predictions at a threshold:

    true positives = labels . p        positives = (events' points + sum of labels) / 2
    precision = true positives / sum of p
    recall    = min(1, true positives / positives) x share of events with a prediction within l / 2

The area under the curve is a sum of steps, precision x increase of recall, so that an uninformative score gets the
share of labelled points and no more. The volume is the mean of the areas for l = 0 ... L.

Here a point between two events belongs to the nearer one. There are up to 250 thresholds, half at equidistant ranks of
the scores and half at ranks in geometric progression, because events are rare and the highest scores matter most.
"""

import numpy as np
from numpy.typing import NDArray

from bench.quality.events import runs

MAX_BUFFER = 100
DAY = 86400
THRESHOLDS = 250


def buffer_of(step: int) -> int:
    """The longest buffer, in points: a day, which is the period of telemetry, but at most `MAX_BUFFER`."""
    return max(2, min(MAX_BUFFER, DAY // step))


def vus_pr(scores: NDArray[np.float64], labels: NDArray[np.bool_], buffer: int) -> float:
    """The volume for finite scores and labels, both (n,); NaN if no point is labelled, or all are."""
    if not labels.any() or labels.all():
        return float("nan")
    bins, levels = _binned(scores)
    event, distance = _nearest(labels)
    near = distance <= buffer // 2
    bin_near, event, distance = bins[near], event[near], distance[near]
    distances = buffer // 2 + 1
    histogram = np.bincount(distance * levels + bin_near, minlength=distances * levels).reshape(distances, levels)
    soft = _soft_labels(buffer)
    true = np.cumsum(soft @ histogram, axis=1)
    positives = (labels.sum() + soft @ histogram.sum(axis=1)) / 2
    recalled = _recalled_events(event, distance, bin_near, distances, levels)[np.arange(buffer + 1) // 2]
    recall = np.minimum(true / positives[:, None], 1) * recalled
    precision = true / np.cumsum(np.bincount(bins, minlength=levels))
    return float((np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1).mean())


def _binned(scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """The number of the highest threshold that each point reaches, (n,), and how many thresholds there are."""
    n = len(scores)
    even, rare = np.linspace(0, n - 1, THRESHOLDS // 2), np.geomspace(1, n, THRESHOLDS // 2) - 1
    ranks = np.unique(np.concatenate([even, rare]).astype(np.int64))
    thresholds = np.sort(scores)[::-1][ranks]
    return np.searchsorted(-thresholds, -scores, side="left"), len(ranks)


def _nearest(labels: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest event of each point and the distance to it in points, both int64 (n,)."""
    starts, ends = runs(labels)
    at, far = np.arange(len(labels)), len(labels)
    after = np.searchsorted(starts, at, side="right")
    to_next = np.where(after < len(starts), starts[np.minimum(after, len(starts) - 1)] - at, far)
    since_last = np.where(after > 0, np.maximum(at - (ends[after - 1] - 1), 0), far)
    return np.where(since_last <= to_next, after - 1, after), np.minimum(since_last, to_next)


def _soft_labels(buffer: int) -> NDArray[np.float64]:
    """The label by buffer and distance, (buffer + 1, buffer // 2 + 1)."""
    buffers, distance = np.arange(buffer + 1)[:, None], np.arange(buffer // 2 + 1)[None, :]
    label = np.sqrt(np.maximum(1 - distance / np.maximum(buffers, 1), 0))
    return np.where(distance <= buffers // 2, label, 0.0)


def _recalled_events(
    event: NDArray[np.int64], distance: NDArray[np.int64], bin_near: NDArray[np.int64], distances: int, levels: int
) -> NDArray[np.float64]:
    """The share of events with a prediction within each distance, at each threshold, (distances, levels)."""
    first = np.full((int(event.max()) + 1, distances), levels)
    np.minimum.at(first, (event, distance), bin_near)
    first = np.minimum.accumulate(first, axis=1)
    counts = np.stack([np.bincount(column, minlength=levels + 1)[:levels] for column in first.T])
    return np.cumsum(counts, axis=1) / len(first)
