"""Latency of a tick in each format, compared with the bare server and with the predictor in this process."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from bench.shared.cpu_pinning import LOAD_CORE, SERVER_CORE, running_on
from bench.shared.fleet import Fleet, open_predictor
from bench.shared.fleet_service import open_all_shards, serving_fleet
from bench.shared.service import Client, Service
from bench.speed.bare_asgi import serving_bare
from bench.speed.tick_formats import AGGREGATED_FORMATS, FORMATS, Format, TickScores, TickSource
from myriad.serving.predictor import Predictor

LIMITS: Mapping[str, Any] = {
    "max_body_bytes": 1 << 30,
    "max_points": 2_000_000,
    "max_series": 2_000_000,
    "body_seconds": 600,
    "max_answer_bytes": 1 << 30,
}
"""Settings of a service that accepts a tick of a million series in any format."""

ROWS, MAX_ROWS_SERIES = "json_rows", 100_000
"""Larger ticks are not measured in JSON rows: their answer has 0.8 kB a series."""
COUNTS = frozenset(("bytes_in", "bytes_out", "wrong", "unscored"))
"""Figures of which the maximum over rounds is reported in place of the median."""
REPEATS = 3
T = TypeVar("T")


@dataclass(frozen=True)
class Targets:
    """What is measured: a service, the bare server, and a predictor in this process; every shard is open."""

    service: Service
    bare: Service
    predictor: Predictor


class Ticks(NamedTuple):
    """Ticks of the same series a minute apart: the first is in an order that is new, the others are in that order."""

    first: pa.Table
    second: pa.Table
    following: pa.Table


class Timing(NamedTuple):
    """Seconds of a request, processor seconds of the server, and the answer."""

    seconds: float
    cpu_seconds: float
    answer: bytes


class InProcess(NamedTuple):
    """Figures of ticks in this process, and the scores of the following tick."""

    figures: dict[str, float]
    scores: TickScores


def measure(fleet: Fleet, targets: Targets, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Figures of ticks of points and aggregated ticks, in every format and in process.

    Args:
        fleet: to take the series from, in order of host.
        targets: to measure.
        count: series in a tick.
        rounds: in each of which every format has a turn; medians over rounds are reported.
    """
    source = TickSource(fleet.by_host[:count])
    kinds = [(name, False) for name in FORMATS if name != ROWS or count <= MAX_ROWS_SERIES]
    kinds += [(name, True) for name in AGGREGATED_FORMATS]
    by_round: dict[str, list[dict[str, float]]] = {}
    for turn in range(rounds):
        for place, (name, aggregated) in enumerate(random.Random(turn).sample(kinds, len(kinds))):
            order = 1 + turn * len(kinds) + place
            ticks = Ticks(*(source.table(minute, order, aggregated=aggregated) for minute in (0, 1, 2)))
            in_process = _measure_in_process(targets.predictor, ticks)
            by_round.setdefault(_key("in_process", aggregated), []).append(in_process.figures)
            over_http = _measure_over_http(FORMATS[name], targets, ticks, in_process.scores)
            by_round.setdefault(_key(name, aggregated), []).append(over_http)
    figures = {key: _medians(measured, count) for key, measured in by_round.items()}
    for name, aggregated in kinds:
        medians, inside = figures[_key(name, aggregated)], figures[_key("in_process", aggregated)]
        medians["share_of_in_process"] = inside["following_seconds"] / medians["following_seconds"]
        medians["share_of_kernel"] = inside["kernel_seconds"] / medians["following_seconds"]
    return figures


@contextlib.contextmanager
def running_targets(fleet: Fleet, log_directory: Path) -> Iterator[Targets]:
    """The targets for ticks of a fleet, warmed up, with both servers on one core."""
    predictor = open_predictor(fleet)
    with (
        serving_fleet(fleet, log_directory, core=SERVER_CORE, **LIMITS) as service,
        serving_bare(log_directory / "bare.log", SERVER_CORE) as bare,
    ):
        open_all_shards(fleet, service, 1)
        table = TickSource(fleet.one_per_shard(random.Random(13))).table(0)
        predictor.predict_table(table)
        with service.client() as client:
            for format_ in FORMATS.values():  # imports of a format are not timed
                post_tick(client, format_, format_.body(table))
        yield Targets(service, bare, predictor)


def post_tick(client: Client, format_: Format, body: bytes, path: str = "/predict") -> bytes:
    """The answer to a tick.

    Raises:
        RuntimeError: the status is not 200.
    """
    status, answer = client.post(body, format_.headers, path)
    if status != 200:
        raise RuntimeError(f"a tick of {format_.media_type} was answered {status}: {answer[:300]!r}")
    return answer


def _measure_over_http(format_: Format, targets: Targets, ticks: Ticks, expected: TickScores) -> dict[str, float]:
    """The ticks to the service, and the following one to the bare server.

    At the second tick, and then once in a quarter of an hour, the service prepares what the ticks that follow use.
    """
    service, bare = targets.service, targets.bare
    with running_on(LOAD_CORE), service.client() as client, bare.client() as bare_client:
        first_body, second_body, body = map(format_.body, ticks)
        first = _time_request(service, lambda: post_tick(client, format_, first_body))
        second = _time_request(service, lambda: post_tick(client, format_, second_body))
        following = _time_request(service, lambda: post_tick(client, format_, body))
        size = len(following.answer)
        ceiling = _time_request(bare, lambda: post_tick(bare_client, format_, body, f"/{size}"))
    statuses, scores = format_.scores(following.answer)
    same_score = np.isclose(scores, expected.scores, rtol=1e-12, atol=0, equal_nan=True)
    other_status = np.array([a != b for a, b in zip(statuses, expected.statuses, strict=True)])
    return {
        "first_seconds": first.seconds,
        "second_seconds": second.seconds,
        "following_seconds": following.seconds,
        "following_cpu_seconds": following.cpu_seconds,
        "bare_seconds": ceiling.seconds,
        "bare_cpu_seconds": ceiling.cpu_seconds,
        "bytes_in": len(body),
        "bytes_out": size,
        "wrong": int((other_status | ~same_score).sum()),
        "unscored": int(np.isnan(scores).sum()),
    }


def _measure_in_process(predictor: Predictor, ticks: Ticks) -> InProcess:
    """The ticks without HTTP and formats, and the arithmetic alone."""
    with running_on(SERVER_CORE):
        _, first_seconds = _time(lambda: predictor.predict_table(ticks.first))
        answer, following_seconds = _time_repeatedly(lambda: predictor.predict_table(ticks.following))
        _, asked = predictor.score_table(ticks.following, None, "weighted")
        _, kernel_seconds = _time_repeatedly(lambda: predictor.score(asked.query))
    figures = {
        "first_seconds": first_seconds,
        "following_seconds": following_seconds,
        "kernel_seconds": kernel_seconds,
    }
    return InProcess(figures, TickScores(answer["status"].to_pylist(), np.asarray(answer["score"], np.float64)))


def _time_request(service: Service, call: Callable[[], bytes]) -> Timing:
    before = service.cpu_seconds
    answer, seconds = _time(call)
    return Timing(seconds, service.cpu_seconds - before, answer)


def _time(call: Callable[[], T]) -> tuple[T, float]:
    """The result of a call, and the seconds it took."""
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def _time_repeatedly(call: Callable[[], T]) -> tuple[T, float]:
    """The result of the last of several calls, and the median seconds of one."""
    timed = [_time(call) for _ in range(REPEATS)]
    return timed[-1][0], float(np.median([seconds for _, seconds in timed]))


def _medians(by_round: Sequence[Mapping[str, float]], count: int) -> dict[str, Any]:
    medians: dict[str, Any] = {name: float(np.median([row[name] for row in by_round])) for name in by_round[0]}
    for name in COUNTS & medians.keys():
        medians[name] = max(int(row[name]) for row in by_round)
    for tick in ("first", "following"):
        medians[f"{tick}_series_a_second"] = count / medians[f"{tick}_seconds"]
    if "bare_seconds" in medians:
        medians["over_bare"] = medians["following_seconds"] / medians["bare_seconds"]
    return medians | {"series": count, "rounds": len(by_round)}


def _key(name: str, aggregated: bool) -> str:
    return f"{name}_windows" if aggregated else name
