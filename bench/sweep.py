"""Sweep: a cache smaller than the fleet under sweeps, Zipf traffic and both, in process; ours beside a plain LRU."""

import contextlib
import random
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from cachetools import LRUCache

from bench.fleet import Fleet, opener
from bench.report import quantiles
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.serving.cache import ShardCache
from myriad.serving.metrics import Metrics
from myriad.serving.resolution import Opened
from myriad.serving.scoring import Query, Scores, scored
from myriad.storage.release import Artifact
from myriad.storage.shard import Shard
from myriad.training.fleets.reference import FITTED_AT

PASSES = 4
EXPONENT = 1.1
"""The popularity of a shard falls with its rank to this power."""
SERIES = 100
"""Scored at each access."""
Get = Callable[[Artifact], Shard]


class Access(NamedTuple):
    """A shard asked for, and which client asks."""

    position: int
    client: str


def figures(fleet: Fleet, share: float, accesses: int) -> dict[str, float]:
    """Hit rates and series a second by traffic and cache.

    Args:
        fleet: in its local directory.
        share: of the fleet that the cache holds.
        accesses: at most, of each traffic.
    """
    queries = [_query(fleet, position) for position in range(len(fleet.artifacts))]
    found: dict[str, float] = {}
    for traffic, sequence in _traffics(len(fleet.artifacts), accesses).items():
        for name, played in _both(fleet, queries, sequence, share).items():
            found |= {f"{traffic}_{name}_{figure}": value for figure, value in played.items()}
    return found


def reopening(fleet: Fleet, samples: int) -> dict[str, float]:
    """The time it takes to open a shard from the local tier, nothing of it used yet."""
    draw, opened = random.Random(9), opener(fleet.store, fleet.directory)
    seconds = []
    for artifact in [fleet.artifacts[0], *draw.choices(fleet.artifacts, k=samples)]:
        begun = time.perf_counter()
        opened(artifact)
        seconds.append(time.perf_counter() - begun)
    return quantiles(seconds[1:], "reopen")


class PlainLRU:
    """What `ShardCache` is compared with."""

    def __init__(self, load: Get, max_bytes: int) -> None:
        self._load, self._open = load, LRUCache[str, Shard](max_bytes, getsizeof=lambda shard: shard.nbytes)
        self.misses = 0

    def get(self, artifact: Artifact) -> Shard:
        """The open shard."""
        shard = self._open.get(artifact.hash)
        if shard is None:
            self.misses += 1
            shard = self._open[artifact.hash] = self._load(artifact)
        return shard


class Ours:
    """`ShardCache`, waiting for what it loads."""

    def __init__(self, load: Get, max_bytes: int) -> None:
        self.cache = ShardCache(load, Metrics(), max_bytes=max_bytes, loads_at_once=1, failure_seconds=1)
        self.misses = 0

    def get(self, artifact: Artifact) -> Shard:
        """The open shard."""
        shard = self.cache.get(artifact)
        if not isinstance(shard, Future):
            return shard
        self.misses += 1
        return shard.result()


def _both(
    fleet: Fleet, queries: Sequence[Query], sequence: Sequence[Access], share: float
) -> dict[str, dict[str, float]]:
    load, max_bytes = opener(fleet.store, fleet.directory), int(share * fleet.raw_bytes)
    ours = Ours(load, max_bytes)
    try:
        played = _played(fleet, queries, sequence, ours)
    finally:
        ours.cache.close()
    return {"ours": played, "lru": _played(fleet, queries, sequence, PlainLRU(load, max_bytes))}


def _played(
    fleet: Fleet, queries: Sequence[Query], sequence: Sequence[Access], cache: PlainLRU | Ours
) -> dict[str, float]:
    """What a cache makes of a sequence; a part of it as long as the fleet has shards is to fill it and not counted."""
    filling, hits, begun = len(fleet.artifacts), dict[str, list[bool]](), 0.0
    for number, access in enumerate(sequence):
        if number == filling:
            begun = time.perf_counter()
        before, artifact = cache.misses, fleet.artifacts[access.position]
        steps = scored(fleet.manifest, queries[access.position])
        next(steps)
        shard = cache.get(artifact)
        _finish(steps, {artifact.hash: shard})
        if number >= filling:
            hits.setdefault(access.client, []).append(cache.misses == before)
    seconds = time.perf_counter() - begun
    series = sum(len(queries[access.position].names) for access in sequence[filling:])
    rates = {f"{client}_hit_rate": sum(found) / len(found) for client, found in hits.items()}
    return {**rates, "series_a_second": series / seconds}


def _finish(steps: Generator[list[Artifact], Opened, Scores], opened: Opened) -> None:
    with contextlib.suppress(StopIteration):
        while True:
            steps.send(opened)


def _traffics(shards: int, accesses: int) -> dict[str, list[Access]]:
    """Sequences of accesses: a fill of as many as there are shards, then what is counted."""
    counted = max(2 * shards, min(PASSES * shards, accesses))
    cyclic = [Access(i % shards, "sweeping") for i in range(shards + counted)]
    draw = random.Random(10)
    popular = draw.sample(range(shards), shards)
    weights = [1 / rank**EXPONENT for rank in range(1, shards + 1)]
    zipf = [Access(i, "steady") for i in draw.choices(popular, weights, k=shards + counted)]
    mixed = [access for pair in zip(cyclic, zipf, strict=True) for access in pair]
    return {"sweep": cyclic, "zipf": zipf, "mixed": mixed}


def _query(fleet: Fleet, position: int) -> Query:
    """A point of each of some of a shard's series at the shortest window."""
    series = fleet.series[position][:SERIES]
    n = len(series)
    points = Points(np.full(n, FITTED_AT), np.full(n, 50.0), np.arange(n + 1))
    return Query(Names.of(series), points, fleet.manifest.parsed_windows[:1])
