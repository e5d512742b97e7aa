"""Hosts: how high the scores of all of a host's metrics are together, at the target rate."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from myriad.models import calibration
from myriad.models.ensemble import COMBINES
from myriad.models.hosts import means, whole
from myriad.models.key import ANY, Series
from myriad.storage.shard import NO_MODEL, Entries
from myriad.training.fit import LEAST_COMBINED, MOST_COMBINED, Fitted
from myriad.training.plan import Plan

LEAST_METRICS = 2


def with_hosts(plan: Plan, fitted: Sequence[Fitted]) -> list[Fitted]:
    """What was fitted, and an entry for each host of which at least two metrics have held-out scores.

    Args:
        plan: its windows and rate.
        fitted: all the metrics of each host.
    """
    found: dict[Series, list[tuple[NDArray[np.int64], NDArray[np.float64], int]]] = {}
    for one in fitted:
        if one.held_out is not None:
            for i, series in enumerate(one.entries.series):
                found.setdefault(whole(series), []).append((*one.held_out.series(i), int(one.entries.step[i])))
    taken = {series for one in fitted for series in one.entries.series}
    rows = [
        (series, *row)
        for series, metrics in found.items()
        if series not in taken and series.host != ANY and (row := _threshold(plan, metrics))
    ]
    return [*fitted, Fitted(_entries(plan, *zip(*rows, strict=True)))] if rows else list(fitted)


def _threshold(
    plan: Plan, metrics: Sequence[tuple[NDArray[np.int64], NDArray[np.float64], int]]
) -> tuple[float, int, tuple[int, int], int] | None:
    """The mean that is exceeded at the target rate, the step, the time it was learnt from, and how many means that is.

    None where there is too little to tell.
    """
    scored = [one for one in metrics if len(one[0])]
    if len(scored) < LEAST_METRICS:
        return None
    step = int(np.median([one[2] for one in scored]))
    times, values = np.concatenate([one[0] for one in scored]), np.concatenate([one[1] for one in scored])
    timestamps, scores, _ = means(times, values, step)
    if len(scores) < calibration.MIN_HOLDOUT:
        return None
    return calibration.threshold(scores, plan.rate), step, (int(timestamps[0]), int(timestamps[-1])), len(scores)


def _entries(
    plan: Plan,
    series: Sequence[Series],
    thresholds: Sequence[float],
    steps: Sequence[int],
    history: Sequence[tuple[int, int]],
    points: Sequence[int],
) -> Entries:
    """Entries without models: whatever the combination, the threshold."""
    n, w = len(series), len(plan.windows)
    limits = np.clip(thresholds, LEAST_COMBINED, MOST_COMBINED).astype(np.float16)
    return Entries(
        series=series,
        step=np.array(steps, np.int64),
        points=np.array(points, np.int64),
        fitted_at=np.full(n, int(time.time()), np.int64),
        history=np.array(history, np.int64),
        adapter=np.full((n, w), NO_MODEL, np.uint8),
        row=np.zeros((n, w), np.int64),
        combined=np.tile(limits[:, None, None], (1, len(COMBINES), 1 << w)),
        windows=plan.windows,
        adapters=(),
        models={},
    )
