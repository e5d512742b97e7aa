"""Scoring: from a query to its scores. Does no I/O.

The shards it needs are asked for by `get`, which gives None for one that has to be loaded first. Then there are no
scores yet: whoever asked waits for what is loading, blocking or not, and asks again.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.kernels import scoring as kernel
from myriad.kernels.groups import by_number
from myriad.kernels.scoring import NO_MODEL
from myriad.models.counters import as_rates
from myriad.models.ensemble import COMBINES
from myriad.models.errors import InvalidKey, LoadFailed
from myriad.models.windows import Window, aggregate
from myriad.serving.host_scores import HostScores, host_scores
from myriad.serving.query import Query
from myriad.serving.resolution import NOT_FOUND, Get, Lines, Resolution, other_windows, resolve
from myriad.serving.status import STATUSES, Status
from myriad.storage.release import Manifest
from myriad.storage.shard import Shard

OK, FALLBACK, NO_MODELS, INSUFFICIENT_DATA, LOAD_FAILED = range(5)
"""Of `STATUSES`."""


class Scores(NamedTuple):
    """The scores of n points of some series at W windows.

    Attributes:
        release: that answered.
        windows: those asked for, in the release's order.
        block: rows of n: the calibrated combination, NaN where no window could be scored, each window's own score, each
            window's expected value, and where bands were asked for the lower and then the upper edge, outside of which
            a window's score is above 1, of each; float64 (1 + 2 or 4 x W, n).
        counts: how many points of each series have a score at each window, int64 (series, W).
        status: of each series, as positions in `STATUSES`, u1 (series,).
        level: 0 for a series' own models, above that for a fallback's, u1 (series,).
        adapter: of each series and window the position in `adapters`, or `NO_MODEL`, u1 (series, W); where asked for.
        adapters: names.
        failed: why the shard of a series could not be opened, by position.
        coverage: the share of its points that a window needs.
        hosts: where asked for, in the order in which they first occur.
    """

    release: str
    windows: tuple[Window, ...]
    block: NDArray[np.float64]
    counts: NDArray[np.int64]
    status: NDArray[np.uint8]
    level: NDArray[np.uint8]
    adapter: NDArray[np.uint8] | None
    adapters: tuple[str, ...]
    failed: Mapping[int, str]
    coverage: float
    hosts: Sequence[HostScores]

    @property
    def score(self) -> NDArray[np.float64]:
        """The calibrated combination, float64 (n,)."""
        return self.block[0]

    @property
    def by_window(self) -> NDArray[np.float64]:
        """Each window's own score, float64 (W, n)."""
        return self.block[1 : 1 + len(self.windows)]

    @property
    def expected(self) -> NDArray[np.float64]:
        """Each window's expected value, float64 (W, n)."""
        return self.block[1 + len(self.windows) : 1 + 2 * len(self.windows)]

    @property
    def bands(self) -> NDArray[np.float64] | None:
        """The lower and upper edges of each window, float64 (2, W, n); None where they were not asked for."""
        edges = self.block[1 + 2 * len(self.windows) :]
        return edges.reshape(2, len(self.windows), -1) if len(edges) else None

    def tally(self, bad: int = 0) -> dict[str, int]:
        """How many series have each status; `bad` are the series of the request that are not in the query."""
        counts = zip(STATUSES, np.bincount(self.status, minlength=len(STATUSES)).tolist(), strict=True)
        tally = {status.value: count for status, count in counts if count}
        return {**tally, Status.BAD_SERIES.value: bad} if bad else tally

    def missing(self, i: int) -> dict[Window, str]:
        """The windows at which no point of series i has a score, and why."""
        if self.adapter is None:
            raise ValueError("it was not asked for which models are used")
        scored = (self.counts[i] > 0).tolist()
        return missing_windows(self.windows, self.adapter[i].tolist(), scored, self.coverage, self.failed.get(i))


def missing_windows(
    windows: tuple[Window, ...],
    codes: Sequence[int],
    scored: Sequence[bool],
    coverage: float,
    failure: str | None = None,
) -> dict[Window, str]:
    """The windows at which no point of a series has a score, and why.

    Args:
        windows: asked for.
        codes: the code of the adapter at each, or `NO_MODEL`.
        scored: whether a point has a score at each.
        coverage: the share of its points that a window needs.
        failure: why the shard could not be opened, if it could not.
    """
    if all(code == NO_MODEL for code in codes):
        return dict.fromkeys(windows, failure or "there is no model")
    low = f"no point has {coverage:.0%} of the points before it in the window"
    return {
        window: "there is no model at this window" if code == NO_MODEL else low
        for window, code, has_scores in zip(windows, codes, scored, strict=True)
        if not has_scores
    }


class Asked(NamedTuple):
    """The windows of a release that are asked for, in its order: also as positions, seconds and weights, (W,)."""

    windows: tuple[Window, ...]
    columns: NDArray[np.int64]
    seconds: NDArray[np.int64]
    weights: NDArray[np.float64]


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
        )
    return known[key]


def score(manifest: Manifest, query: Query, get: Get) -> Scores | None:
    """The scores of a query; None while a shard is being loaded.

    Raises:
        InvalidKey: a window is not one of the release's.
    """
    windows = asked(manifest, query.windows)
    known = query.known.resolution(manifest.id) if query.known else None
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
    if query.known and not known:
        query.known.remember(manifest.id, resolution)
    if lines := _lines(manifest, query, windows, tables, table, resolution) if known else None:
        block, counts = _scored_by_lines(query, windows, lines)
        codes = np.empty((0, 0), np.uint8)
    else:
        block, counts, codes = _scored(manifest, query, windows, tables, table, resolution.position)
    status = _statuses(resolution, counts)
    adapters = tuple(manifest.adapters)
    used = _adapters(table, codes, list(shards.values()), adapters) if query.models else None
    hosts = host_scores(query.names, query.points, block[0], resolution, shards) if query.hosts else ()
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
        windows.columns, windows.seconds, windows.weights, manifest.coverage, COMBINES.index(query.combine), means,
        query.bands,
    )  # fmt: skip


def _lines(
    manifest: Manifest,
    query: Query,
    windows: Asked,
    tables: list[kernel.Table],
    table: NDArray[np.int64],
    resolution: Resolution,
) -> Lines | None:
    """The lines of a table that is posted again and again, one point of each series; None for any other."""
    points = query.points
    is_tick = len(points.timestamps) == len(points) > 0 and (points.lengths == 1).all()
    if not (query.known and is_tick) or query.models or resolution.failed:
        return None
    if manifest.rates and query.values is None:
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

    return query.known.lines(manifest.id, (windows.windows, how, start), draw)


def _scored_by_lines(query: Query, windows: Asked, lines: Lines) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    means = _posted_means(query, windows)
    if means is None:
        means = np.where(lines.alone, query.points.values, np.nan)
    return kernel.score_first(
        lines.lines, lines.divisors, windows.columns, windows.weights, COMBINES.index(query.combine), lines.start,
        query.points.timestamps, means, query.bands,
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
