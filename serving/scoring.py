"""Scoring: from a query to its scores, without input or output.

`scored` is a generator: it yields the artifacts whose shards it needs and is sent them opened, so that the same
steps serve callers that wait for a load and callers that await it.
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
from myriad.models.ensemble import COMBINES, Combine, combine, subset
from myriad.models.errors import InvalidKey, LoadFailed
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.windows import Window, aggregate
from myriad.serving.resolution import NOWHERE, Opened, Resolution, Seat, resolve
from myriad.storage.release import Artifact, Manifest
from myriad.storage.shard import NO_MODEL, Shard

FEW_SERIES = 64
"""Up to so many series their models are put together: NumPy's calls would cost more than the copying."""


class Status(StrEnum):
    """What became of a series."""

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
        names: one a series of the points.
        points: tidied.
        windows: to score at; all of the release's where None.
        combine: how to make one score of them.
        values: of each window at each point, where they have been aggregated already, float64 (n,).
        bands: whether the bands are wanted too.
        resolution: where the series' models are, where that is known for the release being served.
        seats: of few series, where they are known; the resolution is then theirs.
    """

    names: Names
    points: Points
    windows: tuple[Window, ...] | None = None
    combine: Combine = "weighted"
    values: dict[Window, NDArray[np.float64]] | None = None
    bands: bool = False
    resolution: Resolution | None = None
    seats: Sequence[Seat] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the models for a series were found.

    Attributes:
        series: whose models they are: its own, its region's or everyone's.
        level: 0 for its own, above that for a fallback.
        shard: where they are.
        position: of the series in the shard's index.
    """

    series: Series
    level: int
    shard: Shard
    position: int

    def adapter(self, window: Window) -> str | None:
        """The adapter of the model at a window, None where there is none."""
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
        scored: how many points of each series have a score at each window, int64 (W, series).
        seats: of few series, None where there is none.
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
    scored: NDArray[np.int64]
    seats: list[Seat | None] | None

    @cached_property
    def statuses(self) -> NDArray[np.uint8]:
        """What became of each series, as positions in `STATUSES`, u1 (series,)."""
        resolution, ok = self.resolution, STATUSES.index(Status.OK)
        codes = np.where(resolution.level > 0, STATUSES.index(Status.FALLBACK), ok).astype(np.uint8)
        codes[~self.scored.any(axis=0)] = STATUSES.index(Status.INSUFFICIENT_DATA)
        codes[resolution.position == NOWHERE] = STATUSES.index(Status.LOAD_FAILED)
        codes[resolution.artifact == NOWHERE] = STATUSES.index(Status.NO_MODEL)
        return codes

    def tally(self, bad: int = 0) -> dict[str, int]:
        """How many series came to what; `bad` more could not be asked about."""
        counts = zip(STATUSES, np.bincount(self.statuses, minlength=len(STATUSES)).tolist(), strict=True)
        tally = {status.value: count for status, count in counts if count}
        return {**tally, Status.BAD_SERIES.value: bad} if bad else tally

    def status(self, i: int) -> Status:
        """What became of series i."""
        return STATUSES[int(self.statuses[i])]

    def place(self, i: int) -> Place | None:
        """Where the models for series i are; None where they are nowhere, or could not be loaded."""
        at, position = int(self.resolution.artifact[i]), int(self.resolution.position[i])
        if position == NOWHERE:
            return None
        level = int(self.resolution.level[i])
        return Place(self.names[i].fallback(level), level, self.shards[at], position)

    @cached_property
    def adapters(self) -> list[tuple[str | None, ...]]:
        """Those of the models of each series at the windows asked for, None at one without; empty where it has none."""
        columns = [self.manifest.parsed_windows.index(window) for window in self.windows]
        if self.seats is not None:
            return [tuple([seat.adapters[at] for at in columns]) if seat else () for seat in self.seats]
        found = list[tuple[str | None, ...]]([()]) * len(self.points)
        for at, shard in self.shards.items():
            series = self.resolution.members[at]
            names = {**dict(enumerate(shard.adapters)), NO_MODEL: None}
            codes = shard.adapter[self.resolution.position[series]][:, columns].tolist()
            known = {few: tuple(names[code] for code in few) for few in {*map(tuple, codes)}}
            for i, few in zip(series.tolist(), codes, strict=True):
                found[i] = known[tuple(few)]
        return found

    @cached_property
    def _too_few(self) -> str:
        return f"no point has {self.manifest.coverage:.0%} of the points before it in the window"

    def missing(self, i: int) -> dict[Window, str]:
        """The windows at which no point of series i has a score, and why."""
        if not (used := self.adapters[i]):
            failure = self.resolution.failed.get(int(self.resolution.artifact[i]))
            return dict.fromkeys(self.windows, str(failure) if failure else "there is no model")
        return {
            window: self._too_few if adapter else "there is no model at this window"
            for window, adapter, count in zip(self.windows, used, self.scored[:, i].tolist(), strict=True)
            if not (adapter and count)
        }


def scored(manifest: Manifest, query: Query) -> Generator[list[Artifact], Opened, Scores]:
    """The scores of a query.

    Raises:
        InvalidKey: a window is not one of the release's.
    """
    chosen = _chosen(manifest, query.windows)
    if query.resolution is None:
        resolution, opened = yield from resolve(manifest, query.names)
    else:
        resolution = query.resolution
        opened = yield [resolution.artifacts[at] for at in resolution.occupied]
    shards, failed = dict[int, Shard](), dict[int, LoadFailed]()
    for at in resolution.occupied:
        shard = opened[resolution.artifacts[at].hash]
        if isinstance(shard, LoadFailed):
            failed[at] = shard
        elif shard.windows != manifest.parsed_windows:
            failed[at] = LoadFailed(shard.name, f"it has the windows {shard.windows}, its release {manifest.windows}")
        else:
            shards[at] = shard
    return _scores(manifest, query, chosen, resolution.without(failed) if failed else resolution, shards)


def _chosen(manifest: Manifest, windows: tuple[Window, ...] | None) -> list[int]:
    """The positions of the wanted windows among the release's, in its order."""
    there = manifest.parsed_windows
    if windows == ():
        raise InvalidKey("window", "", "is none at all; leave windows out for all of the release's")
    for window in windows or ():
        if window not in there:
            raise InvalidKey("window", str(window), f"is not one of this release's: {', '.join(manifest.windows)}")
    return [i for i, window in enumerate(there) if windows is None or window in windows]


def _scores(
    manifest: Manifest, query: Query, chosen: list[int], resolution: Resolution, shards: dict[int, Shard]
) -> Scores:
    points = query.points
    windows = tuple(manifest.parsed_windows[i] for i in chosen)
    seats = _seats(query, resolution, shards) if len(points) <= FEW_SERIES else None
    steps, divisors = _known(manifest, query, resolution, shards, seats)
    values = _values(query, windows, steps, manifest.coverage)
    outcome = np.full((4 if query.bands else 2, *values.shape), np.nan)
    if seats is None:
        _predict_in_place(shards, resolution, chosen, points, values, outcome)
    else:
        _predict_together(seats, chosen, points, values, outcome)
    by_window, expected = outcome[:2]
    there = ~np.isnan(by_window)
    complete = bool(there.all())
    if not complete:
        outcome[1:, ~there] = np.nan  # nothing was expected of a window without a value
    joint = combine(by_window, [manifest.weights[i] for i in chosen], query.combine)
    joint /= divisors[points.owner, sum(1 << i for i in chosen) if complete else subset(there, chosen)]
    return Scores(
        manifest=manifest,
        windows=windows,
        names=query.names,
        points=points,
        score=joint,
        by_window=by_window,
        expected=expected,
        bands=outcome[2:] if query.bands else None,
        resolution=resolution,
        shards=shards,
        scored=np.tile(points.lengths, (len(chosen), 1)) if complete else _counted(there, points.offsets),
        seats=seats,
    )


def _known(
    manifest: Manifest,
    query: Query,
    resolution: Resolution,
    shards: dict[int, Shard],
    seats: list[Seat | None] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each series the step, int64 (series,), and what its combinations are divided by, float64 (series, 2^W)."""
    mode, subsets, n = COMBINES.index(query.combine), 1 << len(manifest.windows), len(query.points)
    if seats is not None:
        nothing = np.ones(subsets, np.float16).tobytes()
        divisors = b"".join([seat.combined[mode] if seat else nothing for seat in seats])
        steps = np.array([seat.step if seat else 1 for seat in seats], np.int64)
        return steps, np.frombuffer(divisors, np.float16).reshape(n, subsets).astype(np.float64)
    steps, each = np.ones(n, np.int64), np.ones((n, subsets))
    for one, shard in shards.items():
        series = resolution.members[one]
        positions = resolution.position[series]
        steps[series], each[series] = shard.step[positions], shard.combined[positions, mode]
    return steps, each


def _seats(query: Query, resolution: Resolution, shards: dict[int, Shard]) -> list[Seat | None]:
    """The models of each series by themselves, None where there are none."""
    if query.seats and not resolution.failed:
        return list(query.seats)
    found = zip(resolution.artifact.tolist(), resolution.position.tolist(), resolution.level.tolist(), strict=True)
    return [
        None
        if position == NOWHERE
        else query.seats[i]
        if query.seats
        else Seat.of(resolution.artifacts[at], shards[at], position, level)
        for i, (at, position, level) in enumerate(found)
    ]


def _counted(there: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many points of each series are there, int64 (W, series), from bool (W, n)."""
    before = np.zeros((len(there), there.shape[1] + 1), np.int64)
    np.cumsum(there, axis=1, out=before[:, 1:])
    return before[:, offsets[1:]] - before[:, offsets[:-1]]


def _values(
    query: Query, windows: tuple[Window, ...], steps: NDArray[np.int64], coverage: float
) -> NDArray[np.float64]:
    """The value of each window at each point, float64 (W, n)."""
    if query.values is None:
        return aggregate(query.points, windows, steps, coverage)
    none = np.full(len(query.points.values), np.nan)
    return np.stack([query.values.get(window, none) for window in windows])


def _predict_in_place(
    shards: dict[int, Shard],
    resolution: Resolution,
    chosen: list[int],
    points: Points,
    values: NDArray[np.float64],
    outcome: NDArray[np.float64],
) -> None:
    """Write what the models say of many series into `outcome` (2 or 4, W, n): a call a shard, window and adapter."""
    for one, shard in shards.items():
        positions = resolution.position[resolution.members[one]]
        part, at = _part(points, resolution.members[one])
        codes, rows = shard.adapter[positions], shard.row[positions].astype(np.int64)
        groups, grouped = list[_Group](), None
        for window, release_window in enumerate(chosen):
            seen, column = values[window, at], codes[:, release_window]
            if np.isnan(seen).all():
                continue
            if grouped is None or (column != grouped).any():  # most series have one adapter at all windows
                groups, grouped = _by_adapter(part, column), column
            for group in groups:
                model = shard.models[release_window, group.code]
                prediction = model.predict(
                    rows[group.series, release_window], group.points.with_values(seen[group.inside])
                )
                where = group.inside if isinstance(at, slice) else at[group.inside]
                _write(prediction, outcome[:, window], where)


class _Group(NamedTuple):
    """Series of a shard whose models at a window are of one adapter.

    Attributes:
        code: of the adapter.
        series: among those of the shard that are asked about, int64 (k,).
        points: of these series.
        inside: where they are among the points of the shard.
    """

    code: int
    series: NDArray[np.int64]
    points: Points
    inside: "NDArray[np.int64] | slice"


def _by_adapter(points: Points, codes: NDArray[np.uint8]) -> list[_Group]:
    """The series with a model, in groups of one adapter each."""
    groups = []
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        if code != NO_MODEL:
            series = np.flatnonzero(codes == code)
            groups.append(_Group(code, series, *_part(points, series)))
    return groups


def _predict_together(
    seats: list[Seat | None],
    chosen: list[int],
    points: Points,
    values: NDArray[np.float64],
    outcome: NDArray[np.float64],
) -> None:
    """As `_predict_in_place` for few series: their models at every window are put together, for a call an adapter."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    for window, at in enumerate(chosen):
        for i, seat in enumerate(seats):
            if seat and (adapter := seat.adapters[at]):
                found.setdefault(adapter, []).append((window * len(seats) + i, seat.records[at]))
    deep, n = values.shape
    offsets = np.append((np.arange(deep)[:, None] * n + points.offsets[:-1]).ravel(), deep * n)
    whole = Points(np.concatenate([points.timestamps] * deep), values.ravel(), offsets)
    for adapter, several in found.items():
        owners, records = zip(*several, strict=True)
        part, where = _part(whole, np.array(owners, np.int64))
        gathered = adapters.get(adapter).of_records(records)
        _write(gathered.predict(np.arange(len(records)), part), outcome.reshape(len(outcome), -1), where)


def _write(prediction: Prediction, outcome: NDArray[np.float64], at: "NDArray[np.int64] | slice") -> None:
    outcome[0, at], outcome[1, at] = prediction.score, prediction.expected
    if len(outcome) > 2:
        outcome[2, at], outcome[3, at] = prediction.lower, prediction.upper


def _part(points: Points, series: NDArray[np.int64]) -> "tuple[Points, NDArray[np.int64] | slice]":
    """The points of some series, and where they are; `series` is in ascending order."""
    if len(series) == len(points):
        return points, slice(None)
    return points.take(series), points.spans(series)
