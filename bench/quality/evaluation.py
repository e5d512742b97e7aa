"""Evaluation of one host: its scores by every method, counted against its labels."""

import time
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.quality import host_scores, myriad_scores, window_combinations
from bench.quality.baselines import BASELINES, SLOW, judged
from bench.quality.datasets import Host, HostFile
from bench.quality.events import Counts, count
from bench.quality.host_scores import HostScores
from bench.quality.vus import buffer_of, vus_pr
from bench.quality.window_combinations import Variant
from myriad.kernels.alerting import tired
from myriad.models.host_scores import with_host
from myriad.models.points import Points
from myriad.training.plan import Plan

OURS, ALERTS, OURS_ON_SUBSET = "myriad", "myriad, as alerts", "myriad, forest's series"
PLAIN = "myriad, 4:2:1 and a plain mean, as alerts"
METHODS = (ALERTS, OURS, PLAIN, OURS_ON_SUBSET, *BASELINES)
ALERT_THRESHOLDS = (1.0, 0.98, 0.96, 0.94, 0.92, 0.9, 0.89, 0.88, 0.87, 0.86, 0.84, 0.8)
"""At which alerts are counted, to say what they cost where they find more."""
SLOW_SERIES = 3
"""Series of each host on which the slow baseline is evaluated."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How to evaluate each host.

    Attributes:
        adapters: one for each window; those of the default plan if None.
        following: number of new points in a request; 0 posts a series at once.
        combinations: whether to compare ways to combine the windows.
        baselines: names of the baselines to evaluate.
    """

    adapters: tuple[str, ...] | None = None
    following: int = 0
    combinations: bool = True
    baselines: tuple[str, ...] = tuple(BASELINES)


class Scored(NamedTuple):
    """A method's scores of the chosen series of a host, in place of values.

    Attributes:
        chosen: positions of the series, int64 (n,).
        held_out: scores of the held-out end of the train part.
        test: scores of the test part.
    """

    chosen: NDArray[np.int64]
    held_out: Points
    test: Points


@dataclass(slots=True)
class Outcome:
    """The evaluation of one host.

    Attributes:
        data_set: name of its data set.
        host: its name.
        windows: of the release.
        points: number of points scored.
        counts: summed over its series, by method.
        vus: VUS-PR of each series with an event, by method.
        host_counts: of the score of the host, by combination of metrics and method; empty for a single metric.
        alerts_above: alerts of its series, by threshold.
        variants: Myriad's combinations of windows, by name.
        seconds: of each step.
    """

    data_set: str
    host: str
    windows: tuple[str, ...]
    points: int
    counts: dict[str, Counts] = field(default_factory=dict)
    vus: dict[str, list[float]] = field(default_factory=dict)
    host_counts: dict[str, dict[str, Counts]] = field(default_factory=dict)
    alerts_above: dict[str, Counts] = field(default_factory=dict)
    variants: dict[str, Variant] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def evaluate_file(file: HostFile, effort: Effort) -> Outcome:
    """Read and evaluate one host."""
    return evaluate(file.read(), effort)


def evaluate(host: Host, effort: Effort) -> Outcome:
    """Evaluate every method on one host."""
    step = myriad_scores.step_of(host.train)
    plan = myriad_scores.plan_for(step, effort.adapters)
    outcome = Outcome(host.data_set, host.series[0].host, tuple(map(str, plan.windows)), len(host.test.values))
    started = time.perf_counter()
    predictor = myriad_scores.fit_release(plan, host.series, host.train)
    scorer = myriad_scores.Scorer(predictor, host.series, host.train, host.test, effort.following)
    by_window = scorer.by_window()
    held_out, held_out_scores = myriad_scores.held_out(plan, host.series, host.train, effort.following)
    all_series = np.arange(len(host.series))
    ours = Scored(all_series, held_out.with_values(held_out_scores), host.test.with_values(by_window[0]))
    started = _lap(outcome, "ours", started)
    _evaluate_series(outcome, OURS, ours, host, step, plan.rate)
    one_host, steps = np.zeros(len(by_window[0]), np.int64), np.full(len(by_window[0]), step)
    alerts = with_host(host.test.timestamps, by_window[0], one_host, steps)
    for threshold in ALERT_THRESHOLDS:
        counting = host.test.with_values(tired(host.test.timestamps, alerts / threshold, host.test.offsets))
        if threshold == 1:
            _evaluate_series(outcome, ALERTS, Scored(all_series, ours.held_out, counting), host, step, plan.rate)
        outcome.alerts_above[f"{threshold:g}"] = _counted(counting, host, step)
    plain = window_combinations.scores_with(replace(plan, weights=(4, 2, 1), power=1), host, effort.following)
    lasting = tired(host.test.timestamps, with_host(host.test.timestamps, plain, one_host, steps), host.test.offsets)
    plain_alerts = Scored(all_series, ours.held_out, host.test.with_values(lasting))
    _evaluate_series(outcome, PLAIN, plain_alerts, host, step, plan.rate)
    if len(host.series) > 1 and not effort.following:  # with it, points that windows look back on would count as well
        served = scorer.host()
        _evaluate_host_score(outcome, host_scores.SERVED, OURS, served, host, step)
        lasting = tired(served.times, np.ascontiguousarray(served.scores), np.array([0, len(served.times)]))
        _evaluate_host_score(outcome, host_scores.SERVED, ALERTS, HostScores(served.times, lasting), host, step)
    started = _lap(outcome, "judging", started)
    if effort.combinations:
        outcome.variants = window_combinations.evaluate(plan, scorer, by_window, host, step, effort.following)
        started = _lap(outcome, "combinations", started)
    for name in effort.baselines:
        chosen = _subset(len(all_series)) if name == SLOW else all_series
        baseline = _baseline(name, host, held_out, chosen, plan)
        started = _lap(outcome, name, started)
        _evaluate_series(outcome, name, baseline, host, step, plan.rate)
        if name == SLOW:
            subset = Scored(chosen, ours.held_out.take(chosen), ours.test.take(chosen))
            _evaluate_series(outcome, OURS_ON_SUBSET, subset, host, step, plan.rate)
        started = _lap(outcome, "judging", started)
    return outcome


def _lap(outcome: Outcome, name: str, started: float) -> float:
    now = time.perf_counter()
    outcome.seconds[name] = outcome.seconds.get(name, 0.0) + now - started
    return now


def _subset(series: int) -> NDArray[np.int64]:
    """Positions of `SLOW_SERIES` of so many series, evenly spaced."""
    return np.unique(np.linspace(0, series - 1, SLOW_SERIES).astype(np.int64))


def _baseline(name: str, host: Host, held_out: Points, chosen: NDArray[np.int64], plan: Plan) -> Scored:
    held_out, test_points = held_out.take(chosen), host.test.take(chosen)
    parts = []
    for i in chosen.tolist():
        train, test = host.train.series(i), host.test.series(i)
        times, values = (np.concatenate(pair) for pair in zip(train, test, strict=True))
        parts.append(judged(BASELINES[name], times, values, len(train[0]), plan.rate))
    scores = [np.concatenate(side) for side in zip(*parts, strict=True)]
    return Scored(chosen, held_out.with_values(scores[0]), test_points.with_values(scores[1]))


def _evaluate_series(outcome: Outcome, name: str, scored: Scored, host: Host, step: int, rate: float) -> None:
    counts, volumes = [], []
    for at, i in enumerate(scored.chosen.tolist()):
        span = slice(int(host.test.offsets[i]), int(host.test.offsets[i + 1]))
        labels, blamed = host.labels[span], host.blamed[span]
        times, scores = scored.test.series(at)
        filled = np.nan_to_num(scores)
        counts.append(count(times, filled > 1, labels, blamed, step))
        if host.is_labelled and labels.any() and not labels.all():
            volumes.append(vus_pr(filled, labels, buffer_of(step)))
    outcome.counts[name], outcome.vus[name] = Counts.total(counts), volumes
    if len(host.series) > 1 and name not in (ALERTS, PLAIN):
        for combination, combine in host_scores.COMBINATIONS.items():
            calibrated = host_scores.calibrated(combine, scored.held_out, scored.test, rate)
            _evaluate_host_score(outcome, combination, name, calibrated, host, step)


def _counted(scores: Points, host: Host, step: int) -> Counts:
    """The alarms above 1 of all series."""
    spans = [slice(*span) for span in zip(scores.offsets[:-1].tolist(), scores.offsets[1:].tolist(), strict=True)]
    above = np.nan_to_num(scores.values) > 1
    return Counts.total(
        count(scores.timestamps[span], above[span], host.labels[span], host.blamed[span], step) for span in spans
    )


def _evaluate_host_score(
    outcome: Outcome, combination: str, name: str, scores: HostScores, host: Host, step: int
) -> None:
    labels = host_scores.labels_at(scores.times, host.test, host.blamed)
    counts = count(scores.times, scores.scores > 1, labels, labels, step)
    outcome.host_counts.setdefault(combination, {})[name] = counts
