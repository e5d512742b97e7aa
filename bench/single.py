"""Single: requests for one series - as many a second as one core answers, beside the ceiling and beside no HTTP."""

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.bare import bare
from bench.cores import APART, LOAD, SERVER, on
from bench.fleet import Fleet, opener, single
from bench.latency import posted, started
from bench.load import opened
from bench.service import HEADERS, Service
from bench.wrk import Drive, Wrk, missing
from myriad.formats.base import Bounds
from myriad.models.key import Series
from myriad.serving.decode import decode
from myriad.serving.encode import encode
from myriad.serving.predictor import Predictor

CONNECTIONS = (1, 16)
MANY = 32
"""Connections where workers share them: who accepts which is chance, and evens out over many."""
BUSY, CPU_TURNS = 4, 5
ADAPTERS = ("seasonal", "ewma")
BOUNDS = Bounds(1_000_000, 1_000_000)


class Turns(NamedTuple):
    """How long wrk drives each server, and how many times in turn with the others; of several the median counts."""

    seconds: float
    rounds: int


@dataclass(frozen=True)
class Arm:
    """A server, a path on it, and what is posted there."""

    service: Service
    path: str
    wrk: Wrk


def bodies_of(fleet: Fleet, count: int) -> dict[str, list[bytes]]:
    """As many requests each for series whose models are of one adapter, and for any: `seasonal`, `ewma` and `mix`."""
    draw, opened_shard = random.Random(12), opener(fleet.store, fleet.directory)
    some = draw.sample(range(len(fleet.artifacts)), min(40, len(fleet.artifacts)))
    by_adapter: dict[str, list[Series]] = {name: [] for name in ADAPTERS}
    for at in some:
        shard = opened_shard(fleet.artifacts[at])
        for name in ADAPTERS:
            there = np.flatnonzero(shard.adapter[:, 0] == shard.adapters.index(name)).tolist()
            by_adapter[name] += [fleet.series[at][i] for i in there]
    chosen = {name: draw.choices(series, k=count) for name, series in by_adapter.items()}
    chosen["mix"] = fleet.drawn(count, draw)
    return {name: [single(one) for one in series] for name, series in chosen.items()}


def figures(
    fleet: Fleet, predictor: Predictor, bodies: Mapping[str, Sequence[bytes]], parent: Path, turns: Turns
) -> dict[str, Any]:
    """Rates and latencies by adapter and connections, what was answered checked; in turns with the bare server.

    Args:
        fleet: to ask; all of it is opened.
        predictor: of the same fleet, to check against and to measure without HTTP.
        bodies: `bodies_of` it.
        parent: for logs.
        turns: of wrk.
    """
    with started(fleet, parent, core=SERVER) as service, bare(parent / "bare.log", SERVER) as ceiling:
        opened(fleet, service, 1)
        answered = {name: _checked(service, predictor, some) for name, some in bodies.items()}
        found: dict[str, Any] = {
            "server_and_load_pinned_apart": APART,
            "body_bytes": float(np.mean([len(body) for body in bodies["mix"]])),
            "answer_bytes": answered["mix"][1],
            "answers_checked": sum(map(len, bodies.values())),
            "wrong": sum(wrong for wrong, _ in answered.values()),
        }
        found |= {f"{name}_in_process_a_second": _kernel(predictor, some) for name, some in bodies.items()}
        found["mix_cpu_ms"] = cpu_ms(service, bodies["mix"], connections=BUSY)
        found["bare_cpu_ms"] = cpu_ms(ceiling, bodies["mix"], path=f"/{answered['mix'][1]}", connections=BUSY)
        if why := missing():
            return found | {"skipped": why}
        arms = {"bare": Arm(ceiling, f"/{answered['mix'][1]}", Wrk(bodies["mix"], parent, "bare"))}
        arms |= {name: Arm(service, "/predict", Wrk(some, parent, name)) for name, some in bodies.items()}
        found |= _driven(arms, turns)
    return found | _ratios(found, tuple(bodies))


def workers(fleet: Fleet, bodies: Sequence[bytes], parent: Path, turns: Turns) -> dict[str, Any]:
    """Two workers beside one, the load on the same two cores; what they share and do not in memory."""
    wrk = Wrk(bodies, parent, "workers")
    found: dict[str, Any] = {"load_on_the_same_cores": True}
    for count in (1, 2):
        with started(fleet, parent, workers=count) as service:
            opened(fleet, service, count)
            memory = service.memory
            found |= {f"{count}_rss_bytes": memory.rss, f"{count}_pss_bytes": memory.pss}
            if why := missing():
                found["skipped"] = why
                continue
            before = service.cpu_seconds_each
            drives = [wrk.drive(service.port, "/predict", MANY, turns.seconds, None) for _ in range(turns.rounds)]
            used = [after - b for after, b in zip(service.cpu_seconds_each, before, strict=True)]
            found[f"{count}_requests_a_second"] = float(np.median([one.requests_a_second for one in drives]))
            found[f"{count}_p99_ms"] = float(np.median([one.p99_ms for one in drives]))
            found[f"{count}_failed"] = sum(one.failed for one in drives)
            found[f"{count}_busiest_share_of_cpu"] = max(used) / sum(used)
    found["pss_ratio"] = found["2_pss_bytes"] / found["1_pss_bytes"]
    if not missing():
        found["requests_ratio"] = found["2_requests_a_second"] / found["1_requests_a_second"]
    return found


def cpu_ms(
    service: Service,
    bodies: Sequence[bytes],
    headers: Mapping[str, str] = HEADERS,
    path: str = "/predict",
    connections: int = 1,
) -> float:
    """Processor time of the server a request, the median of some turns; with connections enough it is never idle."""
    used = []
    with on(LOAD), ThreadPoolExecutor(connections) as pool:
        for _ in range(1 + CPU_TURNS):
            before = service.cpu_seconds
            for done in [
                pool.submit(_post, service, bodies[i::connections], path, headers) for i in range(connections)
            ]:
                done.result()
            used.append((service.cpu_seconds - before) / len(bodies))
    return float(np.median(used[1:])) * 1e3


def _post(service: Service, bodies: Sequence[bytes], path: str, headers: Mapping[str, str]) -> None:
    with service.client() as client:
        for body in bodies:
            client.post(body, headers, path)


def _driven(arms: Mapping[str, Arm], turns: Turns) -> dict[str, float]:
    """Medians over rounds in which every arm has a turn."""
    drives: dict[str, list[Drive]] = {}
    for turn in range(turns.rounds):
        for connections in CONNECTIONS:
            for name in random.Random(turn).sample(sorted(arms), len(arms)):
                arm = arms[name]
                drive = arm.wrk.drive(arm.service.port, arm.path, connections, turns.seconds, LOAD)
                drives.setdefault(f"{name}_{connections}", []).append(drive)
    found: dict[str, float] = {"failed": sum(one.failed for some in drives.values() for one in some)}
    for name, some in drives.items():
        for figure in ("requests_a_second", "p50_ms", "p99_ms"):
            found[f"{name}_{figure}"] = float(np.median([getattr(one, figure) for one in some]))
        found[f"{name}_requests"] = sum(one.requests for one in some)
    return found


def _ratios(found: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    ratios = {}
    for name in names:
        for connections in CONNECTIONS:
            own, ceiling = f"{name}_{connections}", f"bare_{connections}"
            ratios[f"{own}_share_of_bare"] = found[f"{own}_requests_a_second"] / found[f"{ceiling}_requests_a_second"]
            ratios[f"{own}_p99_over_bare"] = found[f"{own}_p99_ms"] / found[f"{ceiling}_p99_ms"]
        ratios[f"{name}_share_of_in_process"] = (
            found[f"{name}_{CONNECTIONS[-1]}_requests_a_second"] / found[f"{name}_in_process_a_second"]
        )
    return ratios


def _checked(service: Service, predictor: Predictor, bodies: Sequence[bytes]) -> tuple[int, int]:
    """How many answers are not, byte by byte, what the predictor has to say; and the usual size of one."""
    wrong, sizes = 0, []
    with service.client() as client:
        for body in bodies:
            joined = decode(body, BOUNDS)
            answer = posted(client, body)
            wrong += [answer] != encode(joined, predictor.score(joined.query))
            sizes.append(len(answer))
    return wrong, int(np.median(sizes))


def _kernel(predictor: Predictor, bodies: Sequence[bytes]) -> float:
    """Decoded requests scored a second in process."""
    queries = [decode(body, BOUNDS).query for body in bodies]
    for query in queries:  # every shard open
        predictor.score(query)
    with on(SERVER):
        begun = time.process_time()
        for query in queries:
            predictor.score(query)
        return len(queries) / (time.process_time() - begun)
