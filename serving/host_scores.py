"""Host scores: one score for each host of a query, from the scores and the values of its metrics.

`models.host_scores` has the formula.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.scoring import NO_MODEL
from myriad.models.arrays import Vector
from myriad.models.ensemble import COMBINES
from myriad.models.host_components import HostComponents
from myriad.models.host_scores import METRIC_CAP, host_key, slot_means, together
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.models.scores import REASONS, HostScores
from myriad.models.status import Status
from myriad.models.windows import Window
from myriad.serving.resolution import NOT_FOUND, Resolution
from myriad.storage.shard import Shard

WEIGHTED = COMBINES.index("weighted")
MIN_METRIC_SHARE = 0.5
"""Where less than this share of a host's metrics has a score at a time, the host has none."""


class _HostEntry(NamedTuple):
    """What a shard holds about a host as a whole.

    Attributes:
        step: seconds between the points of its history.
        threshold: what its score exceeds at the target rate.
        level: of departures, at the end of its history.
        of_departure: what departures exceed at the rate; 0 of a host without components.
        of_mean: likewise of means.
        metrics_with_models: how many of its metrics have models.
    """

    step: int
    threshold: float
    level: float
    of_departure: float
    of_mean: float
    metrics_with_models: int


def host_scores(
    query: Query, shortest: Window, score: Vector, resolution: Resolution, shards: Mapping[int, Shard]
) -> list[HostScores]:
    """A score for each host, in the order in which the hosts first occur.

    Args:
        query: the series and their points; where means were posted, those of the shortest window stand for the values.
        shortest: window of the release.
        score: of all windows in their weighted combination, which is what a host's threshold was fitted to, (n,).
        resolution: where the series' models are.
        shards: those that could be opened, by position among the resolution's artifacts.
    """
    names, points = query.names, query.points
    if query.values is not None:
        points = points.with_values(query.values.get(shortest, np.full(len(score), np.nan)))
    members: dict[Series, list[int]] = {}
    for i in range(len(names)):
        members.setdefault(host_key(names[i]), []).append(i)
    return [_score_host(names, points, score, resolution, shards, *host) for host in members.items()]


def _score_host(
    names: Names,
    points: Points,
    score: Vector,
    resolution: Resolution,
    shards: Mapping[int, Shard],
    host: Series,
    series: list[int],
) -> HostScores:
    own = [i for i in series if resolution.level[i] == 0 and resolution.position[i] != NOT_FOUND]
    shard = shards[int(resolution.artifact[own[0]])] if own else None
    entry = _host_entry(shard, host) if shard else None
    if shard is None or entry is None:
        empty: NDArray[Any] = np.empty(0, np.int64)
        failed = any(resolution.artifact[i] != NOT_FOUND and resolution.position[i] == NOT_FOUND for i in series)
        status = Status.LOAD_FAILED if failed else Status.NO_MODEL
        return HostScores(host.region, host.host, status, empty, empty.astype(np.float64), empty, 0)
    spans = [slice(*points.offsets[i : i + 2].tolist()) for i in own]
    timestamps = np.concatenate([points.timestamps[span] for span in spans])
    values, own_scores = (np.concatenate([one[span] for span in spans]) for one in (points.values, score))
    metric = np.repeat(np.arange(len(own)), [span.stop - span.start for span in spans])
    mean = slot_means(timestamps, own_scores, entry.step)
    enough = mean.metrics >= MIN_METRIC_SHARE * entry.metrics_with_models
    joint, components = mean.scores, None
    if shard.host is not None and entry.of_departure > 0:
        rows = shard.host[resolution.position[own]].astype(np.float64)
        components = HostComponents(rows[:, 0], rows[:, 1], rows[:, 2:], entry.level)
        departures = components.departures(timestamps, values, metric, entry.step)
        joint = together(mean.scores, departures, entry.of_mean, entry.of_departure)
    found = np.where(enough, joint / entry.threshold, np.nan)
    if not np.isfinite(found).any():
        status, why = Status.INSUFFICIENT_DATA, tuple[str, ...]()
    else:
        worst = timestamps // entry.step == mean.timestamps[np.nanargmax(found)] // entry.step
        part = _parts(metric[worst], own_scores[worst], values[worst], len(own), components)
        most = np.argsort(-part, kind="stable")[:REASONS]
        status, why = Status.OK, tuple(names[own[i]].metric for i in most.tolist() if part[i] > 0)
    return HostScores(
        host.region, host.host, status, mean.timestamps, found, mean.metrics, entry.metrics_with_models, why
    )


def _parts(
    metric: NDArray[np.int64], score: Vector, values: Vector, metrics: int, components: HostComponents | None
) -> Vector:
    """The part of each metric in the score of a host at one time, (metrics,): in the mean and in the departure.

    Args:
        metric: of the points of that time, (k,).
        score: of these, (k,), NaN where there is none.
        values: of these, (k,).
        metrics: of the host.
        components: how its metrics go together, where that is known.
    """
    cells, part = np.full((1, metrics), np.nan), np.zeros(metrics)
    cells[0, metric], part[metric] = values, np.minimum(np.nan_to_num(score), METRIC_CAP)
    shares = [part, *(components.parts(cells) if components else ())]
    return np.asarray(sum(share / max(float(share.sum()), np.finfo(float).tiny) for share in shares))


def _host_entry(shard: Shard, host: Series) -> _HostEntry | None:
    """A host's entry in a shard; None where it has none."""
    position = int(shard.find(Names.of([host]))[0])
    if position < 0 or (shard.adapter[position] != NO_MODEL).any():  # a metric of that name has been fitted
        return None
    threshold = float(shard.combined[position, WEIGHTED, -1])
    level, of_departure, of_mean = map(float, (0, 0, 0) if shard.host is None else shard.host[position, :3])
    return _HostEntry(int(shard.step[position]), threshold, level, of_departure, of_mean, shard.metrics_of(host))
