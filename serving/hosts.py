"""Hosts: one score for each host of a query, from those of its metrics."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myriad.models.ensemble import COMBINES
from myriad.models.hosts import means, whole
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.serving.scoring import Scores, Status
from myriad.storage.shard import NO_MODEL, Shard

WEIGHTED = COMBINES.index("weighted")
LEAST_SHARE = 0.5
"""A time at which fewer of a host's metrics than that have a score has none for the host."""


@dataclass(frozen=True, slots=True)
class HostScores:
    """A host's scores.

    Attributes:
        region: of the host.
        host: its name.
        status: "ok", "insufficient_data", "load_failed", or "no_model" for a host of which fewer than two metrics have
            models of their own.
        timestamps: epoch seconds, rising, int64 (n,).
        scores: float64 (n,), NaN where too few metrics have one; above 1 is rarer than the target rate.
        metrics: how many have one, int64 (n,).
        of: how many have models.
    """

    region: str
    host: str
    status: Status
    timestamps: NDArray[np.int64]
    scores: NDArray[np.float64]
    metrics: NDArray[np.int64]
    of: int


def host_scores(scores: Scores, series: Iterable[int] | None = None) -> list[HostScores]:
    """A score for each host, in the order in which they come.

    Args:
        scores: of all windows, weighted: what a host's threshold was learnt from.
        series: those of the query to look at; all where None.
    """
    members: dict[Series, list[int]] = {}
    for i in range(len(scores.names)) if series is None else series:
        members.setdefault(whole(scores.names[i]), []).append(i)
    return [_of_host(scores, host, some) for host, some in members.items()]


def _of_host(scores: Scores, host: Series, series: list[int]) -> HostScores:
    own = [i for i in series if scores.resolution.level[i] == 0 and scores.place(i)]
    found = _found(scores.shards[int(scores.resolution.artifact[own[0]])], host) if own else None
    if found is None:
        nothing: NDArray[Any] = np.empty(0, np.int64)
        failed = any(scores.status(i) == Status.LOAD_FAILED for i in series)
        status = Status.LOAD_FAILED if failed else Status.NO_MODEL
        return HostScores(host.region, host.host, status, nothing, nothing.astype(np.float64), nothing, 0)
    step, threshold, of = found
    spans = [slice(*scores.points.offsets[i : i + 2].tolist()) for i in own]
    timestamps = np.concatenate([scores.points.timestamps[span] for span in spans])
    mean = means(timestamps, np.concatenate([scores.score[span] for span in spans]), step)
    values = np.where(mean.metrics >= LEAST_SHARE * of, mean.scores / threshold, np.nan)
    status = Status.OK if np.isfinite(values).any() else Status.INSUFFICIENT_DATA
    return HostScores(host.region, host.host, status, mean.timestamps, values, mean.metrics, of)


def _found(shard: Shard, host: Series) -> tuple[int, float, int] | None:
    """The step and threshold of a host and how many metrics of it have models; None where it has no threshold."""
    (position,) = shard.find(Names.of([host])).tolist()
    if position < 0 or (shard.adapter[position] != NO_MODEL).any():  # a metric of that name has been fitted
        return None
    return int(shard.step[position]), float(shard.combined[position, WEIGHTED, -1]), shard.metrics_of(host)
