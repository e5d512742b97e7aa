"""Resolution: in which shards the models of a query's series are. Does no I/O; `serving.scoring` says how it loads."""

import itertools
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.formats.columns.table import grouping_of
from myriad.kernels.groups import by_number
from myriad.models.errors import LoadFailed
from myriad.models.key import shard_of
from myriad.models.names import Names
from myriad.storage.release import Artifact, Manifest
from myriad.storage.shard import Shard

LEVELS = 3
"""Fallback levels: 0 is the series' own models, 1 its region's, 2 those of all regions."""

NOT_FOUND = -1
"""In place of a position, as `Shard.find` gives it."""

MAX_KNOWN_BYTES = 320 << 20
MAX_KNOWN_TABLES = 16

Get = Callable[[Artifact], Shard | LoadFailed | None]
"""Gives the open shard of an artifact, why it could not be opened, or None while it is being loaded."""


@dataclass(frozen=True)
class Resolution:
    """Where the models of n series are.

    Attributes:
        artifacts: the artifacts that hold models of any of the series.
        artifact: of each series the position of its artifact among those, or `NOT_FOUND`, int64 (n,).
        position: of each series in the index of that shard, int64 (n,); `NOT_FOUND` also if it failed to open.
        level: 0 for a series' own models, above that for a fallback's, u1 (n,).
        failed: why some of the artifacts could not be opened, by position among them.
    """

    artifacts: tuple[Artifact, ...]
    artifact: NDArray[np.int64]
    position: NDArray[np.int64]
    level: NDArray[np.uint8]
    failed: Mapping[int, LoadFailed]

    @cached_property
    def opened(self) -> list[int]:
        """The positions of the artifacts that could be opened and hold some of the series."""
        return np.flatnonzero(np.bincount(self.artifact[self.position != NOT_FOUND])).tolist()

    @cached_property
    def members(self) -> dict[int, NDArray[np.int64]]:
        """The positions of the series found in each artifact that could be opened, in ascending order."""
        found = np.flatnonzero(self.position != NOT_FOUND)
        return {at: found[group] for at, group in _positions_by_key(self.artifact[found]).items()}

    def with_failures(self, failed: Mapping[int, LoadFailed]) -> "Resolution":
        """The same, but with some more artifacts that could not be opened."""
        position = self.position.copy()
        for at in failed:
            position[self.members[at]] = NOT_FOUND
        return replace(self, position=position, failed={**self.failed, **failed})


def other_windows(manifest: Manifest, shard: Shard) -> LoadFailed | None:
    """Why a shard cannot be of a release, where it has other windows."""
    if shard.windows == manifest.parsed_windows:
        return None
    return LoadFailed(shard.name, f"it has the windows {shard.windows}, its release {manifest.windows}")


def resolve(manifest: Manifest, names: Names, get: Get) -> Resolution | None:
    """Where the models of many series are; None while shards that may hold some are being loaded.

    A series that is not found is looked for at the next fallback level; one whose shard could not be opened is not, as
    its own models may be there.
    """
    n = len(names)
    artifacts, at_of_hash = list[Artifact](), dict[str, int]()
    artifact, position = np.full(n, NOT_FOUND), np.full(n, NOT_FOUND)
    level_found, failed = np.zeros(n, np.uint8), dict[int, LoadFailed]()
    pending = np.arange(n)
    for level in range(LEVELS):
        candidates = names.take(pending).fallback(level)
        shards = [(one, get(one), members) for one, members in _by_artifact(manifest, candidates)]
        if any(shard is None for _, shard, _ in shards):
            return None
        unresolved = np.ones(len(pending), bool)
        for one, shard, members in shards:
            at = at_of_hash.setdefault(one.hash, len(artifacts))
            if at == len(artifacts):
                artifacts.append(one)
            if isinstance(shard, Shard):
                positions = shard.find(candidates.take(members))
                resolved, positions = members[positions != NOT_FOUND], positions[positions != NOT_FOUND]
            elif shard is not None:
                failed[at] = shard
                resolved, positions = members, np.full(len(members), NOT_FOUND)
            series = pending[resolved]
            artifact[series], position[series], level_found[series] = at, positions, level
            unresolved[resolved] = False
        pending = pending[unresolved]
        if not len(pending):
            break
    return Resolution(tuple(artifacts), artifact, position, level_found, failed)


def _by_artifact(manifest: Manifest, names: Names) -> list[tuple[Artifact, NDArray[np.int64]]]:
    """The artifacts that would hold models of these series, each with the positions of its series."""
    by_artifact = []
    _ = names.hashes, names.packed  # computed once for all names; the subsets below take them over
    for region, members in _positions_by_key(names.codes[0]).items():
        shards = manifest.regions.get(names.parts[0][region])
        if not shards:
            continue
        host_hashes = names.host_hashes[members]
        for shard, group in _positions_by_key(shard_of(host_hashes, len(shards)).astype(np.int64)).items():
            if (artifact := shards[shard]) is not None:
                by_artifact.append((artifact, members[group]))
    return by_artifact


def _positions_by_key(keys: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """The positions of each distinct key, of which there are not many times more than positions, in ascending order."""
    if len(keys) < 2:
        return {key: np.zeros(1, np.int64) for key in keys.tolist()}
    order, offsets = by_number(np.ascontiguousarray(keys), int(keys.max()) + 1)
    return {key: order[offsets[key] : offsets[key + 1]] for key in np.flatnonzero(np.diff(offsets)).tolist()}


class Lines(NamedTuple):
    """What is expected of one new point of each series of a table, within a quarter of an hour.

    Attributes:
        start: of the quarter, epoch seconds.
        lines: see `kernels.scoring.lines`, as for the divisors.
        divisors: see there.
        alone: whether one point is enough for a window to have a value, bool (windows, series).
    """

    start: int
    lines: NDArray[np.float64]
    divisors: NDArray[np.float16]
    alone: NDArray[np.bool_]


class KnownTable:
    """A table as it is posted every minute: how its rows fall into series, and what is known of these in a release."""

    def __init__(self, labels: Names) -> None:
        self.labels, self.grouping = labels, grouping_of(labels)
        self._found: tuple[str, Resolution] | None = None
        self._lines: dict[Hashable, Lines | None] = {}

    @property
    def nbytes(self) -> int:
        """The approximate bytes it takes: its arrays, and at most so much for the text of its names."""
        names = self.grouping.names
        texts = sum(len(part) + 64 for parts in names.parts for part in parts if part)
        arrays = [self.labels.codes, names.codes, self.grouping.order, self.grouping.offsets]
        for lines in self._lines.values():
            texts += lines.lines.nbytes + lines.divisors.nbytes + lines.alone.nbytes if lines else 0
        return sum(array.nbytes for array in arrays) + texts + 17 * len(names)  # the resolution

    def is_of(self, labels: Names) -> bool:
        """Whether another table has the same labels in the same order."""
        mine = self.labels
        return (
            len(mine) == len(labels)
            and all(one == other for one, other in zip(mine.parts, labels.parts, strict=True))
            and np.array_equal(mine.codes, labels.codes)
        )

    def resolution(self, release: str) -> Resolution | None:
        """Where the series are in a release, where that is known."""
        found = self._found  # which another thread may replace
        return found[1] if found and found[0] == release else None

    def remember(self, release: str, resolution: Resolution) -> None:
        """Keep where the series are, unless a shard could not be opened."""
        if not resolution.failed:
            self._found, self._lines = (release, resolution), {}

    def lines(self, release: str, asked: Hashable, draw: Callable[[], Lines | None]) -> Lines | None:
        """The lines for what is asked, drawn once; only the latest are kept."""
        key = (release, asked)
        if key not in self._lines:
            self._lines = {key: draw()}
        return self._lines.get(key)


class KnownTables:
    """The latest tables, as a fleet posts the same series every minute; safe to use from threads."""

    def __init__(self) -> None:
        self._tables: list[KnownTable] = []
        self._lock = threading.Lock()

    def of(self, labels: Names) -> KnownTable:
        """The table with these labels in this order; one with bad names is not kept."""
        with self._lock:
            tables = list(self._tables)
        table = next((known for known in tables if known.is_of(labels)), None) or KnownTable(labels)
        if not table.grouping.bad:
            with self._lock:
                latest = [table, *(known for known in self._tables if known is not table)]
                sizes = itertools.accumulate(known.nbytes for known in latest)
                kept = [known for known, size in zip(latest, sizes, strict=True) if size <= MAX_KNOWN_BYTES]
                self._tables = kept[:MAX_KNOWN_TABLES]
        return table
