"""Scoring: from a query to its scores, without input or output.

`scored` is a generator: it yields the artifacts whose shards it needs and is sent them opened, so that the same
steps serve callers that wait for a load and callers that await it.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.ensemble import COMBINES, Combine, combine, subset
from models.errors import InvalidKey
from models.key import Series
from models.points import Points, ranges
from models.windows import Window, aggregate
from serving.cache import LoadFailed
from storage.release import Artifact, Manifest
from storage.shard import NO_MODEL, Shard

LEVELS = 3
"""A series' own models, its region's, everyone's."""

Opened = Mapping[str, Shard | LoadFailed]
"""Shards, or why they could not be opened, by artifact hash."""


class Status(StrEnum):
    """What became of a series."""

    OK = "ok"
    FALLBACK = "fallback"
    NO_MODEL = "no_model"
    INSUFFICIENT_DATA = "insufficient_data"
    LOAD_FAILED = "load_failed"
    BAD_SERIES = "bad_series"


@dataclass(frozen=True, slots=True)
class Query:
    """What to score.

    Attributes:
        series: one a series of the points.
        points: tidied.
        windows: to score at; all of the release's where None.
        combine: how to make one score of them.
    """

    series: Sequence[Series]
    points: Points
    windows: tuple[Window, ...] | None = None
    combine: Combine = "weighted"


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


@dataclass(frozen=True, slots=True)
class Scores:
    """The answer to a query over n points of some series at W windows.

    Attributes:
        manifest: of the release that answered.
        windows: those asked for.
        points: those asked about.
        score: the calibrated combination, float64 (n,); NaN where no window could be scored.
        by_window: each window's own score, float64 (W, n).
        expected: by window, as are `lower` and `upper`, the band outside which a window's score is above 1.
        lower: see expected.
        upper: see expected.
        places: a series; None where it has no models.
        failed: the series whose models could not be loaded.
        scored: how many points of each series have a score at each window, int64 (W, series).
    """

    manifest: Manifest
    windows: tuple[Window, ...]
    points: Points
    score: NDArray[np.float64]
    by_window: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    places: list[Place | None]
    failed: Mapping[int, LoadFailed]
    scored: NDArray[np.int64]

    def status(self, i: int) -> Status:
        """What became of series i."""
        place = self.places[i]
        if place is None:
            return Status.LOAD_FAILED if i in self.failed else Status.NO_MODEL
        if not self.scored[:, i].any():
            return Status.INSUFFICIENT_DATA
        return Status.FALLBACK if place.level else Status.OK

    def missing(self, i: int) -> dict[Window, str]:
        """The windows at which no point of series i has a score, and why."""
        place, reasons = self.places[i], {}
        for at, window in enumerate(self.windows):
            if place is None:
                reasons[window] = str(self.failed[i]) if i in self.failed else "there is no model"
            elif place.adapter(window) is None:
                reasons[window] = "there is no model at this window"
            elif not self.scored[at, i]:
                reasons[window] = f"no point has {self.manifest.coverage:.0%} of the points before it in the window"
        return reasons


def scored(manifest: Manifest, query: Query) -> Generator[list[Artifact], Opened, Scores]:
    """The scores of a query.

    Raises:
        InvalidKey: a window is not one of the release's.
    """
    chosen = _chosen(manifest, query.windows)
    places, failed = yield from placed(manifest, query.series)
    return _scores(manifest, query, chosen, places, failed)


def placed(
    manifest: Manifest, series: Sequence[Series]
) -> Generator[list[Artifact], Opened, tuple[list[Place | None], dict[int, LoadFailed]]]:
    """Where the models for each series are, and why those of some could not be loaded."""
    places: list[Place | None] = [None] * len(series)
    failed: dict[int, LoadFailed] = {}
    names = dict(enumerate(series))
    for level in range(LEVELS):
        names = yield from _placed(manifest, level, names, places, failed)
        names = {i: series[i].fallbacks[level] for i in names if level < len(series[i].fallbacks)}
    return places, failed


def _chosen(manifest: Manifest, windows: tuple[Window, ...] | None) -> list[int]:
    """The positions of the wanted windows among the release's, in its order."""
    there = manifest.parsed_windows
    for window in windows or ():
        if window not in there:
            raise InvalidKey("window", str(window), f"is not one of this release's: {', '.join(manifest.windows)}")
    return [i for i, window in enumerate(there) if windows is None or window in windows]


def _placed(
    manifest: Manifest,
    level: int,
    names: dict[int, Series],
    places: list[Place | None],
    failed: dict[int, LoadFailed],
) -> Generator[list[Artifact], Opened, dict[int, Series]]:
    """Fill in the places of the series of these names; returns those that are nowhere."""
    by_artifact: dict[str, list[int]] = {}
    artifacts: dict[str, Artifact] = {}
    for i, name in names.items():
        artifact = manifest.artifact(name.region, name.host_hash)
        if artifact is not None:
            artifacts[artifact.hash] = artifact
            by_artifact.setdefault(artifact.hash, []).append(i)
    if not artifacts:
        return names
    opened = yield list(artifacts.values())
    nowhere = dict(names)
    for artifact_hash, members in by_artifact.items():
        shard = opened[artifact_hash]
        if isinstance(shard, LoadFailed):
            failed.update(dict.fromkeys(members, shard))
            for i in members:
                del nowhere[i]
            continue
        hashes = np.array([names[i].hash for i in members], np.uint64)
        for i, position in zip(members, shard.find([names[i] for i in members], hashes).tolist(), strict=True):
            if position >= 0:
                places[i] = Place(nowhere.pop(i), level, shard, position)
    return nowhere


def _scores(
    manifest: Manifest, query: Query, chosen: list[int], places: list[Place | None], failed: dict[int, LoadFailed]
) -> Scores:
    points, release_windows = query.points, manifest.parsed_windows
    windows = tuple(release_windows[i] for i in chosen)
    steps = np.array([place.shard.step[place.position] if place else 1 for place in places], np.int64)
    values = aggregate(points, windows, steps, manifest.coverage)
    outcome = np.full((4, *values.shape), np.nan)
    divisor = np.ones(len(points.values))
    mode = COMBINES.index(query.combine)
    for shard, members, positions in _by_shard(places):
        part, at = _part(points, members)
        for window, release_window in enumerate(chosen):
            _predict(shard, release_window, positions, part.with_values(values[window, at]), outcome[:, window], at)
        mask = subset(outcome[0][:, at], chosen)
        divisor[at] = shard.combined[np.repeat(positions, part.lengths), mode, mask]
    by_window, expected, lower, upper = outcome
    joint = combine(by_window, [manifest.weights[i] for i in chosen], query.combine) / divisor
    before = np.zeros((len(chosen), len(points.values) + 1), np.int64)
    np.cumsum(~np.isnan(by_window), axis=1, out=before[:, 1:])
    return Scores(
        manifest=manifest,
        windows=windows,
        points=points,
        score=joint,
        by_window=by_window,
        expected=expected,
        lower=lower,
        upper=upper,
        places=places,
        failed=failed,
        scored=before[:, points.offsets[1:]] - before[:, points.offsets[:-1]],
    )


def _predict(
    shard: Shard,
    window: int,
    positions: NDArray[np.int64],
    points: Points,
    outcome: NDArray[np.float64],
    at: "NDArray[np.int64] | slice",
) -> None:
    """Write what one shard's models at one window say of the points into `outcome[:, at]`, a call an adapter."""
    codes, rows = shard.adapter[positions, window], shard.row[positions, window].astype(np.int64)
    for code in {*codes.tolist()} - {NO_MODEL}:
        mine = np.flatnonzero(codes == code)
        part, inner = _part(points, mine)
        prediction = shard.models[window, code].predict(rows[mine], part)
        where = at if isinstance(inner, slice) else np.arange(outcome.shape[1])[at][inner]
        outcome[0, where], outcome[1, where] = prediction.score, prediction.expected
        outcome[2, where], outcome[3, where] = prediction.lower, prediction.upper


def _by_shard(places: list[Place | None]) -> list[tuple[Shard, NDArray[np.int64], NDArray[np.int64]]]:
    """Of each shard the series in it, in order, and their positions in its index."""
    members: dict[int, list[int]] = {}
    shards: dict[int, Shard] = {}
    for i, place in enumerate(places):
        if place:
            shards[id(place.shard)] = place.shard
            members.setdefault(id(place.shard), []).append(i)
    found = []
    for key, shard in shards.items():
        positions = [place.position for i in members[key] if (place := places[i])]
        found.append((shard, np.array(members[key], np.int64), np.array(positions, np.int64)))
    return found


def _part(points: Points, series: NDArray[np.int64]) -> "tuple[Points, NDArray[np.int64] | slice]":
    """The points of some series, and where they are; `series` is in ascending order."""
    if len(series) == len(points):
        return points, slice(None)
    return points.take(series), ranges(points.offsets[series], points.lengths[series])
