"""Scoring: from a query to its scores. Does no I/O.

`score_steps` is a generator: it yields the artifacts whose shards it needs and is sent the open shards. So the same
code serves synchronous callers, which block until a shard is loaded, and asynchronous ones, which await it.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad import adapters
from myriad.models.base import Prediction
from myriad.models.counters import as_rates
from myriad.models.ensemble import COMBINES, Combine, combine, subset
from myriad.models.errors import InvalidKey, LoadFailed
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.windows import Window, aggregate
from myriad.serving.resolution import NOT_FOUND, CachedModels, OpenedShards, Resolution, resolve
from myriad.storage.release import Artifact, Manifest
from myriad.storage.shard import NO_MODEL, Shard

MAX_GATHERED_SERIES = 64
"""In a query of at most so many series, their models are gathered into one `Model` an adapter.

That copies the models, which costs less than the calls into NumPy that it saves.
"""


class Status(StrEnum):
    """The outcome of scoring a series."""

    OK = "ok"
    FALLBACK = "fallback"
    NO_MODEL = "no_model"
    INSUFFICIENT_DATA = "insufficient_data"
    LOAD_FAILED = "load_failed"
    BAD_SERIES = "bad_series"


STATUSES = tuple(Status)


@dataclass(frozen=True, slots=True)
class Query:
    """What to score.

    Attributes:
        names: the series of the points, in their order.
        points: tidied.
        windows: to score at; all of the release's where None.
        combine: how the windows' scores become one.
        values: the value of each window at each point, float64 (n,), where the points have been aggregated already.
        bands: whether the bands are wanted too.
        resolution: where the series' models are in the release being served, where that is cached.
        cached_models: the series' models, where they are cached; the resolution is then `Resolution.of` them.
    """

    names: Names
    points: Points
    windows: tuple[Window, ...] | None = None
    combine: Combine = "weighted"
    values: dict[Window, NDArray[np.float64]] | None = None
    bands: bool = False
    resolution: Resolution | None = None
    cached_models: Sequence[CachedModels] | None = None


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """Where the models for a series are.

    Attributes:
        series: the series that the models were fitted for: the one asked about, or the fallback for it.
        level: 0 for its own models, 1 for its region's, 2 for those of all regions.
        shard: the open shard that holds them.
        position: of the series in the shard's index.
    """

    series: Series
    level: int
    shard: Shard
    position: int

    def adapter(self, window: Window) -> str | None:
        """The adapter of the model at a window, None where there is no model."""
        code = int(self.shard.adapter[self.position, self.shard.windows.index(window)])
        return None if code == NO_MODEL else self.shard.adapters[code]


@dataclass(frozen=True)
class Scores:
    """The answer to a query over n points of some series at W windows.

    Attributes:
        manifest: of the release that answered.
        windows: those asked for.
        names: the series asked about.
        points: those asked about.
        score: the calibrated combination, float64 (n,); NaN where no window could be scored.
        by_window: each window's own score, float64 (W, n).
        expected: of each window, float64 (W, n).
        bands: where asked for, the lower and upper edges outside of which a window's score is above 1, (2, W, n).
        resolution: where the models are.
        shards: those that could be opened, by position among the resolution's artifacts.
        score_counts: how many points of each series have a score at each window, int64 (W, series).
        cached_models: the models of each series, None for one without, where they were gathered; None where they
            were read from the shards.
    """

    manifest: Manifest
    windows: tuple[Window, ...]
    names: Names
    points: Points
    score: NDArray[np.float64]
    by_window: NDArray[np.float64]
    expected: NDArray[np.float64]
    bands: NDArray[np.float64] | None
    resolution: Resolution
    shards: dict[int, Shard]
    score_counts: NDArray[np.int64]
    cached_models: list[CachedModels | None] | None

    @cached_property
    def statuses(self) -> NDArray[np.uint8]:
        """The status of each series, as positions in `STATUSES`, u1 (series,)."""
        resolution, ok = self.resolution, STATUSES.index(Status.OK)
        codes = np.where(resolution.level > 0, STATUSES.index(Status.FALLBACK), ok).astype(np.uint8)
        codes[~self.score_counts.any(axis=0)] = STATUSES.index(Status.INSUFFICIENT_DATA)
        codes[resolution.position == NOT_FOUND] = STATUSES.index(Status.LOAD_FAILED)
        codes[resolution.artifact == NOT_FOUND] = STATUSES.index(Status.NO_MODEL)
        return codes

    def tally(self, bad: int = 0) -> dict[str, int]:
        """How many series have each status; `bad` are the series of the request that are not in the query."""
        counts = zip(STATUSES, np.bincount(self.statuses, minlength=len(STATUSES)).tolist(), strict=True)
        tally = {status.value: count for status, count in counts if count}
        return {**tally, Status.BAD_SERIES.value: bad} if bad else tally

    def status(self, i: int) -> Status:
        """The status of series i."""
        return STATUSES[int(self.statuses[i])]

    def location(self, i: int) -> ModelLocation | None:
        """Where the models for series i are; None where there are none, or their shard could not be loaded."""
        at, position = int(self.resolution.artifact[i]), int(self.resolution.position[i])
        if position == NOT_FOUND:
            return None
        level = int(self.resolution.level[i])
        return ModelLocation(self.names[i].fallback(level), level, self.shards[at], position)

    @cached_property
    def adapters(self) -> list[tuple[str | None, ...]]:
        """Of each series the adapters of its models at the windows asked for, None at a window without a model.

        Empty for a series that has no models.
        """
        columns = [self.manifest.parsed_windows.index(window) for window in self.windows]
        if self.cached_models is not None:
            return [tuple([models.adapters[at] for at in columns]) if models else () for models in self.cached_models]
        adapters_of_series = list[tuple[str | None, ...]]([()]) * len(self.points)
        for at, shard in self.shards.items():
            series = self.resolution.members[at]
            names = {**dict(enumerate(shard.adapters)), NO_MODEL: None}
            codes = shard.adapter[self.resolution.position[series]][:, columns].tolist()
            tuples = {row: tuple(names[code] for code in row) for row in {*map(tuple, codes)}}
            for i, row in zip(series.tolist(), codes, strict=True):
                adapters_of_series[i] = tuples[tuple(row)]
        return adapters_of_series

    @cached_property
    def _low_coverage(self) -> str:
        return f"no point has {self.manifest.coverage:.0%} of the points before it in the window"

    def missing(self, i: int) -> dict[Window, str]:
        """The windows at which no point of series i has a score, and why."""
        if not (used := self.adapters[i]):
            failure = self.resolution.failed.get(int(self.resolution.artifact[i]))
            return dict.fromkeys(self.windows, str(failure) if failure else "there is no model")
        return {
            window: self._low_coverage if adapter else "there is no model at this window"
            for window, adapter, count in zip(self.windows, used, self.score_counts[:, i].tolist(), strict=True)
            if not (adapter and count)
        }


def score_steps(manifest: Manifest, query: Query) -> Generator[list[Artifact], OpenedShards, Scores]:
    """The scores of a query, as a generator that is sent the shards it asks for.

    Raises:
        InvalidKey: a window is not one of the release's.
    """
    columns = _window_columns(manifest, query.windows)
    if query.resolution is None:
        resolution, opened = yield from resolve(manifest, query.names)
    else:
        resolution = query.resolution
        opened = yield [resolution.artifacts[at] for at in resolution.opened]
    shards, failed = dict[int, Shard](), dict[int, LoadFailed]()
    for at in resolution.opened:
        shard = opened[resolution.artifacts[at].hash]
        if isinstance(shard, LoadFailed):
            failed[at] = shard
        elif shard.windows != manifest.parsed_windows:
            failed[at] = LoadFailed(shard.name, f"it has the windows {shard.windows}, its release {manifest.windows}")
        else:
            shards[at] = shard
    return _compute_scores(manifest, query, columns, resolution.with_failures(failed) if failed else resolution, shards)


def _window_columns(manifest: Manifest, windows: tuple[Window, ...] | None) -> list[int]:
    """The positions of the windows asked for among the release's, in the release's order."""
    release_windows = manifest.parsed_windows
    if windows == ():
        raise InvalidKey("window", "", "is none at all; leave windows out for all of the release's")
    for window in windows or ():
        if window not in release_windows:
            raise InvalidKey("window", str(window), f"is not one of this release's: {', '.join(manifest.windows)}")
    return [i for i, window in enumerate(release_windows) if windows is None or window in windows]


def _compute_scores(
    manifest: Manifest, query: Query, columns: list[int], resolution: Resolution, shards: dict[int, Shard]
) -> Scores:
    points = query.points
    windows = tuple(manifest.parsed_windows[i] for i in columns)
    gathered = _gather_models(query, resolution, shards) if len(points) <= MAX_GATHERED_SERIES else None
    steps, divisors = _steps_and_divisors(manifest, query, resolution, shards, gathered)
    values = _window_values(manifest, query, windows, steps)
    predicted = np.full((4 if query.bands else 2, *values.shape), np.nan)
    if gathered is None:
        _predict_from_shards(shards, resolution, columns, points, values, predicted)
    else:
        _predict_gathered(gathered, columns, points, values, predicted)
    by_window, expected = predicted[:2]
    present = ~np.isnan(by_window)
    complete = bool(present.all())
    if not complete:
        predicted[1:, ~present] = np.nan  # a window without a value has no expectation and no band
    combined = combine(by_window, [manifest.weights[i] for i in columns], query.combine)
    combined /= divisors[points.owner, sum(1 << i for i in columns) if complete else subset(present, columns)]
    return Scores(
        manifest=manifest,
        windows=windows,
        names=query.names,
        points=points,
        score=combined,
        by_window=by_window,
        expected=expected,
        bands=predicted[2:] if query.bands else None,
        resolution=resolution,
        shards=shards,
        score_counts=(
            np.tile(points.lengths, (len(columns), 1)) if complete else _count_by_series(present, points.offsets)
        ),
        cached_models=gathered,
    )


def _steps_and_divisors(
    manifest: Manifest,
    query: Query,
    resolution: Resolution,
    shards: dict[int, Shard],
    gathered: list[CachedModels | None] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each series the step, int64 (series,), and the divisors of its combinations, float64 (series, 2^W).

    A combined score is divided by the divisor of the subset of windows that it is made of. Series without models have
    steps and divisors of 1.
    """
    mode, subsets, n = COMBINES.index(query.combine), 1 << len(manifest.windows), len(query.points)
    if gathered is not None:
        ones = np.ones(subsets, np.float16).tobytes()
        buffer = b"".join([models.combined[mode] if models else ones for models in gathered])
        steps = np.array([models.step if models else 1 for models in gathered], np.int64)
        return steps, np.frombuffer(buffer, np.float16).reshape(n, subsets).astype(np.float64)
    steps, divisors = np.ones(n, np.int64), np.ones((n, subsets))
    for at, shard in shards.items():
        series = resolution.members[at]
        positions = resolution.position[series]
        steps[series], divisors[series] = shard.step[positions], shard.combined[positions, mode]
    return steps, divisors


def _gather_models(query: Query, resolution: Resolution, shards: dict[int, Shard]) -> list[CachedModels | None]:
    """The models of each series, copied from its shard unless they are cached; None where there are none."""
    if query.cached_models and not resolution.failed:
        return list(query.cached_models)
    locations = zip(resolution.artifact.tolist(), resolution.position.tolist(), resolution.level.tolist(), strict=True)
    return [
        None
        if position == NOT_FOUND
        else query.cached_models[i]
        if query.cached_models
        else CachedModels.of(resolution.artifacts[at], shards[at], position, level)
        for i, (at, position, level) in enumerate(locations)
    ]


def _count_by_series(present: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many points of each series are present at each window, int64 (W, series), from bool (W, n)."""
    before = np.zeros((len(present), present.shape[1] + 1), np.int64)
    np.cumsum(present, axis=1, out=before[:, 1:])
    return before[:, offsets[1:]] - before[:, offsets[:-1]]


def _window_values(
    manifest: Manifest, query: Query, windows: tuple[Window, ...], steps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The value of each window at each point, float64 (W, n)."""
    if query.values is None and not manifest.rates:
        return aggregate(query.points, windows, steps, manifest.coverage)
    missing = np.full(len(query.points.values), np.nan)
    if query.values is not None:
        return np.stack([query.values.get(window, missing) for window in windows])
    is_counter = np.array([manifest.is_counter(metric) for metric in query.names.parts[2]], np.bool_)
    rates, kept = as_rates(query.points, is_counter[query.names.codes[2]])
    values = np.tile(missing, (len(windows), 1))
    values[:, kept] = aggregate(rates, windows, steps, manifest.coverage)
    return values


def _predict_from_shards(
    shards: dict[int, Shard],
    resolution: Resolution,
    columns: list[int],
    points: Points,
    values: NDArray[np.float64],
    predicted: NDArray[np.float64],
) -> None:
    """Write the predictions for many series into `predicted`, with one call a shard, window and adapter.

    The models are used where they lie in the shards. `predicted` is (2 or 4, W, n): score, expected value and, where
    there are bands, lower and upper edge.
    """
    for at, shard in shards.items():
        positions = resolution.position[resolution.members[at]]
        shard_points, shard_span = _points_of(points, resolution.members[at])
        codes, rows = shard.adapter[positions], shard.row[positions].astype(np.int64)
        groups, grouped_codes = list[_AdapterGroup](), None
        for window, column in enumerate(columns):
            window_values, window_codes = values[window, shard_span], codes[:, column]
            if np.isnan(window_values).all():
                continue
            # Most series have the same adapter at all windows.
            if grouped_codes is None or (window_codes != grouped_codes).any():
                groups, grouped_codes = _by_adapter(shard_points, window_codes), window_codes
            for group in groups:
                model = shard.models[column, group.code]
                prediction = model.predict(
                    rows[group.series, column], group.points.with_values(window_values[group.span])
                )
                span = group.span if isinstance(shard_span, slice) else shard_span[group.span]
                _write(prediction, predicted[:, window], span)


class _AdapterGroup(NamedTuple):
    """Series of a shard whose models at a window are of one adapter.

    Attributes:
        code: of the adapter.
        series: positions among the shard's series that are asked about, int64 (k,).
        points: of these series.
        span: where these points are among the shard's points that are asked about.
    """

    code: int
    series: NDArray[np.int64]
    points: Points
    span: "NDArray[np.int64] | slice"


def _by_adapter(points: Points, codes: NDArray[np.uint8]) -> list[_AdapterGroup]:
    """The series that have a model, grouped by adapter."""
    groups = []
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        if code != NO_MODEL:
            series = np.flatnonzero(codes == code)
            groups.append(_AdapterGroup(code, series, *_points_of(points, series)))
    return groups


def _predict_gathered(
    gathered: list[CachedModels | None],
    columns: list[int],
    points: Points,
    values: NDArray[np.float64],
    predicted: NDArray[np.float64],
) -> None:
    """As `_predict_from_shards` for few series, with one call an adapter.

    The points are repeated for every window, so that series i at window w is series w x len(gathered) + i of one
    `Points`, and the models of an adapter at all windows are gathered into one `Model`.
    """
    by_adapter: dict[str, list[tuple[int, bytes]]] = {}
    for window, column in enumerate(columns):
        for i, models in enumerate(gathered):
            if models and (adapter := models.adapters[column]):
                by_adapter.setdefault(adapter, []).append((window * len(gathered) + i, models.records[column]))
    n_windows, n = values.shape
    offsets = np.append((np.arange(n_windows)[:, None] * n + points.offsets[:-1]).ravel(), n_windows * n)
    repeated = Points(np.concatenate([points.timestamps] * n_windows), values.ravel(), offsets)
    for adapter, positioned_records in by_adapter.items():
        positions, records = zip(*positioned_records, strict=True)
        adapter_points, span = _points_of(repeated, np.array(positions, np.int64))
        model = adapters.get(adapter).of_records(records)
        prediction = model.predict(np.arange(len(records)), adapter_points)
        _write(prediction, predicted.reshape(len(predicted), -1), span)


def _write(prediction: Prediction, predicted: NDArray[np.float64], span: "NDArray[np.int64] | slice") -> None:
    predicted[0, span], predicted[1, span] = prediction.score, prediction.expected
    if len(predicted) > 2:
        predicted[2, span], predicted[3, span] = prediction.lower, prediction.upper


def _points_of(points: Points, series: NDArray[np.int64]) -> "tuple[Points, NDArray[np.int64] | slice]":
    """The points of some series, and where they are among all; `series` is in ascending order."""
    if len(series) == len(points):
        return points, slice(None)
    return points.take(series), points.spans(series)
