"""Ours: releases fitted to a host's train part, and the scores a service with them would have given.

The test points are posted as `myriad predict` posts a file: each series whole and in order, behind the points that
its longest window looks back on. With `following` they are posted as to a service, so many new ones a request, each
request behind the points of the longest window: models that follow what is posted then know no more than that.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.quality.hosts import HostScores
from myriad.models import calibration
from myriad.models.ensemble import Combine
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.windows import Window, own_step
from myriad.serving.hosts import host_scores
from myriad.serving.predictor import Predictor
from myriad.serving.scoring import Query, Scores
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.storage.shard import concatenated
from myriad.training.fit import fit
from myriad.training.hosts import with_hosts
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.publish import publish

Weights = tuple[float, ...]


def plan_for(step: int, adapters: tuple[str, ...] | None = None) -> Plan:
    """The default plan, its windows no shorter than 1, 3 and 12 steps."""
    windows = (max(60, step), max(900, 3 * step), max(3600, 12 * step))
    plan = replace(Plan(), windows=tuple(Window(seconds) for seconds in windows))
    return replace(plan, candidates=only(*adapters)) if adapters else plan


def adapters_of(plan: Plan) -> tuple[str, ...]:
    """One a window; several that compete as `a|b`."""
    return tuple("|".join(one.adapter for one in several) for several in plan.candidates)


def released(plan: Plan, series: list[Series], train: Points) -> Predictor | None:
    """A predictor on a release of its own; None where no series could be fitted."""
    fitted = fit(plan, series, train)
    if not fitted.entries.series:
        return None
    store, whole = MemoryStore(), concatenated([one.entries for one in with_hosts(plan, [fitted])])
    publish(Releases(store), whole, plan, None, {"history": "train part"})
    return Predictor.open(store)


class Scorer:
    """Scores a host's later points with a release."""

    def __init__(
        self, predictor: Predictor | None, series: list[Series], before: Points, after: Points, following: int
    ):
        """What to score with and what.

        Args:
            predictor: None where there is no model at all: nothing has a score then.
            series: one a series of the points.
            before: what the first windows look back on.
            after: what is scored.
            following: how many points a request; 0 for all at once.
        """
        self._predictor, self._n = predictor, len(after.values)
        if predictor is None:
            return
        longest = max(predictor.manifest.parsed_windows)
        pieces = list(_pieces(before, after, longest, following))
        self._names = Names.of([series[i] for i, _, _, _ in pieces])
        self._points = Points.of(*((times, values) for _, times, values, _ in pieces))
        position = np.arange(len(self._points.values)) - self._points.offsets[:-1][self._points.owner]
        self._new = position >= np.array([back for _, _, _, back in pieces])[self._points.owner]

    def scores(self, combine: Combine = "weighted") -> NDArray[np.float64]:
        """The combined score of every later point, NaN where there is none, float64 (n,)."""
        found = self._scored(combine)
        return np.full(self._n, np.nan) if found is None else found.score[self._new]

    def by_window(self) -> NDArray[np.float64]:
        """The combined score, then each window's own; float64 (1 + windows, n)."""
        found = self._scored("weighted")
        if found is None:
            return np.full((4, self._n), np.nan)
        return np.concatenate([found.score[None], found.by_window])[:, self._new]

    def host(self) -> HostScores:
        """The scores of the host as a whole, as a service asked for them would have given; NaN is none."""
        found = self._scored("weighted")
        if found is None:
            return HostScores(np.empty(0, np.int64), np.empty(0))
        (one,) = host_scores(found)
        new = one.timestamps >= self._points.timestamps[self._new].min()
        return HostScores(one.timestamps[new], one.scores[new])

    def _scored(self, combine: Combine) -> Scores | None:
        if self._predictor is None:
            return None
        return self._predictor.score(Query(self._names, self._points, combine=combine))


def held_out(plan: Plan, series: list[Series], train: Points, following: int = 0) -> tuple[Points, NDArray[np.float64]]:
    """The last 30 % of the train part, with the scores of a release fitted to what is before."""
    held = calibration.held_out(train)
    before, after = train.where(~held), train.where(held)
    return after, Scorer(released(plan, series, before), series, before, after, following).scores()


def step_of(points: Points) -> int:
    """The step of a host's series, in seconds."""
    return int(np.median(own_step(points)))


def _pieces(
    before: Points, after: Points, longest: int, following: int
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64], int]]:
    """What to post: the series, times, values, and how many of these are there to be looked back on only."""
    for i in range(len(after)):
        times, values = (np.concatenate(pair) for pair in zip(before.series(i), after.series(i), strict=True))
        start = int(before.lengths[i])
        for first in range(start, len(times), following or max(len(times), 1)):
            last = min(first + following, len(times)) if following else len(times)
            look = int(np.searchsorted(times, times[first] - longest, side="right"))
            yield i, times[look:last], values[look:last], first - look
