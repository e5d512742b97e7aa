"""Cache: the open shards, least recently used dropped first, each loaded once however many wait for it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from cachetools import LRUCache, TTLCache

from models.errors import MyriadError
from serving.metrics import Metrics
from storage.release import Artifact
from storage.shard import Shard

REMEMBERED_FAILURES = 10_000


class LoadFailed(MyriadError):
    """A shard could not be loaded; the cause says why."""

    def __init__(self, artifact: str, why: str) -> None:
        super().__init__(f"artifact {artifact} could not be loaded: {why}")


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
            failure_seconds: how long a failed load is remembered and not tried again.
        """
        self._load, self._metrics = load, metrics
        self._open = _Shards(max_bytes, metrics)
        self._failed: TTLCache[str, LoadFailed] = TTLCache(REMEMBERED_FAILURES, failure_seconds)
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
            if (failure := self._failed.get(artifact.hash)) is not None:
                future.set_exception(failure)
                return future
            self._loading[artifact.hash] = future
        self._threads.submit(self._run, artifact, future)
        return future

    def _run(self, artifact: Artifact, future: "Future[Shard]") -> None:
        started = time.perf_counter()
        try:
            shard = self._load(artifact)
        except Exception as exc:  # noqa: BLE001  whatever went wrong, those who wait must hear of it
            failure = LoadFailed(artifact.hash, str(exc))
            failure.__cause__ = exc
            with self._lock:
                self._failed[artifact.hash] = failure
                del self._loading[artifact.hash]
            self._metrics.loads.labels("failed").inc()
            future.set_exception(failure)
            return
        with self._lock:
            if shard.nbytes <= self._open.maxsize:
                self._open[artifact.hash] = shard
            self._metrics.cache_bytes.set(self._open.currsize)
            del self._loading[artifact.hash]
        self._metrics.loads.labels("ok").inc()
        self._metrics.load_seconds.observe(time.perf_counter() - started)
        future.set_result(shard)

    def close(self) -> None:
        """Begin no more loads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Shards(LRUCache[str, Shard]):
    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        super().__init__(max_bytes, getsizeof=lambda shard: shard.nbytes)
        self._metrics = metrics

    def popitem(self) -> tuple[str, Shard]:
        self._metrics.evictions.inc()
        return super().popitem()
