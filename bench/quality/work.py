"""Work: one host, scored by every method, and what that came to."""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.quality import combinations, hosts, ours
from bench.quality.baselines import BASELINES, SLOW, judged
from bench.quality.combinations import Variant
from bench.quality.datasets import Host, Where
from bench.quality.events import Counts, count
from bench.quality.hosts import HostScores
from bench.quality.vus import buffer_of, vus_pr
from myriad.models.points import Points
from myriad.training.plan import Plan

OURS, OURS_THERE = "myriad", "myriad, forest's series"
METHODS = (OURS, OURS_THERE, *BASELINES)
SLOW_SERIES = 3
"""Of each host the slow baseline is given so many series."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What to do with each host.

    Attributes:
        adapters: one a window; the default plan's where None.
        following: new points a request; 0 posts a series whole.
        combinations: whether to fit releases with other weights too.
        baselines: which.
    """

    adapters: tuple[str, ...] | None = None
    following: int = 0
    combinations: bool = True
    baselines: tuple[str, ...] = tuple(BASELINES)


class Scored(NamedTuple):
    """A method's scores of some series of a host, in place of values: of the held-out end of train, and of test."""

    chosen: NDArray[np.int64]
    held: Points
    test: Points


@dataclass(slots=True)
class Outcome:
    """What one host came to.

    Attributes:
        data_set: which it is of.
        host: its name.
        windows: of the release.
        points: scored.
        counts: of its series together, by method.
        vus: of each series with an event, by method.
        whole: of the host as one, by way to combine metrics and method; empty for a single metric.
        variants: of ours, by name.
        seconds: taken, by what.
    """

    data_set: str
    host: str
    windows: tuple[str, ...]
    points: int
    counts: dict[str, Counts] = field(default_factory=dict)
    vus: dict[str, list[float]] = field(default_factory=dict)
    whole: dict[str, dict[str, Counts]] = field(default_factory=dict)
    variants: dict[str, Variant] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def measured(where: Where, effort: Effort) -> Outcome:
    """One host, from its files."""
    return measure(where.read(), effort)


def measure(host: Host, effort: Effort) -> Outcome:
    """One host, scored by every method."""
    step = ours.step_of(host.train)
    plan = ours.plan_for(step, effort.adapters)
    outcome = Outcome(host.data_set, host.series[0].host, tuple(map(str, plan.windows)), _n(host))
    started = time.perf_counter()
    predictor = ours.released(plan, host.series, host.train)
    scorer = ours.Scorer(predictor, host.series, host.train, host.test, effort.following)
    by_window = scorer.by_window()
    held, held_scores = ours.held_out(plan, host.series, host.train, effort.following)
    every = np.arange(len(host.series))
    mine = Scored(every, held.with_values(held_scores), host.test.with_values(by_window[0]))
    started = _lap(outcome, "ours", started)
    _judge(outcome, OURS, mine, host, step, plan.rate)
    if len(host.series) > 1 and not effort.following:  # with it, points looked back on would count as well
        _judge_host(outcome, hosts.SERVED, OURS, scorer.host(), host, step)
    started = _lap(outcome, "judging", started)
    if effort.combinations:
        outcome.variants = combinations.of(plan, scorer, by_window, host, step, effort.following)
        started = _lap(outcome, "combinations", started)
    for name in effort.baselines:
        chosen = _some(len(every)) if name == SLOW else every
        theirs = _baseline(name, host, held, chosen, plan)
        started = _lap(outcome, name, started)
        _judge(outcome, name, theirs, host, step, plan.rate)
        if name == SLOW:
            there = Scored(chosen, mine.held.take(chosen), mine.test.take(chosen))
            _judge(outcome, OURS_THERE, there, host, step, plan.rate)
        started = _lap(outcome, "judging", started)
    return outcome


def _n(host: Host) -> int:
    return len(host.test.values)


def _lap(outcome: Outcome, name: str, started: float) -> float:
    now = time.perf_counter()
    outcome.seconds[name] = outcome.seconds.get(name, 0.0) + now - started
    return now


def _some(series: int) -> NDArray[np.int64]:
    """`SLOW_SERIES` evenly from so many."""
    return np.unique(np.linspace(0, series - 1, SLOW_SERIES).astype(np.int64))


def _baseline(name: str, host: Host, held: Points, chosen: NDArray[np.int64], plan: Plan) -> Scored:
    before, after = held.take(chosen), host.test.take(chosen)
    parts = []
    for i in chosen.tolist():
        train, test = host.train.series(i), host.test.series(i)
        times, values = (np.concatenate(pair) for pair in zip(train, test, strict=True))
        parts.append(judged(BASELINES[name], times, values, len(train[0]), plan.rate))
    scores = [np.concatenate(side) for side in zip(*parts, strict=True)]
    return Scored(chosen, before.with_values(scores[0]), after.with_values(scores[1]))


def _judge(outcome: Outcome, name: str, scored: Scored, host: Host, step: int, rate: float) -> None:
    counts, volumes = [], []
    for at, i in enumerate(scored.chosen.tolist()):
        span = slice(int(host.test.offsets[i]), int(host.test.offsets[i + 1]))
        labels, blamed = host.labels[span], host.blamed[span]
        times, scores = scored.test.series(at)
        known = np.nan_to_num(scores)
        counts.append(count(times, known > 1, labels, blamed, step))
        if labels.any() and not labels.all():
            volumes.append(vus_pr(known, labels, buffer_of(step)))
    outcome.counts[name], outcome.vus[name] = Counts.total(counts), volumes
    if len(host.series) > 1:
        for how, together in hosts.HOWS.items():
            _judge_host(outcome, how, name, hosts.calibrated(together, scored.held, scored.test, rate), host, step)


def _judge_host(outcome: Outcome, how: str, name: str, found: HostScores, host: Host, step: int) -> None:
    labels = hosts.labels_at(found.times, host.test, host.blamed)
    outcome.whole.setdefault(how, {})[name] = count(found.times, found.scores > 1, labels, labels, step)
