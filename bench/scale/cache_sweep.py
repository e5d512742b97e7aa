"""Cache: a cache smaller than the fleet under sweeps, Zipf traffic and a mix of both.

It runs in this process and compares `ShardCache` with a plain LRU cache.
"""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from cachetools import LRUCache

from bench.shared.fleet import Fleet, shard_opener
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.serving.cache import ShardCache
from myriad.serving.metrics import Metrics
from myriad.serving.scoring import score
from myriad.storage.release import Artifact
from myriad.storage.shard import Shard
from myriad.training.fleets.reference import FITTED_AT

PASSES = 4
ZIPF_EXPONENT = 1.1
"""The popularity of a shard is its rank to the power of minus this."""
SERIES_PER_ACCESS = 100
"""Series scored at each access."""
LoadShard = Callable[[Artifact], Shard]


class Access(NamedTuple):
    """An access to a shard by a kind of client, `sweeping` or `steady`."""

    shard: int
    client: str


def measure(fleet: Fleet, share: float, accesses: int) -> dict[str, float]:
    """Hit rates and series a second, by kind of traffic and cache.

    Args:
        fleet: in its local directory.
        share: of the fleet that the cache can hold.
        accesses: at most, of each kind of traffic.
    """
    queries = [_query(fleet, shard) for shard in range(len(fleet.artifacts))]
    figures: dict[str, float] = {}
    for traffic, sequence in _traffic_kinds(len(fleet.artifacts), accesses).items():
        for cache, rates in _compare(fleet, queries, sequence, share).items():
            figures |= {f"{traffic}_{cache}_{name}": value for name, value in rates.items()}
    return figures


class PlainLRU:
    """The cache that `ShardCache` is compared with."""

    def __init__(self, load: LoadShard, max_bytes: int) -> None:
        self._load, self._open = load, LRUCache[str, Shard](max_bytes, getsizeof=lambda shard: shard.nbytes)
        self.misses = 0

    def get(self, artifact: Artifact) -> Shard:
        """The open shard."""
        shard = self._open.get(artifact.hash)
        if shard is None:
            self.misses += 1
            shard = self._open[artifact.hash] = self._load(artifact)
        return shard


class BlockingShardCache:
    """`ShardCache` that waits for a shard it loads."""

    def __init__(self, load: LoadShard, max_bytes: int) -> None:
        self.cache = ShardCache(load, Metrics(), max_bytes=max_bytes, loads_at_once=1, failure_seconds=1)
        self.misses = 0

    def get(self, artifact: Artifact) -> Shard:
        """The open shard."""
        shard = self.cache.get(artifact)
        if not isinstance(shard, Future):
            return shard
        self.misses += 1
        return shard.result()


def _compare(
    fleet: Fleet, queries: Sequence[Query], sequence: Sequence[Access], share: float
) -> dict[str, dict[str, float]]:
    """The rates of both caches, by name."""
    load, max_bytes = shard_opener(fleet.store, fleet.directory), int(share * fleet.raw_bytes)
    ours = BlockingShardCache(load, max_bytes)
    try:
        rates = _replay(fleet, queries, sequence, ours)
    finally:
        ours.cache.close()
    return {"ours": rates, "lru": _replay(fleet, queries, sequence, PlainLRU(load, max_bytes))}


def _replay(
    fleet: Fleet, queries: Sequence[Query], sequence: Sequence[Access], cache: PlainLRU | BlockingShardCache
) -> dict[str, float]:
    """Hit rates and series a second of a cache; the first accesses, one a shard, fill it and do not count."""
    warm_up, hits, started = len(fleet.artifacts), dict[str, list[bool]](), 0.0
    for number, access in enumerate(sequence):
        if number == warm_up:
            started = time.perf_counter()
        misses_before = cache.misses
        score(fleet.manifest, queries[access.shard], cache.get)
        if number >= warm_up:
            hits.setdefault(access.client, []).append(cache.misses == misses_before)
    seconds = time.perf_counter() - started
    series = sum(len(queries[access.shard].names) for access in sequence[warm_up:])
    rates = {f"{client}_hit_rate": sum(flags) / len(flags) for client, flags in hits.items()}
    return {**rates, "series_a_second": series / seconds}


def _traffic_kinds(shards: int, accesses: int) -> dict[str, list[Access]]:
    """Sequences of accesses by kind of traffic: one a shard to fill the cache, then those that count."""
    counted = max(2 * shards, min(PASSES * shards, accesses))
    cyclic = [Access(i % shards, "sweeping") for i in range(shards + counted)]
    rng = random.Random(10)
    by_popularity = rng.sample(range(shards), shards)
    weights = [1 / rank**ZIPF_EXPONENT for rank in range(1, shards + 1)]
    zipf = [Access(shard, "steady") for shard in rng.choices(by_popularity, weights, k=shards + counted)]
    mixed = [access for pair in zip(cyclic, zipf, strict=True) for access in pair]
    return {"sweep": cyclic, "zipf": zipf, "mixed": mixed}


def _query(fleet: Fleet, shard: int) -> Query:
    """A query for the first series of a shard at the shortest window, with one point each."""
    series = fleet.series[shard][:SERIES_PER_ACCESS]
    n = len(series)
    points = Points(np.full(n, FITTED_AT), np.full(n, 50.0), np.arange(n + 1))
    return Query(Names.of(series), points, fleet.manifest.parsed_windows[:1])
