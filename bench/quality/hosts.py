"""Hosts: one score for a host from those of its metrics, with a threshold of its own."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models import calibration
from myriad.models.hosts import means
from myriad.models.points import Points

LEAST_LIMIT = 1e-9

Times = NDArray[np.int64]
Values = NDArray[np.float64]


class HostScores(NamedTuple):
    """One score a timestamp, (n,); above 1 is rarer than the rate."""

    times: Times
    scores: Values


def mean(scores: Points) -> HostScores:
    """The mean over metrics, as the product takes it."""
    found = means(scores.timestamps, scores.values, 1)
    return HostScores(found.timestamps, np.nan_to_num(found.scores))


def highest(scores: Points) -> HostScores:
    """The highest score of any metric."""
    times, at = np.unique(scores.timestamps, return_inverse=True)
    found = np.zeros(len(times))
    np.maximum.at(found, at, np.nan_to_num(scores.values))
    return HostScores(times, found)


SERVED = "as served"
"""What the product gives, whose threshold is learnt while its models are fitted."""

HOWS: dict[str, Callable[[Points], HostScores]] = {"mean": mean, "highest": highest}


def calibrated(how: Callable[[Points], HostScores], held: Points, test: Points, rate: float) -> HostScores:
    """A host's scores over the threshold that those of the held-out end of its train part give.

    Args:
        how: one of `HOWS`.
        held: scores in place of values, a series a metric.
        test: likewise.
        rate: as in calibration.
    """
    before, after = how(held), how(test)
    return HostScores(after.times, after.scores / max(calibration.threshold(before.scores, rate), LEAST_LIMIT))


def labels_at(times: Times, points: Points, labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any metric is labelled at each of these rising timestamps."""
    found = np.zeros(len(times), bool)
    found[np.searchsorted(times, points.timestamps[labels])] = True
    return found
