"""Scores of hosts: one score for a host from those of its metrics, with a threshold of its own."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models import calibration
from myriad.models.host_scores import slot_means
from myriad.models.points import Points

MIN_THRESHOLD = 1e-9

Times = NDArray[np.int64]
Values = NDArray[np.float64]


class HostScores(NamedTuple):
    """A score at each timestamp, both (n,); a score above 1 is rarer than the target rate."""

    times: Times
    scores: Values


def mean(scores: Points) -> HostScores:
    """The mean over metrics, as Myriad computes it."""
    combined = slot_means(scores.timestamps, scores.values, 1)
    return HostScores(combined.timestamps, np.nan_to_num(combined.scores))


def highest(scores: Points) -> HostScores:
    """The highest score of any metric."""
    times, at = np.unique(scores.timestamps, return_inverse=True)
    highest_scores = np.zeros(len(times))
    np.maximum.at(highest_scores, at, np.nan_to_num(scores.values))
    return HostScores(times, highest_scores)


SERVED = "as served"
"""Scores of hosts as Myriad serves them, with the threshold calibrated when the models were fitted."""

COMBINATIONS: dict[str, Callable[[Points], HostScores]] = {"mean": mean, "highest": highest}


def calibrated(combine: Callable[[Points], HostScores], held_out: Points, test: Points, rate: float) -> HostScores:
    """A host's scores divided by a threshold that is calibrated on the held-out end of its train part.

    Args:
        combine: one of `COMBINATIONS`.
        held_out: scores in place of values, one series for each metric.
        test: likewise.
        rate: target share of points above 1.
    """
    held_out_scores, test_scores = combine(held_out), combine(test)
    threshold = max(calibration.threshold(held_out_scores.scores, rate), MIN_THRESHOLD)
    return HostScores(test_scores.times, test_scores.scores / threshold)


def labels_at(times: Times, points: Points, labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any metric is labelled at each of these rising timestamps, bool (n,)."""
    any_metric = np.zeros(len(times), bool)
    any_metric[np.searchsorted(times, points.timestamps[labels])] = True
    return any_metric
