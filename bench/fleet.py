"""Fleet: a published release as the bench knows it, and the requests made of its series."""

import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from myriad import adapters
from myriad.models.key import Series
from myriad.serving.predictor import Predictor
from myriad.storage.artifact import compress, pack
from myriad.storage.local import LocalTier
from myriad.storage.release import Artifact, Manifest, Releases
from myriad.storage.shard import Shard
from myriad.storage.url import open_store
from myriad.training.fleets.reference import FITTED_AT

LOCAL_BYTES = 1 << 40
"""Of a local directory: never the limit here."""
POINTS = 60
"""One-minute points of a single-series request: what its longest window needs."""
BULK = 1000
"""Series of a request of a sweep."""


@dataclass(frozen=True)
class Fleet:
    """A release in a store and, whole, in a local directory.

    Attributes:
        store: its URL.
        directory: the local one.
        manifest: the release's.
        artifacts: its artifacts.
        series: the names in each of them, in the order of its index.
    """

    store: str
    directory: Path
    manifest: Manifest
    artifacts: tuple[Artifact, ...]
    series: tuple[tuple[Series, ...], ...]

    @classmethod
    def of(cls, store: str, directory: Path) -> "Fleet":
        """The current release of a store, once it has been warmed into the directory."""
        releases = Releases(open_store(store))
        manifest = releases.manifest(releases.head().release)
        opened = opener(store, directory)
        shards = (opened(artifact) for artifact in manifest.artifacts)
        names = tuple(tuple(shard.name_of(i) for i in range(len(shard))) for shard in shards)
        return cls(store, directory, manifest, manifest.artifacts, names)

    @property
    def releases(self) -> Releases:
        """All that is in its store."""
        return Releases(open_store(self.store))

    @property
    def raw_bytes(self) -> int:
        """Of all shards open."""
        return sum(artifact.raw_bytes for artifact in self.artifacts)

    @property
    def models(self) -> int:
        """How many there are."""
        return sum(artifact.models for artifact in self.artifacts)

    @property
    def by_host(self) -> list[Series]:
        """Every series, a host after the other: as telemetry comes."""
        return sorted(series for shard in self.series for series in shard)

    def drawn(self, count: int, draw: random.Random, among: int | None = None) -> list[Series]:
        """Series drawn with repetition, of all or of the first `among` by shard."""
        sizes = np.cumsum([len(shard) for shard in self.series]).tolist()
        picks = [draw.randrange(min(among or sizes[-1], sizes[-1])) for _ in range(count)]
        shards = np.searchsorted(sizes, picks, side="right").tolist()
        return [self.series[s][pick - (sizes[s - 1] if s else 0)] for s, pick in zip(shards, picks, strict=True)]

    def one_a_shard(self, draw: random.Random) -> list[Series]:
        """A random series of each shard, in the order of the artifacts."""
        return [draw.choice(shard) for shard in self.series]


def opener(store: str, directory: Path) -> Callable[[Artifact], Shard]:
    """What opens shards from a local directory as a server does, from the store where they are not there."""
    releases, tier = Releases(open_store(store)), LocalTier(directory, LOCAL_BYTES)

    def opened(artifact: Artifact) -> Shard:
        raw = tier.open(artifact, lambda: releases.get_artifact(artifact))
        return Shard(artifact.hash, raw, adapters.get)

    return opened


def predictor(fleet: Fleet) -> Predictor:
    """The fleet's release in this process, with room for all of it."""
    tier = LocalTier(fleet.directory, LOCAL_BYTES)
    found = Predictor(open_store(fleet.store), local=tier, cache_bytes=3 * fleet.raw_bytes)
    found.refresh()
    return found


def single(series: Series, points: int = POINTS) -> bytes:
    """A request for one series at all windows."""
    draw = random.Random(series.hash)
    times = range(FITTED_AT, FITTED_AT + 60 * points, 60)
    datapoints = [{"timestamp": t, "value": round(draw.lognormvariate(3, 1), 3)} for t in times]
    return msgspec.json.encode({**series._asdict(), "datapoints": datapoints})


def bulk(series: Iterable[Series]) -> bytes:
    """A request for a point of each of some series at the shortest window."""
    return msgspec.json.encode({"windows": ["1m"], "series": [_with_a_point(one) for one in series]})


def sweep(series: Sequence[Series]) -> list[bytes]:
    """The requests that score every series once."""
    return [bulk(series[start : start + BULK]) for start in range(0, len(series), BULK)]


def elsewhere() -> bytes:
    """A request that is answered without any shard, to have the code warm and nothing else."""
    return single(Series("nowhere", "nobody", "nothing"))


def scratch(parent: Path) -> "tempfile.TemporaryDirectory[str]":
    """A directory that is gone after use."""
    return tempfile.TemporaryDirectory(dir=parent)


def compressed(arrays: dict[str, Any]) -> int:
    """Bytes that arrays take as an artifact does."""
    return len(compress(pack(arrays, {})))


def _with_a_point(series: Series) -> dict[str, Any]:
    return {**series._asdict(), "datapoints": [{"timestamp": FITTED_AT, "value": 50.0}]}
