"""Host thresholds: what the mean score of a host's metrics exceeds at the target rate."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models import calibration
from myriad.models.ensemble import COMBINES
from myriad.models.host_scores import host_key, slot_means
from myriad.models.key import ANY, Series
from myriad.storage.shard import LEAST_COMBINED, MOST_COMBINED, NO_MODEL, Entries
from myriad.training.fit import Fitted
from myriad.training.plan import Plan

LEAST_METRICS = 2


class _HeldOut(NamedTuple):
    """The held-out scores of one metric of a host: times int64 (n,), scores float64 (n,), seconds between points."""

    timestamps: NDArray[np.int64]
    scores: NDArray[np.float64]
    step: int


class _Threshold(NamedTuple):
    """What the mean over a host's metrics exceeds at the target rate, and the means it was learnt from.

    Attributes:
        series: the host's, with `*` for its metric.
        threshold: a mean.
        step: seconds between means.
        history: the first and the last time of a mean.
        means: how many.
    """

    series: Series
    threshold: float
    step: int
    history: tuple[int, int]
    means: int


def with_host_thresholds(plan: Plan, fitted: Sequence[Fitted]) -> list[Fitted]:
    """What was fitted, and an entry for each host of which at least two metrics have held-out scores.

    Args:
        plan: its windows and rate.
        fitted: all the metrics of each host.
    """
    hosts: dict[Series, list[_HeldOut]] = {}
    for part in fitted:
        if part.held_out is not None:
            for i, series in enumerate(part.entries.series):
                metric = _HeldOut(*part.held_out.series(i), int(part.entries.step[i]))
                hosts.setdefault(host_key(series), []).append(metric)
    taken = {series for part in fitted for series in part.entries.series}
    thresholds = [
        threshold
        for host, metrics in hosts.items()
        if host not in taken and host.host != ANY and (threshold := _threshold(plan.rate, host, metrics))
    ]
    return [*fitted, Fitted(_entries(plan, thresholds))] if thresholds else list(fitted)


def _threshold(rate: float, host: Series, metrics: Sequence[_HeldOut]) -> _Threshold | None:
    """The threshold of one host; None where there are too few scores to tell."""
    scored = [metric for metric in metrics if len(metric.timestamps)]
    if len(scored) < LEAST_METRICS:
        return None
    step = int(np.median([metric.step for metric in scored]))
    times = np.concatenate([metric.timestamps for metric in scored])
    timestamps, scores, _ = slot_means(times, np.concatenate([metric.scores for metric in scored]), step)
    if len(scores) < calibration.MIN_HOLDOUT:
        return None
    span = int(timestamps[0]), int(timestamps[-1])
    return _Threshold(host, calibration.threshold(scores, rate), step, span, len(scores))


def _entries(plan: Plan, thresholds: Sequence[_Threshold]) -> Entries:
    """Entries without models: whatever the combination, the threshold."""
    n, w = len(thresholds), len(plan.windows)
    limits = np.clip([one.threshold for one in thresholds], LEAST_COMBINED, MOST_COMBINED).astype(np.float16)
    return Entries(
        series=[one.series for one in thresholds],
        step=np.array([one.step for one in thresholds], np.int64),
        points=np.array([one.means for one in thresholds], np.int64),
        fitted_at=np.full(n, int(time.time()), np.int64),
        history=np.array([one.history for one in thresholds], np.int64),
        adapter=np.full((n, w), NO_MODEL, np.uint8),
        row=np.zeros((n, w), np.int64),
        combined=np.tile(limits[:, None, None], (1, len(COMBINES), 1 << w)),
        windows=plan.windows,
        adapters=(),
        models={},
    )
