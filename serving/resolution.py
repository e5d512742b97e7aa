"""Resolution: where the models of a query's series are; without input or output, as in `serving.scoring`."""

import contextlib
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from myriad.formats.columns.table import Grouping, grouping_of
from myriad.models.errors import LoadFailed
from myriad.models.key import Series, shard_of
from myriad.models.names import Names
from myriad.storage.release import Artifact, Manifest
from myriad.storage.shard import NO_MODEL, Shard

LEVELS = 3
"""A series' own models, its region's, everyone's."""

NOWHERE = -1

REMEMBERED_BYTES = 256 << 20
REMEMBERED_TABLES = 16
REMEMBERED_SEATS = 10_000
"""Series remembered one by one, about 3 kB each."""

Opened = Mapping[str, Shard | LoadFailed]
"""Shards, or why they could not be opened, by artifact hash."""


class Seat(NamedTuple):
    """Where the models of one series are, and a copy of them, which a request for it alone is scored with.

    Attributes:
        artifact: that has them.
        position: in the index of its shard.
        level: 0 for its own, above that for a fallback's.
        step: seconds between the points of its history.
        combined: what a combination is divided by, for each way to combine a row of float16 (2^W), as bytes.
        adapters: of the models at each of the release's windows, None where there is none.
        records: their rows, as `Model.record`; empty where there is none.
    """

    artifact: Artifact
    position: int
    level: int
    step: int
    combined: tuple[bytes, ...]
    adapters: tuple[str | None, ...]
    records: tuple[bytes, ...]

    @classmethod
    def of(cls, artifact: Artifact, shard: Shard, position: int, level: int) -> "Seat":
        """The seat at a position of a shard."""
        codes, rows = shard.adapter[position].tolist(), shard.row[position].tolist()
        adapters = tuple(None if code == NO_MODEL else shard.adapters[code] for code in codes)
        records = tuple(
            b"" if code == NO_MODEL else shard.models[window, code].record(row)
            for window, (code, row) in enumerate(zip(codes, rows, strict=True))
        )
        combined = tuple(row.tobytes() for row in shard.combined[position])
        return cls(artifact, position, level, int(shard.step[position]), combined, adapters, records)


@dataclass(frozen=True)
class Resolution:
    """Where the models of n series are.

    Attributes:
        artifacts: those that hold some.
        artifact: of each series the position among those, or `NOWHERE`, int64 (n,).
        position: of each series in the index of that shard, int64 (n,); `NOWHERE` where the shard could not be opened.
        level: 0 for a series' own models, above that for a fallback's, u1 (n,).
        failed: why some artifacts could not be opened, by position.
    """

    artifacts: tuple[Artifact, ...]
    artifact: NDArray[np.int64]
    position: NDArray[np.int64]
    level: NDArray[np.uint8]
    failed: Mapping[int, LoadFailed]

    @classmethod
    def of(cls, seats: Sequence[Seat]) -> "Resolution":
        """Where series are whose seats are known, one by one."""
        codes: dict[str, int] = {}
        artifact = [codes.setdefault(seat.artifact.hash, len(codes)) for seat in seats]
        artifacts = {seat.artifact.hash: seat.artifact for seat in seats}
        position, level = [seat.position for seat in seats], [seat.level for seat in seats]
        resolution = cls(
            tuple(artifacts.values()),
            np.array(artifact, np.int64),
            np.array(position, np.int64),
            np.array(level, np.uint8),
            {},
        )
        resolution.__dict__["occupied"] = range(len(artifacts))
        return resolution

    @cached_property
    def occupied(self) -> Iterable[int]:
        """The artifacts that series were found in and that could be opened."""
        return self.members.keys()

    @cached_property
    def members(self) -> dict[int, NDArray[np.int64]]:
        """The series found in each artifact that could be opened, in ascending order."""
        found = np.flatnonzero(self.position != NOWHERE)
        return {at: found[some] for at, some in _grouped(self.artifact[found]).items()}

    def without(self, failed: Mapping[int, LoadFailed]) -> "Resolution":
        """The same where some more artifacts could not be opened."""
        position = self.position.copy()
        for at in failed:
            position[self.members[at]] = NOWHERE
        return replace(self, position=position, failed={**self.failed, **failed})


def resolve(manifest: Manifest, names: Names) -> Generator[list[Artifact], Opened, tuple[Resolution, Opened]]:
    """Where the models for each series are, and what was opened to see that.

    Yields the artifacts it has to look into and is sent them opened.
    """
    n = len(names)
    artifacts, place = list[Artifact](), dict[str, int]()
    artifact, position = np.full(n, NOWHERE), np.full(n, NOWHERE)
    level_found, failed = np.zeros(n, np.uint8), dict[int, LoadFailed]()
    pending, seen = np.arange(n), dict[str, Shard | LoadFailed]()
    for level in range(LEVELS):
        sought = names.take(pending).fallback(level)
        by_artifact = _by_artifact(manifest, sought)
        if not by_artifact:
            continue
        opened = yield [one for one, _ in by_artifact]
        seen |= opened
        left = np.ones(len(pending), bool)
        for one, some in by_artifact:
            shard, at = opened[one.hash], place.setdefault(one.hash, len(artifacts))
            if at == len(artifacts):
                artifacts.append(one)
            if isinstance(shard, LoadFailed):
                failed[at] = shard
                found, positions = some, np.full(len(some), NOWHERE)
            else:
                positions = shard.find(sought.take(some))
                found, positions = some[positions != NOWHERE], positions[positions != NOWHERE]
            series = pending[found]
            artifact[series], position[series], level_found[series] = at, positions, level
            left[found] = False
        pending = pending[left]
        if not len(pending):
            break
    return Resolution(tuple(artifacts), artifact, position, level_found, failed), seen


def _by_artifact(manifest: Manifest, names: Names) -> list[tuple[Artifact, NDArray[np.int64]]]:
    """The artifacts that would hold models of these series, each with the positions of its series."""
    found = []
    _ = names.hashes, names.quoted  # of all at once, before they are taken apart
    for region, members in _grouped(names.codes[0]).items():
        shards = manifest.regions.get(names.parts[0][region])
        if not shards:
            continue
        host_hashes = names.host_hashes[members]
        for shard, some in _grouped(shard_of(host_hashes, len(shards)).astype(np.int64)).items():
            if (artifact := shards[shard]) is not None:
                found.append((artifact, members[some]))
    return found


def _grouped(keys: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """The positions at which each key stands, in ascending order."""
    if len(keys) < 2:
        return {key: np.zeros(1, np.int64) for key in keys.tolist()}
    order = np.argsort(keys, kind="stable")
    distinct, starts = np.unique(keys[order], return_index=True)
    return dict(zip(distinct.tolist(), np.split(order, starts[1:]), strict=True))


class Remembered:
    """What was found of the tables and single series scored last: a fleet posts the same ones every minute."""

    def __init__(self) -> None:
        self._groupings: LRUCache[bytes, Grouping] = LRUCache(REMEMBERED_BYTES, getsizeof=_size)
        self._tables: LRUCache[tuple[str, bytes], Resolution] = LRUCache(REMEMBERED_TABLES)
        self._seats: LRUCache[tuple[str, Series], Seat] = LRUCache(REMEMBERED_SEATS)
        self._lock = threading.Lock()

    def grouping(self, labels: Names) -> tuple[bytes, Grouping]:
        """The rows of these series by series, and a key for their resolution."""
        key = labels.digest()
        with self._lock:
            known = self._groupings.get(key)
        if known is None:
            known = grouping_of(labels)
            if known.bad:
                return key, known
            with self._lock, contextlib.suppress(ValueError):  # one too large to keep
                self._groupings[key] = known
        return key, known

    def table(self, release: str, key: bytes) -> Resolution | None:
        """Where the series of a table were found in a release."""
        with self._lock:
            return self._tables.get((release, key))

    def keep_table(self, release: str, key: bytes, resolution: Resolution) -> None:
        """Remember where they were found, if all that was to be opened could be."""
        if not resolution.failed:
            with self._lock:
                self._tables[release, key] = resolution

    def seats(self, release: str, series: Iterable[Series]) -> list[Seat] | None:
        """Where each of some series was found in a release; None where that is not known of all of them."""
        found = []
        with self._lock:
            for one in series:
                if (seat := self._seats.get((release, one))) is None:
                    return None
                found.append(seat)
        return found

    def keep_seats(self, release: str, seats: Mapping[Series, Seat]) -> None:
        """Remember where each of them was found."""
        with self._lock:
            for series, seat in seats.items():
                self._seats[release, series] = seat


def _size(grouping: Grouping) -> int:
    """Bytes a grouping takes, about: its arrays and, at most, the text of its names."""
    texts = sum(len(part) + 64 for parts in grouping.names.parts for part in parts)
    return grouping.order.nbytes + grouping.offsets.nbytes + grouping.names.codes.nbytes + texts
