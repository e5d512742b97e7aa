"""Cache: the open shards, bounded in bytes, each loaded once however many wait for it.

A fleet is scored in sweeps, in which a plain LRU smaller than the sweep finds nothing. So shards are admitted as in 2Q
(Johnson and Shasha, "2Q: A low overhead high performance buffer management replacement algorithm", 1994): a new shard
waits in a short queue, and where there is no room in the LRU proper only one asked for again soon after it left that
queue comes into it. A sweep passes through the queue and leaves alone what others use steadily.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from cachetools import FIFOCache, LRUCache

from myriad.models.errors import LoadFailed
from myriad.serving.metrics import Metrics
from myriad.storage.release import Artifact
from myriad.storage.shard import Shard

QUEUE_SHARE = 0.2
"""Of the bytes, for shards seen once."""
LEFT_SHARE = 0.5
"""Of the bytes, what shards remembered after they left the queue would take: less than a sweep, or it would be kept."""
PAUSE_SECONDS = 0.001
REMEMBERED = 10_000
"""Failures remembered."""
LONGEST_FAILURE = 60.0
"""Seconds a failed load is not tried again, at most, however often it fails."""


@dataclass(frozen=True, slots=True)
class _Failure:
    error: LoadFailed
    times: int
    until: float


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
            metrics: to count in.
            max_bytes: of all open shards together; one that is larger alone is used but not kept.
            loads_at_once: others wait their turn.
            failure_seconds: how long the first failed load is remembered and not tried again; twice as long, within
                a bound and with jitter, after each further one.
        """
        self._load, self._metrics, self._failure_seconds = load, metrics, failure_seconds
        self._open = _TwoQueues(max_bytes, metrics)
        self._failed: LRUCache[str, _Failure] = LRUCache(REMEMBERED)
        self._loading: dict[str, Future[Shard]] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(loads_at_once, thread_name_prefix="load")

    def get(self, artifact: Artifact) -> "Shard | Future[Shard]":
        """The open shard, or the one load of it that is under way, whose exception would be `LoadFailed`."""
        with self._lock:
            if (shard := self._open.get(artifact.hash)) is not None:
                self._metrics.hits.inc()
                return shard
            self._metrics.misses.inc()
            if (loading := self._loading.get(artifact.hash)) is not None:
                return loading
            future: Future[Shard] = Future()
            future.set_running_or_notify_cancel()  # one who gives up waiting must not cancel it for the others
            failure = self._failed.get(artifact.hash)
            if failure is not None and failure.until > time.monotonic():
                future.set_exception(failure.error)
                return future
            self._loading[artifact.hash] = future
        try:
            self._threads.submit(self._run, artifact, future).add_done_callback(
                lambda run: self._give_up(artifact, future) if run.cancelled() else None
            )
        except RuntimeError:
            self._give_up(artifact, future)
        return future

    def is_open(self, artifact: Artifact) -> bool:
        """Whether its shard is; that is not counted as asking for it."""
        with self._lock:
            return self._open.get(artifact.hash) is not None

    def opened(self) -> frozenset[str]:
        """The hashes of the artifacts whose shards are open."""
        with self._lock:
            return self._open.hashes()

    def retain(self, hashes: frozenset[str]) -> None:
        """Close all other shards, one after the other: unmapping many at once would keep requests waiting."""
        with self._lock:
            closing = self._open.retain(hashes)
            self._metrics.cache_bytes.set(self._open.bytes)
        while closing:
            closing.pop()
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """Begin no more loads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _give_up(self, artifact: Artifact, future: "Future[Shard]") -> None:
        with self._lock:
            del self._loading[artifact.hash]
        future.set_exception(LoadFailed(artifact.hash, "the cache is closed"))

    def _run(self, artifact: Artifact, future: "Future[Shard]") -> None:
        started = time.perf_counter()
        try:
            shard = self._load(artifact)
            with self._lock:
                self._open.add(artifact.hash, shard)
        except Exception as exc:  # noqa: BLE001  whatever went wrong, those who wait must hear of it
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
        before = self._failed.get(artifact.hash)
        times = before.times + 1 if before else 0
        seconds = min(self._failure_seconds * 2 ** min(times, 30), max(LONGEST_FAILURE, self._failure_seconds))
        error = LoadFailed(artifact.hash, str(cause))
        error.__cause__ = cause
        jittered = seconds * random.uniform(0.75, 1) if times else seconds  # noqa: S311  to spread tries, not to hide
        return _Failure(error, times, time.monotonic() + jittered)


class _TwoQueues:
    """Shards admitted to `queue` first and to `kept` when they come back; not safe to use from many threads."""

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._queue: FIFOCache[str, Shard] = FIFOCache(max_bytes, getsizeof=_size)
        self._kept: LRUCache[str, Shard] = LRUCache(max_bytes, getsizeof=_size)
        self._left: FIFOCache[str, int] = FIFOCache(LEFT_SHARE * max_bytes, getsizeof=int)
        self._max_bytes, self._metrics = max_bytes, metrics

    @property
    def bytes(self) -> int:
        return int(self._queue.currsize + self._kept.currsize)

    def get(self, name: str) -> Shard | None:
        shard = self._kept.get(name)
        return self._queue.get(name) if shard is None else shard

    def hashes(self) -> frozenset[str]:
        return frozenset(self._queue) | frozenset(self._kept)

    def retain(self, names: frozenset[str]) -> list[Shard]:
        """Take all others out."""
        parts = (self._queue, self._kept)
        return [part.pop(name) for part in parts for name in [name for name in part if name not in names]]

    def add(self, name: str, shard: Shard) -> None:
        if shard.nbytes > self._max_bytes:
            return
        while self.bytes + shard.nbytes > self._max_bytes:
            self._make_room()
        into = self._kept if self._left.pop(name, None) else self._queue
        into[name] = shard

    def _make_room(self) -> None:
        """Drop a shard, or first move one from the queue where the LRU has room left."""
        queue_share = QUEUE_SHARE * self._max_bytes
        passing = self._queue.currsize > queue_share
        if not self._queue or (not passing and self._kept.currsize > self._max_bytes - queue_share):
            self._metrics.evictions.inc()
            self._kept.popitem()
            return
        name, shard = self._queue.popitem()
        if self._kept.currsize + shard.nbytes <= self._max_bytes - queue_share:
            self._kept[name] = shard
            return
        self._metrics.evictions.inc()
        if shard.nbytes <= self._left.maxsize:
            self._left[name] = shard.nbytes


def _size(shard: Shard) -> int:
    return shard.nbytes
