"""Load: many requests at once, the whole fleet in memory, and what a request costs at one size and another."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench.fleet import Fleet, bulk, single, sweep
from bench.latency import posted, started
from bench.service import Client, Memory, Service

CONNECTIONS = 4
OPEN_SECONDS = 300
BLOCKS = 10


def opened(fleet: Fleet, service: Service, workers: int) -> None:
    """Have every worker open every shard.

    Raises:
        RuntimeError: they do not get there.
    """
    body, deadline = bulk(fleet.one_a_shard(random.Random(6))), time.monotonic() + OPEN_SECONDS
    while service.open_bytes < workers * fleet.raw_bytes:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{service.open_bytes} bytes are open, not {workers} times {fleet.raw_bytes}")
        with service.client() as client:  # a new connection may be any worker's
            posted(client, body)


def memory(fleet: Fleet, service: Service, workers: int) -> dict[str, float]:
    """Resident memory before and after the whole fleet is opened; per model all of it counts."""
    before = service.memory
    opened(fleet, service, workers)
    after: Memory = service.memory
    return {
        "rss_empty_bytes": before.rss,
        "rss_bytes": after.rss,
        "pss_bytes": after.pss,
        "rss_bytes_a_model": after.rss / fleet.models,
        "pss_bytes_a_model": after.pss / fleet.models,
    }


def throughput(fleet: Fleet, service: Service, requests: int) -> dict[str, float]:
    """Random single-series requests over four connections, and sweeps of the whole fleet."""
    bodies = [single(series) for series in fleet.drawn(requests, random.Random(7))]
    figures = {"requests_a_second": requests / _drive(service, bodies)}
    in_order = {"sweep_by_host": fleet.by_host, "sweep_by_shard": [one for shard in fleet.series for one in shard]}
    for name, series in in_order.items():
        figures[f"{name}_series_a_second"] = len(series) / _drive(service, sweep(series))
    return figures


def costs(fleets: Sequence[Fleet], parent: Path, block: int) -> dict[str, float]:
    """What a hot request costs with the smallest and with the largest fleet, measured in turns.

    The third in turn is the largest fleet when asked for no more series than the smallest has: what then is left of a
    difference are misses of the processor's caches.
    """
    small, large = fleets
    with started(small, parent) as one, started(large, parent) as other:
        opened(small, one, 1)
        opened(large, other, 1)
        few = sum(map(len, small.series))
        arms = [(one, small, None), (other, large, None), (other, large, few)]
        taken = [np.array([_cost(*arm, block, turn) for turn in range(BLOCKS)]) for arm in arms]
    (wall, cpu), (large_wall, large_cpu), (few_wall, few_cpu) = (np.median(arm, axis=0) for arm in taken)
    return {
        "request_ms_smallest": wall * 1e3,
        "request_ms_largest": large_wall * 1e3,
        "request_cpu_ms_smallest": cpu * 1e3,
        "request_cpu_ms_largest": large_cpu * 1e3,
        "request_ratio": large_wall / wall,
        "request_cpu_ratio": large_cpu / cpu,
        "request_ratio_same_working_set": few_wall / wall,
        "request_cpu_ratio_same_working_set": few_cpu / cpu,
    }


def _cost(service: Service, fleet: Fleet, among: int | None, requests: int, turn: int) -> tuple[float, float]:
    """Median seconds of a request, and processor seconds of the server a request."""
    bodies = [single(series) for series in fleet.drawn(requests, random.Random(turn), among)]
    with service.client() as client:
        posted(client, bodies[0])
        before = service.cpu_seconds
        times = [_seconds(client, body) for body in bodies]
        return float(np.median(times)), (service.cpu_seconds - before) / requests


def _seconds(client: Client, body: bytes) -> float:
    begun = time.perf_counter()
    posted(client, body)
    return time.perf_counter() - begun


def _drive(service: Service, bodies: Sequence[bytes]) -> float:
    """Post the bodies, in order, over several connections; the seconds it took."""
    left, taking = iter(bodies), threading.Lock()

    def taken() -> Iterator[bytes]:
        while True:
            with taking:
                body = next(left, None)
            if body is None:
                return
            yield body

    def post() -> None:
        with service.client() as client:
            for body in taken():
                posted(client, body)

    begun = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for done in [pool.submit(post) for _ in range(CONNECTIONS)]:
            done.result()
    return time.perf_counter() - begun
