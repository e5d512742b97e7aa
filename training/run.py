"""Run a job: sort the history by shard, fit and write each shard in a worker, publish the manifest last."""

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from myriad import adapters
from myriad.formats.left_out import LeftOut
from myriad.models import calibration
from myriad.models.errors import Gated, HistoryUnusable, InvalidJob
from myriad.models.key import ANY, Series, shard_of
from myriad.models.points import Points
from myriad.storage.clocks import RegionClock
from myriad.storage.release import Artifact, Head, Manifest, Releases, new_release_id
from myriad.storage.signing import Signer
from myriad.storage.url import open_store
from myriad.training import gates, records
from myriad.training.engine import run_tasks
from myriad.training.hierarchy import POOLED_SERIES, pools, references
from myriad.training.job.config import JobFile
from myriad.training.plan import shared_plan
from myriad.training.progress import Progress
from myriad.training.publish import commit, same_calibration, shards_for
from myriad.training.sources import Hashes, Partition, partitions
from myriad.training.task import ShardResult, Task, usable

PARTS = 64
"""A region's history is sorted into about so many files; a shard is one or some that follow each other."""
POOL_PARTS = 4
"""Fallback models are fitted to series of so many of a region's files."""


class Released(NamedTuple):
    """A release as a job made it.

    Attributes:
        manifest: of the release.
        records: of what was fitted, and of what was not.
        resumed: how many of its shards were done before.
        left_out: the rows of its history that cannot be read.
        counters: series that look like counters and are not modelled as rates.
    """

    manifest: Manifest
    records: pa.Table
    resumed: int
    left_out: LeftOut
    counters: list[str]


class Survey(NamedTuple):
    """What a job would do.

    Attributes:
        metrics: how many series of each would be fitted.
        refused: how many would not, by reason.
        left_out: the rows of its history that cannot be read.
        counters: as in `Released`.
    """

    metrics: dict[str, int]
    refused: dict[str, int]
    left_out: LeftOut
    counters: list[str]


def run(
    job: JobFile,
    directory: Path,
    *,
    update: bool = False,
    signer: Signer | None = None,
    force: bool = False,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Released:
    """Run a job and make what it fitted the current release.

    Args:
        job: what to do.
        directory: of jobs: what is done of this one is kept there until its release is the current one.
        update: whether series of the current release that are not in the history stay as they are.
        signer: signs the release.
        force: whether it may have less than half of the current release's series.
        progress: called with the rows done since, and all there are.

    Raises:
        InvalidJob, InvalidPoints, StoreError, Unavailable: the history cannot be read, or the store not be written, or
            a library is not installed.
        HistoryUnusable: nothing could be fitted.
        FleetShrinks: most series of the current release would be gone.
        Gated: a gate of the job does not hold; nothing that is served has changed.
        Conflict: another release became current since.
    """
    demand_libraries(job)
    releases = Releases(open_store(job.store), signer=signer, force=force)
    over = releases.head_or_none()
    base = releases.manifest(over.release) if update and over else None
    if base:
        same_calibration(base, shared_plan(job))
        if dict(base.rates) != job.rates:
            raise InvalidJob(f"release {base.id} has other counters (rate: true); what is kept of it cannot stay")
        for region in (*base.regions, ANY):
            zones = [one.time_zone if one else "none" for one in (base.clock_of(region), job.clock(region))]
            if zones[0] != zones[1]:
                why = f"release {base.id} has the time zone {zones[0]} in region {region}, the job {zones[1]}"
                raise InvalidJob(f"{why}; what is kept of it cannot stay")
    kept, sharding = Progress(directory, job, base.id if base else ""), Sharding(job, base)
    parts, left_out = kept.partitions(lambda empty: partitions(job.history, sharding.part, empty))
    tasks = {(task.region, task.shard): task for task in _tasks(job, parts, sharding, base)}
    results = _still_stored(releases, [result for task in tasks.values() if (result := kept.result(task))])
    resumed, rows = len(results), sum(task.rows for task in tasks.values())
    progress(sum(tasks[result.region, result.shard].rows for result in results), rows)
    left = [task for key, task in tasks.items() if key not in {(result.region, result.shard) for result in results}]
    for result in run_tasks(job.engine, left, job.workers):
        kept.keep(result)
        results.append(result)
        progress(tasks[result.region, result.shard].rows, rows)
    manifest, fitted = _publish(job, releases, results, base, over)
    kept.forget()
    counters = sorted({name for result in results for name in result.counters})
    return Released(manifest, fitted, resumed, left_out, counters)


def demand_libraries(job: JobFile) -> None:
    """Raise `InvalidJob` where a library that a candidate is fitted with has to be installed here, and is not."""
    for name in sorted({one.adapter for rule in job.metrics for one in rule.candidates}):
        library = adapters.get(name).library
        if library and job.engine == "local" and importlib.util.find_spec(library) is None:
            raise InvalidJob(
                f"adapter {name} is fitted with {library}, which is not installed; the extra [{library}] installs it: "
                f"in a checkout, pip install '.[{library}]'"
            )


def survey(job: JobFile, directory: Path) -> Survey:
    """What a job would do: its history is read, into an empty directory, and nothing is fitted."""
    metrics, refused, counters = Counter[str](), Counter[str](), list[str]()
    demand_libraries(job)
    parts, left_out = partitions(job.history, Sharding(job, None).part, directory)
    for part in parts:
        found = usable(job, part)
        short = found.points.lengths * job.calibration.holdout < calibration.MIN_HOLDOUT
        metrics.update(one.metric for one, is_short in zip(found.series, short.tolist(), strict=True) if not is_short)
        refused.update(found.refused.values())
        refused.update([f"fewer than {calibration.MIN_HOLDOUT} held-out points to calibrate on"] * int(short.sum()))
        counters += found.counters
    return Survey(dict(sorted(metrics.items())), dict(refused.most_common()), left_out, sorted(counters))


class Sharding:
    """How a region's hosts are divided into parts, files to be read one by one, and those into shards."""

    def __init__(self, job: JobFile, base: Manifest | None) -> None:
        self._job, self._base = job, base
        kinds = {one.adapter for rule in job.metrics for one in rule.candidates}
        row = max(adapters.get(name).row_bytes() for name in kinds)
        self._series_bytes = row * len(job.windows)

    def given(self, region: str) -> int | None:
        """How many shards a region has to have: as many as before, or as the job says."""
        if self._base and region in self._base.regions:
            return len(self._base.regions[region])
        return self._job.shards_of(region)

    def parts(self, region: str) -> int:
        """How many parts a region has, a multiple of its shards."""
        shards = self.given(region) or 1
        return shards * max(1, PARTS // shards)

    def part(self, region: str, hosts: Hashes) -> NDArray[np.int64]:
        """The part of each host."""
        return shard_of(hosts, self.parts(region)).astype(np.int64)

    def shards(self, region: str, series: int) -> int:
        """How many shards a region of so many series has, of which each is as many parts."""
        wanted = shards_for(series, self._series_bytes)
        return self.given(region) or next(n for n in (1, 2, 4, 8, 16, 32, PARTS) if n >= min(wanted, PARTS))


def _still_stored(releases: Releases, results: Sequence[ShardResult]) -> list[ShardResult]:
    """The results whose artifacts are still in the store: no release names them yet, so they may have been pruned."""
    artifacts = [result.artifact for result in results if result.artifact]
    missing = releases.missing(artifacts) if artifacts else set()
    return [result for result in results if result.artifact is None or result.artifact.hash not in missing]


def _tasks(job: JobFile, parts: Sequence[Partition], sharding: Sharding, base: Manifest | None) -> list[Task]:
    """A task for each shard that has history or fallback models, those of a region one after the other."""
    by_region: dict[str, list[Partition]] = {}
    for part in parts:
        by_region.setdefault(part.region, []).append(part)
    pooled = _pooled(job, by_region)
    given = references(pooled)
    tasks = []
    for region in sorted({*by_region, *(series.region for series in pooled)}):
        mine = by_region.get(region, [])
        shards = sharding.shards(region, _series_of(mine, sharding.parts(region))) if region else 1
        of_shard: dict[int, tuple[list[Partition], list[tuple[Series, Points]]]] = {}
        for part in mine:
            of_shard.setdefault(part.shard * shards // sharding.parts(region), ([], []))[0].append(part)
        for series, points in pooled.items():
            if series.region == region:
                of_shard.setdefault(int(shard_of(series.host_hash, shards)), ([], []))[1].append((series, points))
        before = base.regions.get(region) if base else None
        for shard, (files, fallbacks) in sorted(of_shard.items()):
            old = before[shard] if before else None
            tasks.append(Task(job, region, shard, shards, tuple(files), old, tuple(fallbacks), given))
    return tasks


def _series_of(parts: Sequence[Partition], count: int) -> int:
    """How many series a region has, about, from one of its parts."""
    if not parts:
        return 1
    return max(1, len(parts[0].series()[0]) * count)


def _pooled(job: JobFile, by_region: Mapping[str, Sequence[Partition]]) -> dict[Series, Points]:
    """The history of some series of each region and metric, and of all regions, for each fallback model."""
    members: dict[Series, Points] = {}
    for mine in by_region.values():
        for part in mine[:POOL_PARTS] if job.fallback else ():
            found = usable(job, part)
            for pooled, some in pools(found.series, job.fallback).items():
                there = members.get(pooled, Points.of())
                members[pooled] = there.concatenated(found.points.take(some[: POOLED_SERIES - len(there)]))
    return members


def _publish(
    job: JobFile, releases: Releases, results: Sequence[ShardResult], base: Manifest | None, over: Head | None
) -> tuple[Manifest, pa.Table]:
    """Check the gates, write the records, then the manifest of all shards, and make it current."""
    fitted = records.merge([result.records for result in results])
    regions: dict[str, list[Artifact | None]] = (
        {name: list(kept) for name, kept in base.regions.items()} if base else {}
    )
    for result in results:
        if result.artifact:
            shards = regions.setdefault(result.region, [None] * result.shards)
            shards[result.shard] = result.artifact
    if not regions:
        why = [f"{reason} ({one.series} series, as {one.first[0]})" for reason, one in gates.reasons(fitted).items()]
        raise HistoryUnusable(f"nothing can be fitted: {'; '.join(why) or 'no metric of the history matches a rule'}")
    names = sorted({name for result in results for name in result.adapters} | set(base.adapters if base else ()))
    fitted = records.updated(records.read_or_empty(releases, base.id), fitted) if base else fitted
    plan, release = shared_plan(job), new_release_id()
    limits = {name: limit for name, limit in job.gates.model_dump().items() if limit is not None}
    if failures := gates.check(fitted, plan.rate, limits):
        raise Gated("; ".join(failures))
    records.write(releases, release, fitted)
    artifacts = {name: tuple(shards) for name, shards in sorted(regions.items())}
    clocks = _clocks(job, artifacts, fitted)
    return commit(releases, artifacts, plan, names, over, _provenance(job), release, job.rates, clocks), fitted


def _clocks(job: JobFile, regions: Iterable[str], fitted: pa.Table) -> dict[str, RegionClock]:
    """The clocks of regions from the start of their history on, without those that are that of `*`."""
    first = pc.min(fitted["history_from"]).as_py() or 0
    found = {region: one for region in (ANY, *regions) if (one := job.clock(region))}
    return {
        region: RegionClock.of(one.time_zone, one.clock.since(first))
        for region, one in found.items()
        if region == ANY or one != found.get(ANY)
    }


def _provenance(job: JobFile) -> dict[str, str]:
    """What to say of where a release came from."""
    history = job.history
    sources = {
        "files": ", ".join(history.files or ()),
        "dataset": history.dataset or "",
        "prometheus": history.prometheus.url if history.prometheus else "",
    }
    adapters_tried = {candidate.adapter for rule in job.metrics for candidate in rule.candidates}
    provenance = {"job": job.job, **sources, "adapters": ", ".join(sorted(adapters_tried)), "engine": job.engine}
    return {name: text[:1000] for name, text in provenance.items() if text}
