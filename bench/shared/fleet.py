"""A published release as the benchmarks see it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myriad import adapters
from myriad.models.key import Series
from myriad.serving.predictor import Predictor
from myriad.storage.local import LocalTier
from myriad.storage.release import Artifact, Manifest, Releases
from myriad.storage.shard import Shard
from myriad.storage.url import open_store

LOCAL_BYTES = 1 << 40
"""Size limit of a local directory: never reached here."""


@dataclass(frozen=True)
class Fleet:
    """A release that is in a store and, completely, in a local directory.

    Attributes:
        store: URL of the store.
        directory: the local directory.
        manifest: of the release.
        artifacts: of the release, one a shard.
        series: names of the series in each artifact, in the order of its index.
    """

    store: str
    directory: Path
    manifest: Manifest
    artifacts: tuple[Artifact, ...]
    series: tuple[tuple[Series, ...], ...]

    @classmethod
    def current(cls, store: str, directory: Path) -> "Fleet":
        """The current release of a store, which has been downloaded into the directory."""
        releases = Releases(open_store(store))
        manifest = releases.manifest(releases.head().release)
        open_shard = shard_opener(store, directory)
        shards = (open_shard(artifact) for artifact in manifest.artifacts)
        names = tuple(tuple(shard.name_of(i) for i in range(len(shard))) for shard in shards)
        return cls(store, directory, manifest, manifest.artifacts, names)

    @property
    def releases(self) -> Releases:
        """All releases in its store."""
        return Releases(open_store(self.store))

    @property
    def raw_bytes(self) -> int:
        """Uncompressed bytes of all shards."""
        return sum(artifact.raw_bytes for artifact in self.artifacts)

    @property
    def models(self) -> int:
        """Number of models."""
        return sum(artifact.models for artifact in self.artifacts)

    @property
    def series_count(self) -> int:
        """Number of series."""
        return sum(map(len, self.series))

    @property
    def by_host(self) -> list[Series]:
        """Every series, sorted by host, which is the order in which telemetry arrives."""
        return sorted(series for shard in self.series for series in shard)

    def sample(self, count: int, rng: random.Random, among: int | None = None) -> list[Series]:
        """Series drawn with replacement, from all or from the first `among` in shard order."""
        ends = np.cumsum([len(shard) for shard in self.series]).tolist()
        picks = [rng.randrange(min(among or ends[-1], ends[-1])) for _ in range(count)]
        shards = np.searchsorted(ends, picks, side="right").tolist()
        return [self.series[s][pick - (ends[s - 1] if s else 0)] for s, pick in zip(shards, picks, strict=True)]

    def one_per_shard(self, rng: random.Random) -> list[Series]:
        """A random series of each shard, in the order of the artifacts."""
        return [rng.choice(shard) for shard in self.series]


def shard_opener(store: str, directory: Path) -> Callable[[Artifact], Shard]:
    """A function that opens shards as a server does: from a local directory, else from the store."""
    releases, tier = Releases(open_store(store)), LocalTier(directory, LOCAL_BYTES)

    def open_shard(artifact: Artifact) -> Shard:
        raw = tier.open(artifact, lambda: releases.get_artifact(artifact))
        return Shard(artifact.hash, raw, adapters.get)

    return open_shard


def open_predictor(fleet: Fleet) -> Predictor:
    """A predictor in this process that serves the fleet's release, with a cache larger than all of it."""
    tier = LocalTier(fleet.directory, LOCAL_BYTES)
    predictor = Predictor(open_store(fleet.store), local=tier, cache_bytes=3 * fleet.raw_bytes)
    predictor.refresh()
    return predictor
