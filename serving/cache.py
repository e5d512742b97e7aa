"""Cache: the open shards, bounded in bytes, each loaded once however many requests wait for it.

Eviction is 2Q (Johnson and Shasha, "2Q: A low overhead high performance buffer management replacement algorithm",
1994), with three queues:

- FIFO: shards that were loaded lately, at most `FIFO_SHARE` of the bytes once the LRU is full.
- LRU: shards that came out of the FIFO while the LRU had room, or that were loaded again while they were ghosts.
- ghosts: names of the shards last evicted from the FIFO, as many as would take `GHOST_SHARE` of the bytes.

The reason is that a fleet is scored in sweeps. In a plain LRU smaller than the sweep, a shard is evicted before it is
used again. In 2Q a sweep passes through the FIFO and leaves the LRU alone.
"""

import random
import threading
import time
from collections.abc import Callable, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from cachetools import FIFOCache, LRUCache

from myriad.models.errors import LoadFailed
from myriad.serving.metrics import Metrics
from myriad.storage.release import Artifact
from myriad.storage.shard import Shard

FIFO_SHARE = 0.2
"""Share of the bytes for shards loaded once."""
GHOST_SHARE = 0.5
"""Shards evicted from the FIFO stay ghosts until those evicted later had more than this share of the bytes.

It has to be less than a sweep: otherwise the next sweep would find its shards among the ghosts and fill the LRU.
"""
CLOSE_PAUSE_SECONDS = 0.001
MAX_CACHED_FAILURES = 10_000
MAX_FAILURE_SECONDS = 60.0
"""The longest that a failed load is not retried, however often it fails."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed load: its error, how often it was retried since, and when (monotonic seconds) it may be again."""

    error: LoadFailed
    retries: int
    retry_at: float


class ShardCache:
    """Open shards by artifact, bounded in bytes; safe to use from many threads."""

    def __init__(
        self,
        load: Callable[[Artifact], Shard],
        metrics: Metrics,
        *,
        max_bytes: int,
        loads_at_once: int,
        failure_seconds: float,
    ) -> None:
        """An empty cache.

        Args:
            load: gets and opens a shard; called in a thread.
            metrics: what the cache counts in.
            max_bytes: of all open shards together; a shard that is larger by itself is used but not cached.
            loads_at_once: how many loads run at the same time; others are queued.
            failure_seconds: how long after a failure a load is not retried. It doubles with each further failure up to
                `MAX_FAILURE_SECONDS`, with jitter.
        """
        self._load, self._metrics, self._failure_seconds = load, metrics, failure_seconds
        self._open = _TwoQueues(max_bytes, metrics)
        self._failed: LRUCache[str, _Failure] = LRUCache(MAX_CACHED_FAILURES)
        self._loading: dict[str, Future[Shard]] = {}
        self.lately: dict[str, Shard] = {}
        """Open shards whose use has been noted a moment ago: noting it each time takes longer than finding them."""
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(loads_at_once, thread_name_prefix="load")

    def get(self, artifact: Artifact) -> "Shard | Future[Shard]":
        """The open shard, or the future of the one load of it under way; the only exception of that is `LoadFailed`."""
        with self._lock:
            if (shard := self._open.get(artifact.hash)) is not None:
                self._metrics.count_hit()
                return shard
            self._metrics.misses.inc()
            if (loading := self._loading.get(artifact.hash)) is not None:
                return loading
            future: Future[Shard] = Future()
            future.set_running_or_notify_cancel()  # so that a waiter that is cancelled cannot cancel it for the others
            failure = self._failed.get(artifact.hash)
            if failure is not None and failure.retry_at > time.monotonic():
                future.set_exception(failure.error)
                return future
            self._loading[artifact.hash] = future
        try:
            self._threads.submit(self._run_load, artifact, future).add_done_callback(
                lambda run: self._fail_closed(artifact, future) if run.cancelled() else None
            )
        except RuntimeError:
            self._fail_closed(artifact, future)
        return future

    def get_open(self, artifact: Artifact) -> Shard | None:
        """The open shard, from now on among those used lately, or None: no miss yet, as who needs it will `get` it."""
        with self._lock:
            if (shard := self._open.get(artifact.hash)) is not None:
                self.lately[artifact.hash] = shard
        return shard

    def look_again(self) -> None:
        """Have the next use of each shard count for eviction anew; to be called now and then."""
        self.lately.clear()

    def opened(self) -> frozenset[str]:
        """The hashes of the artifacts whose shards are open."""
        with self._lock:
            return self._open.hashes()

    def retain(self, hashes: frozenset[str]) -> None:
        """Close all other shards."""
        self.drop(self.opened() - hashes)

    def drop(self, hashes: Set[str]) -> None:
        """Close those of these shards that are open, with a pause after each: many unmapped at once delay requests."""
        with self._lock:
            closing = self._open.remove(hashes)
            self.lately.clear()
            self._metrics.cache_bytes.set(self._open.bytes)
        while closing:
            closing.pop()
            time.sleep(CLOSE_PAUSE_SECONDS)

    def close(self) -> None:
        """Start no more loads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _fail_closed(self, artifact: Artifact, future: "Future[Shard]") -> None:
        with self._lock:
            del self._loading[artifact.hash]
        future.set_exception(LoadFailed(artifact.hash, "the cache is closed"))

    def _run_load(self, artifact: Artifact, future: "Future[Shard]") -> None:
        started = time.perf_counter()
        try:
            shard = self._load(artifact)
            with self._lock:
                self._open.add(artifact.hash, shard)
                self.lately.clear()
        except Exception as exc:  # noqa: BLE001  whatever went wrong, the waiters must get an exception
            with self._lock:
                failure = self._failed[artifact.hash] = self._failure(artifact, exc)
                del self._loading[artifact.hash]
            self._metrics.loads.labels("failed").inc()
            future.set_exception(failure.error)
            return
        with self._lock:
            self._failed.pop(artifact.hash, None)
            self._metrics.cache_bytes.set(self._open.bytes)
            del self._loading[artifact.hash]
        self._metrics.loads.labels("ok").inc()
        self._metrics.load_seconds.observe(time.perf_counter() - started)
        future.set_result(shard)

    def _failure(self, artifact: Artifact, cause: Exception) -> _Failure:
        previous = self._failed.get(artifact.hash)
        retries = previous.retries + 1 if previous else 0
        seconds = min(self._failure_seconds * 2 ** min(retries, 30), max(MAX_FAILURE_SECONDS, self._failure_seconds))
        error = LoadFailed(artifact.hash, str(cause))
        error.__cause__ = cause
        jittered = seconds * random.uniform(0.75, 1) if retries else seconds  # noqa: S311  jitter, not cryptography
        return _Failure(error, retries, time.monotonic() + jittered)


class _TwoQueues:
    """The shards of a 2Q cache by artifact hash; not safe to use from many threads."""

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._fifo: FIFOCache[str, Shard] = FIFOCache(max_bytes, getsizeof=_size)
        self._lru: LRUCache[str, Shard] = LRUCache(max_bytes, getsizeof=_size)
        self._ghosts: FIFOCache[str, int] = FIFOCache(GHOST_SHARE * max_bytes, getsizeof=int)
        self._max_bytes, self._metrics = max_bytes, metrics

    @property
    def bytes(self) -> int:
        return int(self._fifo.currsize + self._lru.currsize)

    def get(self, name: str) -> Shard | None:
        shard = self._lru.get(name)
        return self._fifo.get(name) if shard is None else shard

    def hashes(self) -> frozenset[str]:
        return frozenset(self._fifo) | frozenset(self._lru)

    def remove(self, names: Set[str]) -> list[Shard]:
        """Take out those of these shards that are there and return them."""
        return [queue.pop(name) for queue in (self._fifo, self._lru) for name in names & queue.keys()]

    def add(self, name: str, shard: Shard) -> None:
        if shard.nbytes > self._max_bytes:
            return
        while self.bytes + shard.nbytes > self._max_bytes:
            self._make_room()
        queue = self._lru if self._ghosts.pop(name, None) else self._fifo
        queue[name] = shard

    def _make_room(self) -> None:
        """Evict a shard, or move one from the FIFO to the LRU if that has room left; called until there is room."""
        fifo_bytes = FIFO_SHARE * self._max_bytes
        fifo_is_full = self._fifo.currsize > fifo_bytes
        if not self._fifo or (not fifo_is_full and self._lru.currsize > self._max_bytes - fifo_bytes):
            self._metrics.evictions.inc()
            self._lru.popitem()
            return
        name, shard = self._fifo.popitem()
        if self._lru.currsize + shard.nbytes <= self._max_bytes - fifo_bytes:
            self._lru[name] = shard
            return
        self._metrics.evictions.inc()
        if shard.nbytes <= self._ghosts.maxsize:
            self._ghosts[name] = shard.nbytes


def _size(shard: Shard) -> int:
    return shard.nbytes
