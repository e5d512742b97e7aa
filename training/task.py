"""Task: one shard of a job, fitted and written by one worker."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from myriad.models.counters import as_rates, look_like_counters
from myriad.models.key import Series
from myriad.models.points import Points, without_wild
from myriad.storage.release import Artifact, Releases
from myriad.storage.shard import concatenated
from myriad.storage.url import open_store
from myriad.training import records
from myriad.training.fit import Fitted, fit, fit_pooled
from myriad.training.hierarchy import Reference, backfilled
from myriad.training.host_components import HostFit, fit_hosts
from myriad.training.host_thresholds import with_host_thresholds
from myriad.training.job.config import JobFile
from myriad.training.job.maintenance import left_out
from myriad.training.plan import Plan, plan_for, shared_plan
from myriad.training.publish import put_shard
from myriad.training.sources import Partition

COUNTERS_NAMED = 1000
"""In a shard's result."""
SERIES_AT_ONCE = 16
"""Fitted together: enough for what a call costs, few enough for their history to stay in a cache of the processor."""


class Task(NamedTuple):
    """One shard to fit.

    Attributes:
        job: what to fit.
        region: of the shard.
        shard: its number.
        shards: how many the region has.
        parts: the files its history is in.
        before: the artifact that has the shard's other series, where those are to stay.
        pooled: fallback models that belong into it, with the history of the series they stand for.
        references: what short histories are filled up with.
    """

    job: JobFile
    region: str
    shard: int
    shards: int
    parts: tuple[Partition, ...]
    before: Artifact | None
    pooled: tuple[tuple[Series, Points], ...]
    references: Mapping[tuple[str, str], Reference]

    @property
    def rows(self) -> int:
        """Of its history."""
        return sum(part.rows for part in self.parts)


class ShardResult(NamedTuple):
    """A fitted shard.

    Attributes:
        region: of the shard.
        shard: its number.
        shards: how many the region has.
        artifact: None where there is nothing to serve.
        adapters: of the models in it.
        records: of these, and of what has none.
        counters: series that look like counters and are not modelled as rates, `COUNTERS_NAMED` at most.
    """

    region: str
    shard: int
    shards: int
    artifact: Artifact | None
    adapters: tuple[str, ...]
    records: pa.Table
    counters: tuple[str, ...] = ()


class Usable(NamedTuple):
    """What a job can fit.

    Attributes:
        series: that can be fitted.
        points: of these, in order of time, without wild samples, rates in place of counters, with local times where
            their region has a clock.
        refused: what is wrong with others.
        counters: the series that look like counters and are not modelled as rates.
    """

    series: list[Series]
    points: Points
    refused: dict[tuple[str, str, str], str]
    counters: list[str]


def fit_shard(task: Task) -> ShardResult:
    """The shard, fitted and in the store.

    Raises:
        StoreError: it cannot be written.
    """
    fitted, refused, counters = list[Fitted](), list[pa.Table](), list[str]()
    shared, hosts = shared_plan(task.job), dict[Series, HostFit]()
    for found in _batches(task):
        counters += found.counters
        refused.append(_refusals(found.refused))
        fitted += _fitted(task, found)
        hosts |= fit_hosts(shared, *_without_rates(task.job, found))
    fitted = with_host_thresholds(shared, fitted, hosts)
    for series, points in task.pooled:
        if plan := plan_for(task.job, series.metric):
            fitted.append(fit_pooled(plan, series, points))
    together = records.merge([*refused, *(one.records for one in fitted)])
    job = pa.array([task.job.job] * together.num_rows, pa.string()).dictionary_encode()
    together = together.set_column(together.column_names.index("job"), "job", job).cast(records.SCHEMA)
    named = tuple(counters[:COUNTERS_NAMED])
    entries = [one.entries for one in fitted if one.entries.series]
    if not entries:
        return ShardResult(task.region, task.shard, task.shards, task.before, (), together, named)
    shard = concatenated(entries)
    artifact = put_shard(Releases(open_store(task.job.store)), shard, task.before)
    return ShardResult(task.region, task.shard, task.shards, artifact, shard.adapters, together, named)


def usable(job: JobFile, part: Partition) -> Usable:
    """What can be fitted of a part of a job's history, maintenance left out."""
    names, points = part.series()
    if job.maintenance:
        points = points.where(~left_out(job.maintenance, names.take(points.owner), points.timestamps))
        some = np.flatnonzero(points.lengths)
        names, points = names.take(some), points.take(some)
    bad = names.invalid()
    refused = {(*names[i],): str(why) for i, why in bad.items()}
    rules = {metric: job.rule(metric) for metric in names.parts[2]}
    counted = {metric for metric, rule in rules.items() if rule and rule.rate}
    good = [i for i in range(len(names)) if i not in bad and rules[names[i].metric]]
    points = points.take(good)
    points = points.where(np.isfinite(points.values)).tidied().points
    is_rate = np.array([names[i].metric in counted for i in good], np.bool_)
    counters = [str(names[good[i]]) for i in np.flatnonzero(look_like_counters(points) & ~is_rate).tolist()]
    if is_rate.any():
        points, _ = as_rates(points, is_rate)
    points = without_wild(points)
    empty = points.lengths == 0
    refused |= {(*names[good[i]],): "has no finite value" for i in np.flatnonzero(empty).tolist()}
    left = np.flatnonzero(~empty)
    points = points.take(left)
    if one := job.clock(part.region):
        points = points.with_clock(one.clock.local(points.timestamps))
    return Usable([names[good[i]] for i in left.tolist()], points, refused, counters)


def _without_rates(job: JobFile, found: Usable) -> tuple[list[Series], Points]:
    """The series whose values are served as they are posted: counters have no part in a host's components."""
    rules = [job.rule(one.metric) for one in found.series]
    some = [i for i, rule in enumerate(rules) if rule and not rule.rate]
    return [found.series[i] for i in some], found.points.take(some)


def _batches(task: Task) -> Iterator[Usable]:
    """What can be fitted of the task's files, several together where there is little in each."""
    waiting = Usable([], Points.of(), {}, [])
    for part in task.parts:
        found = usable(task.job, part)
        points = waiting.points.concatenated(found.points)
        refused, counters = waiting.refused | found.refused, waiting.counters + found.counters
        waiting = Usable(waiting.series + found.series, points, refused, counters)
        if len(waiting.series) >= SERIES_AT_ONCE:
            yield waiting
            waiting = Usable([], Points.of(), {}, [])
    yield waiting


def _fitted(task: Task, found: Usable) -> list[Fitted]:
    """Models of the series of one file, those of the same rule some at a time."""
    by_rule: dict[int, tuple[Plan, list[int]]] = {}
    for i, one in enumerate(found.series):
        if (rule := task.job.rule(one.metric)) and (plan := plan_for(task.job, one.metric)):
            by_rule.setdefault(task.job.metrics.index(rule), (plan, []))[1].append(i)
    done = []
    for plan, members in by_rule.values():
        for first in range(0, len(members), SERIES_AT_ONCE):
            some = members[first : first + SERIES_AT_ONCE]
            series = [found.series[i] for i in some]
            points, borrowed = backfilled(series, found.points.take(some), task.references)
            done.append(fit(plan, series, points, borrowed))
    return done


def _refusals(why: Mapping[tuple[str, str, str], str]) -> pa.Table:
    names = list(zip(*why, strict=True)) or [(), (), ()]
    columns = dict(zip(Series._fields, names, strict=True))
    return records.table({**columns, "refused": list(why.values())})
