"""Metrics: what the service counts. Label values are bounded: no series, host or release is one.

What is counted with every request is a plain number at first. A counter of the Prometheus client takes microseconds,
more where several workers share a file of them. So these numbers are handed over now and then, and when metrics are
read.
"""

import threading
from bisect import bisect_left
from collections import Counter as Numbers
from collections.abc import Mapping

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from myriad.models.status import Status

COUNTED = (Status.OK, Status.FALLBACK, Status.NO_MODEL, Status.INSUFFICIENT_DATA)
"""The statuses that a kernel counts."""
LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The service's metrics in one registry."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("myriad_requests", "Requests answered", ["route", "status"], registry=registry)
        self.latency = _Latency(
            "myriad_request_seconds", "Time to answer", ["route"], registry=registry, buckets=LATENCY_BUCKETS
        )
        self.errors = Counter("myriad_errors", "Requests refused, by kind of problem", ["kind"], registry=registry)
        self.points = Counter("myriad_points", "Datapoints received for scoring", registry=registry)
        self.series = Counter("myriad_series", "Series received, by what became of them", ["status"], registry=registry)
        self.hits = Counter("myriad_cache_hits", "Shards found open", registry=registry)
        self.misses = Counter("myriad_cache_misses", "Shards not found open", registry=registry)
        self.evictions = Counter("myriad_cache_evictions", "Open shards dropped for others", registry=registry)
        self.cache_bytes = Gauge(
            "myriad_cache_bytes", "Bytes of open shards", registry=registry, multiprocess_mode="livesum"
        )
        self.loads = Counter("myriad_loads", "Shards loaded, by outcome", ["outcome"], registry=registry)
        self.load_seconds = Histogram(
            "myriad_load_seconds", "Time to load a shard", registry=registry, buckets=LATENCY_BUCKETS
        )
        self.release_since = Gauge(
            "myriad_release_since_seconds",
            "When the release being served was taken up, in epoch seconds",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.release_checked = Gauge(
            "myriad_release_checked_seconds",
            "When the store last said which release is current, in epoch seconds",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.release_failures = Counter(
            "myriad_release_failures", "Times the current release could not be taken up", registry=registry
        )
        self.tallies = np.zeros(2 + len(COUNTED), np.int64)
        """Points, shards found open and series by status, which a kernel counts and nobody sets back."""
        self.answered: list[float] = []
        """Seconds of each request at `/predict` that was answered at once."""
        self._handed_over = [0] * len(self.tallies)
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._requests: Numbers[tuple[str, int]] = Numbers()
        self._latencies: dict[str, list[float]] = {}
        self._series: Numbers[str] = Numbers()
        self._points = self._hits = 0

    @property
    def registry(self) -> CollectorRegistry:
        """All metrics, with what has been counted so far."""
        self.hand_over()
        return self._registry

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request and observe its latency."""
        with self._lock:
            self._requests[route, status] += 1
            if (latencies := self._latencies.get(route)) is None:
                latencies = self._latencies[route] = [0.0] * (len(LATENCY_BUCKETS) + 2)
            latencies[bisect_left(LATENCY_BUCKETS, seconds)] += 1
            latencies[-1] += seconds

    def count_series(self, tally: Mapping[str, int], points: int) -> None:
        """Count series by status, and the points they were posted with."""
        with self._lock:
            self._points += points
            for status, count in tally.items():
                self._series[status] += count

    def count_hit(self) -> None:
        """Count a shard that was found open."""
        with self._lock:
            self._hits += 1

    def hand_over(self) -> None:
        """Add what has been counted since the last time to what Prometheus reads."""
        with self._lock:
            requests, latencies, series = self._requests, self._latencies, self._series
            points, hits = self._points, self._hits
            self._start()
            counted = self.tallies.tolist()
            new = [now - before for now, before in zip(counted, self._handed_over, strict=True)]
            self._handed_over = counted
        points, hits = points + new[0], hits + new[1]
        series.update({status.value: count for status, count in zip(COUNTED, new[2:], strict=True) if count})
        answered, self.answered = self.answered, []
        if answered:
            self.requests.labels("predict", "200").inc(len(answered))
            at_once = np.bincount(np.searchsorted(LATENCY_BUCKETS, answered), minlength=len(LATENCY_BUCKETS) + 1)
            self.latency.labels("predict").add(at_once.tolist(), sum(answered))
        for (route, status), count in requests.items():
            self.requests.labels(route, str(status)).inc(count)
        for route, (*buckets, seconds) in latencies.items():
            self.latency.labels(route).add(buckets, seconds)
        for name, count in series.items():
            self.series.labels(name).inc(count)
        self.points.inc(points)
        self.hits.inc(hits)


class _Latency(Histogram):
    """A histogram that many observations are added to at once, which the client's has no method for."""

    def add(self, buckets: list[float], seconds: float) -> None:
        """Add observations: how many in each bucket, and their sum."""
        self._sum.inc(seconds)
        for bucket, count in zip(self._buckets, buckets, strict=True):
            if count:
                bucket.inc(count)
