"""Cost of a hot request with the smallest and with the largest fleet."""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.shared.fleet import Fleet
from bench.shared.fleet_service import open_all_shards, serving_fleet
from bench.shared.request_bodies import single_series_body
from bench.shared.service import Client, Service

TURNS = 10


class Arm(NamedTuple):
    """A service with its fleet; requests are for the first `among` series of it, or for all if None."""

    service: Service
    fleet: Fleet
    among: int | None


class Cost(NamedTuple):
    """Median seconds of a request, and processor seconds of the server per request."""

    seconds: float
    cpu_seconds: float


def compare(smallest: Fleet, largest: Fleet, log_directory: Path, requests: int) -> dict[str, float]:
    """The cost with both fleets, measured in turns of so many requests.

    A third arm is the largest fleet when no more of its series are requested than the smallest fleet has. The
    difference that remains is due to misses of the processor's caches.
    """
    with serving_fleet(smallest, log_directory) as small, serving_fleet(largest, log_directory) as large:
        open_all_shards(smallest, small, 1)
        open_all_shards(largest, large, 1)
        arms = [
            Arm(small, smallest, None),
            Arm(large, largest, None),
            Arm(large, largest, smallest.series_count),
        ]
        medians = [_median([_measure(arm, requests, turn) for turn in range(TURNS)]) for arm in arms]
    baseline, all_series, same_working_set = medians
    return {
        "request_ms_smallest": baseline.seconds * 1e3,
        "request_ms_largest": all_series.seconds * 1e3,
        "request_cpu_ms_smallest": baseline.cpu_seconds * 1e3,
        "request_cpu_ms_largest": all_series.cpu_seconds * 1e3,
        "request_ratio": all_series.seconds / baseline.seconds,
        "request_cpu_ratio": all_series.cpu_seconds / baseline.cpu_seconds,
        "request_ratio_same_working_set": same_working_set.seconds / baseline.seconds,
        "request_cpu_ratio_same_working_set": same_working_set.cpu_seconds / baseline.cpu_seconds,
    }


def _measure(arm: Arm, requests: int, turn: int) -> Cost:
    sample = arm.fleet.sample(requests, random.Random(turn), arm.among)
    bodies = [single_series_body(series) for series in sample]
    with arm.service.client() as client:
        client.predict(bodies[0])
        before = arm.service.cpu_seconds
        seconds = [_seconds_to_predict(client, body) for body in bodies]
        return Cost(float(np.median(seconds)), (arm.service.cpu_seconds - before) / requests)


def _median(costs: Sequence[Cost]) -> Cost:
    seconds, cpu_seconds = np.median(np.array(costs), axis=0)
    return Cost(seconds, cpu_seconds)


def _seconds_to_predict(client: Client, body: bytes) -> float:
    started = time.perf_counter()
    client.predict(body)
    return time.perf_counter() - started
