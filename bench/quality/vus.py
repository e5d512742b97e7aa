"""VUS-PR: the volume under the surface of precision, recall and the tolerance around events.

Paparrizos, Boniol, Palpanas, Tsay, Elmore, Franklin, "Volume Under the Surface: A New Accuracy Evaluation Measure for
Time-Series Anomaly Detection", VLDB 2022, in the form that TSB-AD (Liu, Paparrizos, "The Elephant in the Room", NeurIPS
2024) computes. For a buffer of l points, each event adds sqrt(1 - d / l) to the label of a point at distance
d <= l / 2, which is 1 at most. With p the predictions at a threshold, and P the events' points:

    true positives = sum of the labels of what is predicted
    positives      = P + half the labels around events of what is predicted
    precision      = true positives / sum of p
    recall         = min(1, true positives / positives) x share of events with a prediction within l / 2

Events whose buffers touch are one for that share. Only labels that are predicted count, so that predicting the events'
points and no others gives 1. The area under the curve is a sum of steps, precision x increase of recall, so that an
uninformative score gets the share of labelled points and no more. The volume is the mean of the areas for l = 0 ... L.
Every rank of the scores is a threshold.
"""

import numpy as np
from numpy.typing import NDArray

from bench.quality.events import HOUR, runs

MIN_BUFFER = 10


def buffer_of(step: int) -> int:
    """The longest buffer, in points: an hour, and at least `MIN_BUFFER`."""
    return max(MIN_BUFFER, HOUR // step)


def vus_pr(scores: NDArray[np.float64], labels: NDArray[np.bool_], buffer: int) -> float:
    """The volume for finite scores and labels, both (n,); NaN if no point is labelled, or all are."""
    if not labels.any() or labels.all():
        return float("nan")
    starts, ends = runs(labels)
    distinct, level = np.unique(-scores, return_inverse=True)  # the rank of each point's threshold, highest first
    predicted = np.cumsum(np.bincount(level))
    at, distance = _pairs(starts, ends, buffer // 2, len(scores))
    near = np.unique(np.concatenate([at, np.flatnonzero(labels)]))
    near = near[np.argsort(level[near], kind="stable")]
    place = np.empty(len(scores), np.int64)
    place[near] = np.arange(len(near))
    last = np.flatnonzero(np.append(level[near][1:] != level[near][:-1], True))  # of each threshold
    thresholds, in_events, points = level[near[last]], np.cumsum(labels[near])[last], labels.sum()
    padded, volume = np.append(level, len(distinct)), 0.0
    for length in range(buffer + 1):
        within = distance <= length // 2
        around = np.bincount(place[at[within]], np.sqrt(1 - distance[within] / max(length, 1)), len(near))
        true = np.cumsum(np.where(labels[near], 1.0, np.minimum(around, 1)))[last]
        first = _first_predicted(padded, starts, ends, length // 2)
        share = np.searchsorted(np.sort(first), thresholds, side="right") / len(first)
        recall = np.minimum(true / (points + (true - in_events) / 2), 1) * share
        volume += float((np.diff(recall, prepend=0.0) * true / predicted[thresholds]).sum())
    return volume / (buffer + 1)


def _pairs(
    starts: NDArray[np.int64], ends: NDArray[np.int64], most: int, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points around each event and how far from it they are, at most so many points; both int64 (pairs,)."""
    steps = np.arange(1, most + 1)
    at = np.concatenate([(starts[:, None] - steps).ravel(), (ends[:, None] - 1 + steps).ravel()])
    there = (at >= 0) & (at < n)
    return at[there], np.tile(steps, 2 * len(starts))[there]


def _first_predicted(
    level: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], around: int
) -> NDArray[np.int64]:
    """The first threshold at which any point within so many of an event is predicted, of events that do not touch.

    Args:
        level: of each point, and one more.
        starts: of the events.
        ends: exclusive.
        around: points.
    """
    apart = ends[:-1] - 1 + around < starts[1:] - around
    begins = np.maximum(starts[np.concatenate([[True], apart])] - around, 0)
    until = np.minimum(ends[np.concatenate([apart, [True]])] + around, len(level) - 1)
    return np.minimum.reduceat(level, np.stack([begins, until], axis=1).ravel())[::2]
