"""Host thresholds: what the scores of hosts exceed at the target rate, and what they are made of."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models import calibration
from myriad.models.ensemble import COMBINES
from myriad.models.host_components import HostComponents
from myriad.models.host_scores import host_key, slot_means, together
from myriad.models.key import ANY, Series
from myriad.storage.shard import HOST_COLUMNS, LEAST_COMBINED, MOST_COMBINED, NO_MODEL, Entries
from myriad.training.fit import Fitted
from myriad.training.host_components import HostFit
from myriad.training.plan import Plan

LEAST_METRICS = 2
LEAST_THRESHOLD = 1e-6


class _HeldOut(NamedTuple):
    """The held-out scores of one metric of a host: times int64 (n,), scores float64 (n,), seconds between points."""

    timestamps: NDArray[np.int64]
    scores: NDArray[np.float64]
    step: int


class _Threshold(NamedTuple):
    """What a host's score exceeds at the target rate, and the means it was learnt from.

    Attributes:
        series: the host's, with `*` for its metric.
        threshold: a mean, or what it and the departure say together.
        of_departure: what departures exceed at the rate; 0 of a host without components.
        of_mean: likewise of means.
        step: seconds between means.
        history: the first and the last time of a mean.
        means: how many.
    """

    series: Series
    threshold: float
    of_departure: float
    of_mean: float
    step: int
    history: tuple[int, int]
    means: int


def with_host_thresholds(
    plan: Plan, fitted: Sequence[Fitted], components: Mapping[Series, HostFit] = MappingProxyType({})
) -> list[Fitted]:
    """What was fitted, and an entry for each host of which at least two metrics have held-out scores.

    Args:
        plan: its windows and rate.
        fitted: all the metrics of each host.
        components: of hosts, by the host's series.
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
        if host not in taken
        and host.host != ANY
        and (threshold := _threshold(plan.rate, host, metrics, components.get(host)))
    ]
    if not thresholds:
        return list(fitted)
    there = [components[one.series] for one in thresholds if one.of_departure]
    rows = {series: row for one in there for series, row in zip(one.series, _rows(one.components), strict=True)}
    parts = [_with_components(part, rows) for part in fitted] if rows else list(fitted)
    return [*parts, Fitted(_entries(plan, thresholds, components))]


def _rows(components: HostComponents) -> NDArray[np.float32]:
    """Of each metric its center, its scale and its part in each component, (metrics, `HOST_COLUMNS`)."""
    rows = np.zeros((len(components.center), HOST_COLUMNS), np.float32)
    rows[:, 0], rows[:, 1] = components.center, components.scale
    rows[:, 2 : 2 + components.vectors.shape[1]] = components.vectors
    return rows


def _with_components(part: Fitted, rows: Mapping[Series, NDArray[np.float32]]) -> Fitted:
    nothing = np.zeros(HOST_COLUMNS, np.float32)
    host = np.array([rows.get(series, nothing) for series in part.entries.series], np.float32)
    return replace(part, entries=replace(part.entries, host=host.reshape(-1, HOST_COLUMNS)))


def _threshold(rate: float, host: Series, metrics: Sequence[_HeldOut], components: HostFit | None) -> _Threshold | None:
    """The threshold of one host; None where there are too few scores to tell."""
    scored = [metric for metric in metrics if len(metric.timestamps)]
    if len(scored) < LEAST_METRICS:
        return None
    step = components.step if components else int(np.median([metric.step for metric in scored]))
    times = np.concatenate([metric.timestamps for metric in scored])
    timestamps, scores, _ = slot_means(times, np.concatenate([metric.scores for metric in scored]), step)
    if len(scores) < calibration.MIN_HOLDOUT:
        return None
    span = int(timestamps[0]), int(timestamps[-1])
    of_mean, of_departure = max(calibration.threshold(scores, rate), LEAST_THRESHOLD), 0.0
    threshold = of_mean
    if components:
        _, mine, theirs = np.intersect1d(timestamps // step, components.slots, assume_unique=True, return_indices=True)
        if len(mine) >= calibration.MIN_HOLDOUT:
            of_departure = max(calibration.threshold(components.departures, rate), LEAST_THRESHOLD)
            joint = together(scores[mine], components.departures[theirs], of_mean, of_departure)
            threshold = calibration.threshold(joint, rate)
    return _Threshold(host, threshold, of_departure, of_mean, step, span, len(scores))


def _entries(plan: Plan, thresholds: Sequence[_Threshold], components: Mapping[Series, HostFit]) -> Entries:
    """Entries without models: whatever the combination, the threshold."""
    n, w = len(thresholds), len(plan.windows)
    host = np.zeros((n, HOST_COLUMNS), np.float32)
    for row, one in zip(host, thresholds, strict=True):
        if one.of_departure:
            row[:3] = components[one.series].components.level, one.of_departure, one.of_mean
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
        host=host if host.any() else None,
    )
