"""Metrics: what the service counts. Label values are bounded: no series, host or release is one."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The service's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = registry or CollectorRegistry()
        self.requests = Counter("myriad_requests", "Requests answered", ["route", "status"], registry=registry)
        self.latency = Histogram(
            "myriad_request_seconds", "Time to answer", ["route"], registry=registry, buckets=LATENCY_BUCKETS
        )
        self._routes: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
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

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request and observe its latency."""
        metrics = self._routes.get((route, status))
        if metrics is None:  # cached, because finding a counter by its labels costs more than counting
            metrics = self.requests.labels(route, str(status)), self.latency.labels(route)
            self._routes[route, status] = metrics
        requests, latency = metrics
        requests.inc()
        latency.observe(seconds)

    def count_series(self, tally: Mapping[str, int], points: int) -> None:
        """Count series by status, and the points they were posted with."""
        self.points.inc(points)
        for status, count in tally.items():
            self.series.labels(status).inc(count)
