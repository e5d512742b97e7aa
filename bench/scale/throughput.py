"""Throughput: requests over several connections at once."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.shared.fleet import Fleet
from bench.shared.request_bodies import single_series_body, sweep_bodies
from bench.shared.service import Service

CONNECTIONS = 4


def measure(fleet: Fleet, service: Service, requests: int) -> dict[str, float]:
    """Rates of random single-series requests, and of sweeps over the whole fleet by host and by shard."""
    bodies = [single_series_body(series) for series in fleet.sample(requests, random.Random(7))]
    figures = {"requests_a_second": requests / _seconds_to_post(service, bodies)}
    by_shard = [series for shard in fleet.series for series in shard]
    for name, order in {"sweep_by_host": fleet.by_host, "sweep_by_shard": by_shard}.items():
        figures[f"{name}_series_a_second"] = len(order) / _seconds_to_post(service, sweep_bodies(order))
    return figures


def _seconds_to_post(service: Service, bodies: Sequence[bytes]) -> float:
    """Post the bodies in order, over `CONNECTIONS` connections; the seconds this takes."""
    remaining, lock = iter(bodies), threading.Lock()

    def next_bodies() -> Iterator[bytes]:
        while True:
            with lock:
                body = next(remaining, None)
            if body is None:
                return
            yield body

    def post() -> None:
        with service.client() as client:
            for body in next_bodies():
                client.predict(body)

    started = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for future in [pool.submit(post) for _ in range(CONNECTIONS)]:
            future.result()
    return time.perf_counter() - started
