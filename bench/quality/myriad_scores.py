"""Myriad's scores: releases fitted to a host's train part, and the scores a service with them would return.

The test points are posted as `myriad predict` posts a file: each series completely and in order, after the points that
its longest window looks back on. With `points_per_request` they are posted as to a service: that many new points a
request, after the points of the longest window. Models that adapt to the posted points then know no more than these.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.quality.host_scores import HostScores
from myriad.models import calibration
from myriad.models.ensemble import Combine
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.models.scores import Scores
from myriad.models.windows import Window, usual_step
from myriad.serving.predictor import Predictor
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.storage.shard import concatenated
from myriad.training.fit import fit
from myriad.training.host_components import fit_hosts
from myriad.training.host_thresholds import with_host_thresholds
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.publish import publish

Weights = tuple[float, ...]


class _Request(NamedTuple):
    """Points of one series, of which the first `look_back` are not to be scored."""

    series: int
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    look_back: int


def plan_for(step: int, adapters: tuple[str, ...] | None = None) -> Plan:
    """The default plan, its windows no shorter than 1, 3 and 12 steps."""
    windows = (max(60, step), max(900, 3 * step), max(3600, 12 * step))
    plan = replace(Plan(), windows=tuple(Window(seconds) for seconds in windows))
    return replace(plan, candidates=only(*adapters)) if adapters else plan


def adapters_of(plan: Plan) -> tuple[str, ...]:
    """The adapter of each window; candidates that compete are joined as `a|b`."""
    return tuple("|".join(one.adapter for one in candidates) for candidates in plan.candidates)


def fit_release(plan: Plan, series: list[Series], train: Points) -> Predictor | None:
    """A predictor that serves a release fitted to the points; None if no series could be fitted."""
    fitted = fit(plan, series, train)
    if not fitted.entries.series:
        return None
    parts = with_host_thresholds(plan, [fitted], fit_hosts(plan, series, train))
    store, entries = MemoryStore(), concatenated([one.entries for one in parts])
    publish(Releases(store), entries, plan, None, {"history": "train part"})
    return Predictor.open(store)


class Scorer:
    """Scores a host's test points with a release."""

    def __init__(
        self, predictor: Predictor | None, series: list[Series], before: Points, after: Points, points_per_request: int
    ):
        """Prepare the query.

        Args:
            predictor: None if there is no model at all: then no point has a score.
            series: name of each series of the points.
            before: points that the first windows look back on.
            after: points to score.
            points_per_request: number of new points in a request; 0 for all at once.
        """
        self._predictor, self._n = predictor, len(after.values)
        if predictor is None:
            return
        longest = max(predictor.manifest.parsed_windows)
        requests = list(_requests(before, after, longest, points_per_request))
        self._names = Names.of([series[request.series] for request in requests])
        self._points = Points.of(*((request.times, request.values) for request in requests))
        position = np.arange(len(self._points.values)) - self._points.offsets[:-1][self._points.owner]
        self._new = position >= np.array([request.look_back for request in requests])[self._points.owner]

    def scores(self, combine: Combine = "weighted") -> NDArray[np.float64]:
        """The combined score of each point, NaN where there is none, float64 (n,)."""
        scores = self._score(combine)
        return np.full(self._n, np.nan) if scores is None else scores.score[self._new]

    def by_window(self) -> NDArray[np.float64]:
        """The combined score, then the score of each window; float64 (1 + windows, n)."""
        scores = self._score("weighted")
        if scores is None:
            return np.full((4, self._n), np.nan)
        return np.concatenate([scores.score[None], scores.by_window])[:, self._new]

    def host(self) -> HostScores:
        """The scores of the host as a service would return them; NaN where there is none."""
        scores = self._score("weighted", hosts=True)
        if scores is None:
            return HostScores(np.empty(0, np.int64), np.empty(0))
        (host,) = scores.hosts
        new = host.timestamps >= self._points.timestamps[self._new].min()
        return HostScores(host.timestamps[new], host.scores[new])

    def _score(self, combine: Combine, *, hosts: bool = False) -> Scores | None:
        if self._predictor is None:
            return None
        return self._predictor.score(Query(self._names, self._points, combine=combine, hosts=hosts))


def held_out(
    plan: Plan, series: list[Series], train: Points, points_per_request: int = 0
) -> tuple[Points, NDArray[np.float64]]:
    """The last 30 % of the train part, and their scores by a release fitted to the points before."""
    is_held_out = calibration.held_out(train)
    before, after = train.where(~is_held_out), train.where(is_held_out)
    predictor = fit_release(plan, series, before)
    return after, Scorer(predictor, series, before, after, points_per_request).scores()


def step_of(points: Points) -> int:
    """The median step of a host's series in seconds."""
    return int(np.median(usual_step(points)))


def _requests(before: Points, after: Points, longest: int, points_per_request: int) -> Iterator[_Request]:
    """The requests that score the points `after`, series by series.

    Args:
        before: points that windows may look back on.
        after: points to score.
        longest: seconds of the longest window.
        points_per_request: number of new points in each; 0 for all at once.
    """
    for i in range(len(after)):
        times, values = (np.concatenate(pair) for pair in zip(before.series(i), after.series(i), strict=True))
        start = int(before.lengths[i])
        for first in range(start, len(times), points_per_request or max(len(times), 1)):
            last = min(first + points_per_request, len(times)) if points_per_request else len(times)
            oldest = int(np.searchsorted(times, times[first] - longest, side="right"))
            yield _Request(i, times[oldest:last], values[oldest:last], first - oldest)
