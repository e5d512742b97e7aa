"""Single-series requests: the rate one core answers, compared with the bare server and with no HTTP at all."""

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.shared.cpu_pinning import LOAD_CORE, SEPARATE_CORES, SERVER_CORE, running_on
from bench.shared.fleet import Fleet, open_predictor, shard_opener
from bench.shared.fleet_service import open_all_shards, serving_fleet
from bench.shared.request_bodies import single_series_body
from bench.shared.service import HEADERS, Service
from bench.speed.bare_asgi import serving_bare
from bench.speed.wrk import Wrk, WrkResult, missing
from myriad.formats.base import Bounds
from myriad.formats.bodies.json_series import parse
from myriad.formats.bodies.json_series_answer import encode
from myriad.models.key import Series
from myriad.serving.predictor import Predictor

CONNECTIONS = (1, 16)
WORKER_CONNECTIONS = 32
"""Connections to several workers: which worker accepts one is chance, which evens out over many."""
BUSY_CONNECTIONS = 4
"""Connections that keep a server from ever being idle."""
CPU_TURNS = 5
SAMPLED_SHARDS = 40
ADAPTERS = ("seasonal", "rhythm")
BOUNDS = Bounds(1_000_000, 1_000_000)


class Turns(NamedTuple):
    """Seconds wrk loads a server in a turn, and rounds in each of which every server has a turn."""

    seconds: float
    rounds: int


@dataclass(frozen=True)
class Arm:
    """A server, a path on it, and the bodies that wrk posts there."""

    service: Service
    path: str
    wrk: Wrk


class Check(NamedTuple):
    """The number of wrong answers, and the median size of an answer in bytes."""

    wrong: int
    answer_bytes: int


def bodies_by_kind(fleet: Fleet, count: int) -> dict[str, list[bytes]]:
    """Requests for series whose models are all of one adapter, `seasonal` or `rhythm`, and for any series, `mix`."""
    rng, open_shard = random.Random(12), shard_opener(fleet.store, fleet.directory)
    shards = rng.sample(range(len(fleet.artifacts)), min(SAMPLED_SHARDS, len(fleet.artifacts)))
    by_adapter: dict[str, list[Series]] = {name: [] for name in ADAPTERS}
    for number in shards:
        shard = open_shard(fleet.artifacts[number])
        for name in ADAPTERS:
            positions = np.flatnonzero(shard.adapter[:, 0] == shard.adapters.index(name)).tolist()
            by_adapter[name] += [fleet.series[number][i] for i in positions]
    chosen = {name: rng.choices(series, k=count) for name, series in by_adapter.items()}
    chosen["mix"] = fleet.sample(count, rng)
    return {kind: [single_series_body(one) for one in series] for kind, series in chosen.items()}


def measure(fleet: Fleet, bodies: Mapping[str, Sequence[bytes]], log_directory: Path, turns: Turns) -> dict[str, Any]:
    """Rates and latencies by kind of series and number of connections, with every answer checked.

    Args:
        fleet: to request; every shard is opened.
        bodies: `bodies_by_kind` of it.
        log_directory: for logs.
        turns: of wrk.
    """
    predictor = open_predictor(fleet)
    with (
        serving_fleet(fleet, log_directory, core=SERVER_CORE) as service,
        serving_bare(log_directory / "bare.log", SERVER_CORE) as bare,
    ):
        open_all_shards(fleet, service, 1)
        checks = {kind: _check(service, predictor, of_kind) for kind, of_kind in bodies.items()}
        bare_path = f"/{checks['mix'].answer_bytes}"
        figures: dict[str, Any] = {
            "server_and_load_pinned_apart": SEPARATE_CORES,
            "body_bytes": float(np.mean([len(body) for body in bodies["mix"]])),
            "answer_bytes": checks["mix"].answer_bytes,
            "answers_checked": sum(map(len, bodies.values())),
            "wrong": sum(check.wrong for check in checks.values()),
        }
        for kind, of_kind in bodies.items():
            figures[f"{kind}_in_process_a_second"] = _in_process_rate(predictor, of_kind)
        figures["mix_cpu_ms"] = cpu_ms(service, bodies["mix"], connections=BUSY_CONNECTIONS)
        figures["bare_cpu_ms"] = cpu_ms(bare, bodies["mix"], path=bare_path, connections=BUSY_CONNECTIONS)
        if reason := missing():
            return figures | {"skipped": reason}
        arms = {"bare": Arm(bare, bare_path, Wrk(bodies["mix"], log_directory, "bare"))}
        for kind, of_kind in bodies.items():
            arms[kind] = Arm(service, "/predict", Wrk(of_kind, log_directory, kind))
        figures |= _run_wrk(arms, turns)
    return figures | _ratios(figures, tuple(bodies))


def measure_workers(fleet: Fleet, bodies: Sequence[bytes], log_directory: Path, turns: Turns) -> dict[str, Any]:
    """Rate and memory of two workers compared with one; the load runs on the same cores."""
    wrk = Wrk(bodies, log_directory, "workers")
    figures: dict[str, Any] = {"load_on_the_same_cores": True}
    for count in (1, 2):
        with serving_fleet(fleet, log_directory, workers=count) as service:
            open_all_shards(fleet, service, count)
            memory = service.memory
            figures |= {f"{count}_rss_bytes": memory.rss, f"{count}_pss_bytes": memory.pss}
            if reason := missing():
                figures["skipped"] = reason
                continue
            before = service.cpu_seconds_by_worker
            results = [
                wrk.run(service.port, "/predict", WORKER_CONNECTIONS, turns.seconds, None) for _ in range(turns.rounds)
            ]
            used = [after - b for after, b in zip(service.cpu_seconds_by_worker, before, strict=True)]
            figures[f"{count}_cpu_us_a_request"] = sum(used) / sum(one.requests for one in results) * 1e6
            figures[f"{count}_requests_a_second"] = float(np.median([one.requests_a_second for one in results]))
            figures[f"{count}_p99_ms"] = float(np.median([one.p99_ms for one in results]))
            figures[f"{count}_failed"] = sum(one.failed for one in results)
            figures[f"{count}_busiest_share_of_cpu"] = max(used) / sum(used)
    figures["pss_ratio"] = figures["2_pss_bytes"] / figures["1_pss_bytes"]
    if not missing():
        figures["requests_ratio"] = figures["2_requests_a_second"] / figures["1_requests_a_second"]
        # What two workers would answer on cores of their own: a request costs each of them more or less CPU than one.
        figures["cpu_ratio"] = 2 * figures["1_cpu_us_a_request"] / figures["2_cpu_us_a_request"]
    return figures


def cpu_ms(
    service: Service,
    bodies: Sequence[bytes],
    headers: Mapping[str, str] = HEADERS,
    path: str = "/predict",
    connections: int = 1,
) -> float:
    """Processor milliseconds of the server per request, the median of `CPU_TURNS` turns after one to warm up."""
    used = []
    with running_on(LOAD_CORE), ThreadPoolExecutor(connections) as pool:
        for _ in range(1 + CPU_TURNS):
            before = service.cpu_seconds
            parts = [bodies[i::connections] for i in range(connections)]
            for future in [pool.submit(_post_all, service, part, path, headers) for part in parts]:
                future.result()
            used.append((service.cpu_seconds - before) / len(bodies))
    return float(np.median(used[1:])) * 1e3


def _post_all(service: Service, bodies: Sequence[bytes], path: str, headers: Mapping[str, str]) -> None:
    with service.client() as client:
        for body in bodies:
            client.post(body, headers, path)


def _run_wrk(arms: Mapping[str, Arm], turns: Turns) -> dict[str, float]:
    """Medians over rounds in each of which every arm has a turn, in random order."""
    by_key: dict[str, list[WrkResult]] = {}
    for turn in range(turns.rounds):
        for connections in CONNECTIONS:
            for name in random.Random(turn).sample(sorted(arms), len(arms)):
                arm = arms[name]
                result = arm.wrk.run(arm.service.port, arm.path, connections, turns.seconds, LOAD_CORE)
                by_key.setdefault(f"{name}_{connections}", []).append(result)
    figures: dict[str, float] = {"failed": sum(one.failed for results in by_key.values() for one in results)}
    for key, results in by_key.items():
        for figure in ("requests_a_second", "p50_ms", "p99_ms"):
            figures[f"{key}_{figure}"] = float(np.median([getattr(one, figure) for one in results]))
        figures[f"{key}_requests"] = sum(one.requests for one in results)
    return figures


def _ratios(figures: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, float]:
    ratios = {}
    for kind in kinds:
        for connections in CONNECTIONS:
            key, bare = f"{kind}_{connections}", f"bare_{connections}"
            ratios[f"{key}_share_of_bare"] = figures[f"{key}_requests_a_second"] / figures[f"{bare}_requests_a_second"]
            ratios[f"{key}_p99_over_bare"] = figures[f"{key}_p99_ms"] / figures[f"{bare}_p99_ms"]
        ratios[f"{kind}_share_of_in_process"] = (
            figures[f"{kind}_{CONNECTIONS[-1]}_requests_a_second"] / figures[f"{kind}_in_process_a_second"]
        )
    return ratios


def _check(service: Service, predictor: Predictor, bodies: Sequence[bytes]) -> Check:
    """Compare the service's answers, byte by byte, with those made of the predictor's scores."""
    wrong, sizes = 0, []
    with service.client() as client:
        for body in bodies:
            request = parse(body, BOUNDS)
            answer = client.predict(body)
            wrong += answer != encode(request, predictor.score(request.query))
            sizes.append(len(answer))
    return Check(wrong, int(np.median(sizes)))


def _in_process_rate(predictor: Predictor, bodies: Sequence[bytes]) -> float:
    """Decoded requests scored per processor second in this process."""
    queries = [parse(body, BOUNDS).query for body in bodies]
    for query in queries:  # opens every shard
        predictor.score(query)
    with running_on(SERVER_CORE):
        started = time.process_time()
        for query in queries:
            predictor.score(query)
        return len(queries) / (time.process_time() - started)
