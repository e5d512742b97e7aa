"""Ticking: how long a tick takes in each format, beside the bare server and beside no HTTP."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.bare import bare
from bench.cores import LOAD, SERVER, on
from bench.fleet import Fleet, predictor
from bench.latency import started
from bench.load import opened
from bench.service import Client, Service
from bench.ticks import FORMATS, IN_COLUMNS, Format, Source
from myriad.serving.predictor import Predictor

BOUNDS: Mapping[str, Any] = {
    "max_body_bytes": 1 << 30,
    "max_points": 2_000_000,
    "max_series": 2_000_000,
    "body_seconds": 600,
}
"""Settings with which a service takes a tick of a million in any format."""

ROWS, MOST_ROWS = "json_rows", 100_000
"""Rows are answered a series at a time, 0.8 kB each: a larger tick of them is not measured."""
COUNTS = frozenset(("bytes_in", "bytes_out", "wrong", "unscored"))
T = TypeVar("T")


@dataclass(frozen=True)
class Arms:
    """What ticks are sent to: the service, the bare server, and the predictor in this process; the whole fleet open."""

    service: Service
    ceiling: Service
    predictor: Predictor


@dataclass(frozen=True)
class Told:
    """A request: seconds, processor seconds of the server, and what it answered."""

    seconds: float
    cpu_seconds: float
    answer: bytes


def figures(fleet: Fleet, arms: Arms, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Figures of ticks of `count` series in every format and in process, points and then windows.

    A first tick brings series in an order not seen before; a following one brings them in that order a minute later.

    Args:
        fleet: to take the series of, host after host.
        arms: to send to.
        count: of series.
        rounds: in each of which every format has a turn; the median counts.
    """
    source = Source(fleet.by_host[:count])
    kinds = [(name, False) for name in FORMATS if name != ROWS or count <= MOST_ROWS]
    kinds += [(name, True) for name in IN_COLUMNS]
    told: dict[str, list[dict[str, float]]] = {}
    for turn in range(rounds):
        for place, (name, aggregated) in enumerate(random.Random(turn).sample(kinds, len(kinds))):
            order = 1 + turn * len(kinds) + place
            first, following = (source.table(minute, order, aggregated=aggregated) for minute in (0, 1))
            inside, expected = _in_process(arms.predictor, first, following)
            told.setdefault(_name("in_process", aggregated), []).append(inside)
            sent = _sent(FORMATS[name], arms, first, following, expected)
            told.setdefault(_name(name, aggregated), []).append(sent)
    found = {name: _medians(some, count) for name, some in told.items()}
    for name, aggregated in kinds:
        medians, inside = found[_name(name, aggregated)], found[_name("in_process", aggregated)]
        medians["share_of_in_process"] = inside["following_seconds"] / medians["following_seconds"]
        medians["share_of_kernel"] = inside["kernel_seconds"] / medians["following_seconds"]
    return found


@contextlib.contextmanager
def arms(fleet: Fleet, parent: Path) -> Iterator[Arms]:
    """What ticks of a fleet are sent to; the servers on one core."""
    inside = predictor(fleet)
    with started(fleet, parent, core=SERVER, **BOUNDS) as service, bare(parent / "bare.log", SERVER) as ceiling:
        opened(fleet, service, 1)
        some = Source(fleet.one_a_shard(random.Random(13))).table(0)
        inside.predict_table(some)
        with service.client() as client:
            for format_ in FORMATS.values():  # whatever a format needs is there before any is timed
                post(client, format_, format_.body(some))
        yield Arms(service, ceiling, inside)


def post(client: Client, format_: Format, body: bytes, path: str = "/predict") -> bytes:
    """The answer to a tick.

    Raises:
        RuntimeError: it is an error.
    """
    status, answer = client.post(body, format_.headers, path)
    if status != 200:
        raise RuntimeError(f"a tick of {format_.media_type} was answered {status}: {answer[:300]!r}")
    return answer


def _sent(
    format_: Format, arms: Arms, first: pa.Table, following: pa.Table, expected: "tuple[list[str], NDArray[np.float64]]"
) -> dict[str, float]:
    """A first and a following tick to the service, and the latter to the bare server."""
    with on(LOAD), arms.service.client() as client, arms.ceiling.client() as ceiling:
        unknown, body = format_.body(first), format_.body(following)
        cold = _told(arms.service, lambda: post(client, format_, unknown))
        warm = _told(arms.service, lambda: post(client, format_, body))
        bare = _told(arms.ceiling, lambda: post(ceiling, format_, body, f"/{len(warm.answer)}"))
    statuses, scores = format_.scores(warm.answer)
    same = np.isclose(scores, expected[1], rtol=1e-12, atol=0, equal_nan=True)
    differing = np.array([a != b for a, b in zip(statuses, expected[0], strict=True)])
    return {
        "first_seconds": cold.seconds,
        "following_seconds": warm.seconds,
        "following_cpu_seconds": warm.cpu_seconds,
        "bare_seconds": bare.seconds,
        "bare_cpu_seconds": bare.cpu_seconds,
        "bytes_in": len(body),
        "bytes_out": len(warm.answer),
        "wrong": int((differing | ~same).sum()),
        "unscored": int(np.isnan(scores).sum()),
    }


def _in_process(
    predictor: Predictor, first: pa.Table, following: pa.Table
) -> "tuple[dict[str, float], tuple[list[str], NDArray[np.float64]]]":
    """The same without HTTP or any format, and the arithmetic alone; with the following tick's answer."""
    with on(SERVER):
        _, first_seconds = _timed(lambda: predictor.predict_table(first))
        answer, following_seconds = _often(lambda: predictor.predict_table(following))
        scores, asked = predictor.score_table(following, None, "weighted")
        query = replace(asked.query, resolution=scores.resolution)
        _, kernel_seconds = _often(lambda: predictor.score(query))
    inside = {
        "first_seconds": first_seconds,
        "following_seconds": following_seconds,
        "kernel_seconds": kernel_seconds,
    }
    return inside, (answer["status"].to_pylist(), np.asarray(answer["score"], np.float64))


def _told(service: Service, act: Callable[[], bytes]) -> Told:
    before = service.cpu_seconds
    answer, seconds = _timed(act)
    return Told(seconds, service.cpu_seconds - before, answer)


def _timed(act: Callable[[], T]) -> tuple[T, float]:
    begun = time.perf_counter()
    result = act()
    return result, time.perf_counter() - begun


def _often(act: Callable[[], T]) -> tuple[T, float]:
    """The last result, and the median of a few times."""
    several = [_timed(act) for _ in range(3)]
    return several[-1][0], float(np.median([seconds for _, seconds in several]))


def _medians(told: list[dict[str, float]], count: int) -> dict[str, Any]:
    found: dict[str, Any] = {name: float(np.median([one[name] for one in told])) for name in told[0]}
    for name in COUNTS & found.keys():
        found[name] = max(int(one[name]) for one in told)
    for tick in ("first", "following"):
        found[f"{tick}_series_a_second"] = count / found[f"{tick}_seconds"]
    if "bare_seconds" in found:
        found["over_bare"] = found["following_seconds"] / found["bare_seconds"]
    return found | {"series": count, "rounds": len(told)}


def _name(name: str, aggregated: bool) -> str:
    return f"{name}_windows" if aggregated else name
