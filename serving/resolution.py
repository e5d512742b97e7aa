"""Resolution: in which shards the models of a query's series are. Does no I/O; `serving.scoring` says how it loads."""

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
"""Fallback levels: 0 is the series' own models, 1 its region's, 2 those of all regions."""

NOT_FOUND = -1
"""In place of a position, as `Shard.find` gives it."""

MAX_CACHED_GROUPING_BYTES = 256 << 20
MAX_CACHED_TABLES = 16
MAX_CACHED_SERIES = 10_000
"""Series whose models are cached, about 3 kB each."""

OpenedShards = Mapping[str, Shard | LoadFailed]
"""By artifact hash the open shard, or why it could not be opened."""


class CachedModels(NamedTuple):
    """The models of one series, copied out of its shard to score small requests with, and where they are.

    Attributes:
        artifact: the artifact that holds them.
        position: of the series in the index of that shard.
        level: 0 for the series' own models, above that for a fallback's.
        step: seconds between the points of its history.
        combined: for each `Combine` the divisors of all subsets of the windows, float16 (2^W), as bytes.
        adapters: the adapter of the model at each of the release's windows, None where there is no model.
        records: the model at each window as `Model.record`, empty where there is none.
    """

    artifact: Artifact
    position: int
    level: int
    step: int
    combined: tuple[bytes, ...]
    adapters: tuple[str | None, ...]
    records: tuple[bytes, ...]

    @classmethod
    def of(cls, artifact: Artifact, shard: Shard, position: int, level: int) -> "CachedModels":
        """The models at a position of a shard."""
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

    @classmethod
    def of(cls, cached: Sequence[CachedModels]) -> "Resolution":
        """The resolution of series whose models are cached."""
        codes: dict[str, int] = {}
        artifact = [codes.setdefault(models.artifact.hash, len(codes)) for models in cached]
        artifacts = {models.artifact.hash: models.artifact for models in cached}
        position, level = [models.position for models in cached], [models.level for models in cached]
        resolution = cls(
            tuple(artifacts.values()),
            np.array(artifact, np.int64),
            np.array(position, np.int64),
            np.array(level, np.uint8),
            {},
        )
        resolution.__dict__["opened"] = range(len(artifacts))
        return resolution

    @cached_property
    def opened(self) -> Iterable[int]:
        """The positions of the artifacts that could be opened and hold some of the series."""
        return self.members.keys()

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


def resolve(
    manifest: Manifest, names: Names
) -> Generator[list[Artifact], OpenedShards, tuple[Resolution, OpenedShards]]:
    """Where the models of each series are, and the shards that were opened to find out.

    Yields the artifacts that it has to look into and is sent their shards. A series that is not found is looked for at
    the next fallback level; one whose shard could not be opened is not, as its own models may be there.
    """
    n = len(names)
    artifacts, at_of_hash = list[Artifact](), dict[str, int]()
    artifact, position = np.full(n, NOT_FOUND), np.full(n, NOT_FOUND)
    level_found, failed = np.zeros(n, np.uint8), dict[int, LoadFailed]()
    pending, all_opened = np.arange(n), dict[str, Shard | LoadFailed]()
    for level in range(LEVELS):
        candidates = names.take(pending).fallback(level)
        by_artifact = _by_artifact(manifest, candidates)
        if not by_artifact:
            continue
        opened = yield [candidate_artifact for candidate_artifact, _ in by_artifact]
        all_opened |= opened
        unresolved = np.ones(len(pending), bool)
        for candidate_artifact, members in by_artifact:
            shard, at = opened[candidate_artifact.hash], at_of_hash.setdefault(candidate_artifact.hash, len(artifacts))
            if at == len(artifacts):
                artifacts.append(candidate_artifact)
            if isinstance(shard, LoadFailed):
                failed[at] = shard
                resolved, positions = members, np.full(len(members), NOT_FOUND)
            else:
                positions = shard.find(candidates.take(members))
                resolved, positions = members[positions != NOT_FOUND], positions[positions != NOT_FOUND]
            series = pending[resolved]
            artifact[series], position[series], level_found[series] = at, positions, level
            unresolved[resolved] = False
        pending = pending[unresolved]
        if not len(pending):
            break
    return Resolution(tuple(artifacts), artifact, position, level_found, failed), all_opened


def _by_artifact(manifest: Manifest, names: Names) -> list[tuple[Artifact, NDArray[np.int64]]]:
    """The artifacts that would hold models of these series, each with the positions of its series."""
    by_artifact = []
    _ = names.hashes, names.quoted  # computed once for all names; the subsets below take them over
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
    """The positions of each distinct key, in ascending order."""
    if len(keys) < 2:
        return {key: np.zeros(1, np.int64) for key in keys.tolist()}
    order = np.argsort(keys, kind="stable")
    distinct, starts = np.unique(keys[order], return_index=True)
    return dict(zip(distinct.tolist(), np.split(order, starts[1:]), strict=True))


class ResolutionCache:
    """Caches what a query would resolve anew, as a fleet posts the same series every minute; safe to use from threads.

    It holds how the rows of recent tables fall into series, where the series of recent tables are, and the models of
    recent series of small requests. What belongs to a release is looked up by the release, so that a new one misses.
    """

    def __init__(self) -> None:
        self._groupings: LRUCache[bytes, Grouping] = LRUCache(MAX_CACHED_GROUPING_BYTES, getsizeof=_size)
        self._tables: LRUCache[tuple[str, bytes], Resolution] = LRUCache(MAX_CACHED_TABLES)
        self._models: LRUCache[tuple[str, Series], CachedModels] = LRUCache(MAX_CACHED_SERIES)
        self._lock = threading.Lock()

    def grouping(self, labels: Names) -> tuple[bytes, Grouping]:
        """How rows with these labels fall into series, and the key of the table in `get_table` and `put_table`."""
        key = labels.digest()
        with self._lock:
            grouping = self._groupings.get(key)
        if grouping is None:
            grouping = grouping_of(labels)
            if grouping.bad:
                return key, grouping
            with self._lock, contextlib.suppress(ValueError):  # raised for one larger than the whole cache
                self._groupings[key] = grouping
        return key, grouping

    def get_table(self, release: str, key: bytes) -> Resolution | None:
        """Where the series of a table are in a release; None where that is not cached."""
        with self._lock:
            return self._tables.get((release, key))

    def put_table(self, release: str, key: bytes, resolution: Resolution) -> None:
        """Cache where the series of a table are, unless a shard could not be opened."""
        if not resolution.failed:
            with self._lock:
                self._tables[release, key] = resolution

    def get_models(self, release: str, series: Iterable[Series]) -> list[CachedModels] | None:
        """The models of each series in a release; None unless those of all of them are cached."""
        cached = []
        with self._lock:
            for one in series:
                if (models := self._models.get((release, one))) is None:
                    return None
                cached.append(models)
        return cached

    def put_models(self, release: str, models: Mapping[Series, CachedModels]) -> None:
        """Cache the models of some series in a release."""
        with self._lock:
            for series, of_series in models.items():
                self._models[release, series] = of_series


def _size(grouping: Grouping) -> int:
    """The approximate bytes of a grouping: its arrays, and at most so much for the text of its names."""
    texts = sum(len(part) + 64 for parts in grouping.names.parts for part in parts)
    return grouping.order.nbytes + grouping.offsets.nbytes + grouping.names.codes.nbytes + texts
