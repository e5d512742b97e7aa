"""Scoring: from a query to its scores. Does no I/O.

The shards it needs are asked for by `get`, which gives None for one that has to be loaded first. Then there are no
scores yet: whoever asked waits for what is loading, blocking or not, and asks again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.kernels import scoring as kernel
from myriad.kernels.groups import by_number
from myriad.kernels.scoring import NO_MODEL
from myriad.models.counters import as_rates
from myriad.models.ensemble import COMBINES
from myriad.models.errors import InvalidKey, LoadFailed
from myriad.models.query import Query
from myriad.models.scores import Scores
from myriad.models.windows import Window, aggregate
from myriad.serving.alert_scores import alert_scores
from myriad.serving.host_scores import host_scores
from myriad.serving.local_time import local_times
from myriad.serving.resolution import NOT_FOUND, Get, KnownTable, Lines, Resolution, other_windows, resolve
from myriad.storage.release import Manifest
from myriad.storage.shard import Shard

OK, FALLBACK, NO_MODELS, INSUFFICIENT_DATA, LOAD_FAILED = range(5)
"""Of `STATUSES`."""


class Asked(NamedTuple):
    """The windows of a release that are asked for, in its order: also as positions, seconds and weights, (W,).

    `power` is that of the weighted mean.
    """

    windows: tuple[Window, ...]
    columns: NDArray[np.int64]
    seconds: NDArray[np.int64]
    weights: NDArray[np.float64]
    power: int


def asked(manifest: Manifest, windows: tuple[Window, ...] | None) -> Asked:
    """The windows asked for, all of the release's where None.

    Raises:
        InvalidKey: one is not among the release's, or there is none.
    """
    known: dict[frozenset[Window] | None, Asked] = manifest.__dict__.setdefault("asked", {})
    key = None if windows is None else frozenset(windows)
    if key not in known:
        if not (key is None or key):
            raise InvalidKey("window", "", "is none at all; leave windows out for all of the release's")
        for window in windows or ():
            if window not in manifest.parsed_windows:
                why = f"is not one of this release's: {', '.join(manifest.windows)}"
                raise InvalidKey("window", str(window), why)
        columns = [i for i, window in enumerate(manifest.parsed_windows) if key is None or window in key]
        known[key] = Asked(
            tuple(manifest.parsed_windows[i] for i in columns),
            np.array(columns, np.int64),
            np.array([manifest.parsed_windows[i] for i in columns], np.int64),
            np.array([manifest.weights[i] for i in columns], np.float64),
            manifest.power,
        )
    return known[key]


def score(manifest: Manifest, query: Query, get: Get, known_table: KnownTable | None = None) -> Scores | None:
    """The scores of a query; None while a shard is being loaded.

    Args:
        manifest: the release.
        query: what to score.
        get: gives open shards.
        known_table: the table that all of the query's series are posted in, where they are.

    Raises:
        InvalidKey: a window is not one of the release's.
    """
    windows = asked(manifest, query.windows)
    known = known_table.resolution(manifest.id) if known_table else None
    resolution = known or resolve(manifest, query.names, get)
    if resolution is None:
        return None
    shards: dict[int, Shard] = {}
    failures: dict[int, LoadFailed] = {}
    waiting = False
    for at in resolution.opened:
        shard = get(resolution.artifacts[at])
        if shard is None:
            waiting = True
        elif isinstance(shard, LoadFailed):
            failures[at] = shard
        elif misfit := other_windows(manifest, shard):
            failures[at] = misfit
        else:
            shards[at] = shard
    if waiting:
        return None
    resolution = resolution.with_failures(failures) if failures else resolution
    table_of = np.full(len(resolution.artifacts) + 1, -1)
    table_of[list(shards)] = np.arange(len(shards))
    table = np.where(resolution.position == NOT_FOUND, -1, table_of[resolution.artifact])
    tables = [shard.table for shard in shards.values()]
    if known_table and not known:
        known_table.remember(manifest.id, resolution)
    if lines := _lines(manifest, query, windows, tables, table, resolution, known_table) if known else None:
        block, counts = _scored_by_lines(query, windows, lines)
        codes = np.empty((0, 0), np.uint8)
    else:
        block, counts, codes = _scored(manifest, query, windows, tables, table, resolution.position)
    if query.alerts:
        steps = _steps(tables, table, resolution.position)
        block = np.vstack([block, alert_scores(query.names, query.points, block[0], steps)])
    status = _statuses(resolution, counts)
    adapters = tuple(manifest.adapters)
    used = _adapters(table, codes, list(shards.values()), adapters) if query.models else None
    hosts = host_scores(query, windows.windows[0], block[0], resolution, shards) if query.hosts else ()
    reasons = _reasons(resolution) if resolution.failed else {}
    return Scores(
        manifest.id, windows.windows, block, counts, status, resolution.level, used, adapters, reasons,
        manifest.coverage, hosts,
    )  # fmt: skip


def _scored(
    manifest: Manifest,
    query: Query,
    windows: Asked,
    tables: list[kernel.Table],
    table: NDArray[np.int64],
    position: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8]]:
    """The block of scores, how many there are, and codes of adapters; see `kernels.scoring.score`."""
    points, means = query.points, _posted_means(query, windows)
    if means is None and manifest.rates:
        means = _rates(manifest, query, windows, tables, table, position)
    times, values = np.ascontiguousarray(points.timestamps), np.ascontiguousarray(points.values)
    return kernel.score(
        tables, table, position, times, values, points.offsets,
        windows.columns, windows.seconds, windows.weights, windows.power, manifest.coverage,
        COMBINES.index(query.combine), means, query.bands, local_times(manifest, query.names, points),
    )  # fmt: skip


def _lines(
    manifest: Manifest,
    query: Query,
    windows: Asked,
    tables: list[kernel.Table],
    table: NDArray[np.int64],
    resolution: Resolution,
    known: KnownTable | None,
) -> Lines | None:
    """The lines of a table that is posted again and again, one point of each series; None for any other."""
    points = query.points
    is_tick = len(points.timestamps) == len(points) > 0 and (points.lengths == 1).all()
    if not (known and is_tick) or query.models or resolution.failed:
        return None
    if manifest.clocks or (manifest.rates and query.values is None):
        return None
    start = int(points.timestamps.min()) // kernel.QUARTER * kernel.QUARTER
    if int(points.timestamps.max()) >= start + kernel.QUARTER:
        return None
    how = COMBINES.index(query.combine)

    def draw() -> Lines | None:
        drawn = kernel.lines(tables, table, resolution.position, windows.columns, how, start)
        if drawn is None:
            return None
        needed = np.ceil(manifest.coverage * windows.seconds[:, None] / _steps(tables, table, resolution.position))
        return Lines(start, *drawn, needed <= 1)

    return known.lines(manifest.id, (windows.windows, how, start), draw)


def _scored_by_lines(query: Query, windows: Asked, lines: Lines) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    means = _posted_means(query, windows)
    if means is None:
        means = np.where(lines.alone, query.points.values, np.nan)
    return kernel.score_first(
        lines.lines, lines.divisors, windows.columns, windows.weights, windows.power, COMBINES.index(query.combine),
        lines.start, query.points.timestamps, means, query.bands,
    )  # fmt: skip


def _posted_means(query: Query, windows: Asked) -> NDArray[np.float64] | None:
    """The means of the windows where they were posted, float64 (W, n); None where points were."""
    if query.values is None:
        return None
    missing = np.full(len(query.points.values), np.nan)
    return np.stack([query.values.get(window, missing) for window in windows.windows])


def _steps(tables: list[kernel.Table], table: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.int64]:
    """Seconds between the points of each series, 1 where there are no models, int64 (series,)."""
    steps = np.ones(len(table), np.int64)
    for here, mine in zip(tables, _by_table(table, len(tables)), strict=True):
        steps[mine] = here.step[position[mine]]
    return steps


def _by_table(table: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """The series of each table; found for all at once, as nothing done once a shard may look at a whole tick."""
    order, offsets = by_number(table + 1, count + 1)  # those without models come first
    return np.split(order, offsets[1:-1])[1:]


def _rates(
    manifest: Manifest,
    query: Query,
    windows: Asked,
    tables: list[kernel.Table],
    table: NDArray[np.int64],
    position: NDArray[np.int64],
) -> NDArray[np.float64] | None:
    """The means of the windows where some of the series are counters, float64 (W, n); None where none is."""
    is_counter = np.array([manifest.is_counter(metric) for metric in query.names.parts[2]], np.bool_)
    if not is_counter[query.names.codes[2]].any():
        return None
    steps = _steps(tables, table, position)
    rates, kept = as_rates(query.points, is_counter[query.names.codes[2]])
    means = np.full((len(windows.windows), len(query.points.values)), np.nan)
    means[:, kept] = aggregate(rates, windows.windows, steps, manifest.coverage)
    return means


def _statuses(resolution: Resolution, counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    codes = np.where(resolution.level > 0, FALLBACK, OK).astype(np.uint8)
    codes[~counts.any(axis=1)] = INSUFFICIENT_DATA
    codes[resolution.position == NOT_FOUND] = LOAD_FAILED
    codes[resolution.artifact == NOT_FOUND] = NO_MODELS
    return codes


def _adapters(
    table: NDArray[np.int64], codes: NDArray[np.uint8], shards: Sequence[Shard], names: tuple[str, ...]
) -> NDArray[np.uint8]:
    """The adapters of the models of each series, as positions in `names`, from each shard's own codes."""
    found = codes.copy()
    for shard, mine in zip(shards, _by_table(table, len(shards)), strict=True):
        if shard.adapters != names[: len(shard.adapters)]:
            known = np.full(NO_MODEL + 1, NO_MODEL, np.uint8)
            known[: len(shard.adapters)] = [names.index(name) for name in shard.adapters]
            found[mine] = known[codes[mine]]
    return found


def _reasons(resolution: Resolution) -> dict[int, str]:
    unopened = np.flatnonzero((resolution.position == NOT_FOUND) & (resolution.artifact != NOT_FOUND))
    return {i: str(resolution.failed[int(resolution.artifact[i])]) for i in unopened.tolist()}
