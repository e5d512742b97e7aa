"""Processor time of a request by stage, from timers around the functions that handle it, in this process.

At any moment the time is charged to one stage: that of the innermost timed function. Time outside all timed functions
is the stage `app`: the endpoint, the cache, metrics. The time a server uses beyond that is the stage `http`: uvicorn
and the sockets.
"""

import asyncio
import contextlib
import cProfile
import inspect
import pkgutil
import pstats
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from bench.shared.fleet import LOCAL_BYTES, Fleet
from bench.speed.tick_latency import LIMITS
from myriad.serving.app import create_app
from myriad.serving.settings import Settings

STAGES: Mapping[str, Sequence[str]] = {
    "at_once": ("predict:PredictEndpoint.answer_at_once",),
    "decode": ("predict:parse", "coding:decompress", "predict:PredictEndpoint._read_table", "predictor:table_query"),
    "resolve": ("resolution:KnownTables.of", "predictor:labels_of", "scoring:resolve"),
    "score": ("scoring:_scored", "scoring:_scored_by_lines", "scoring:_lines"),
    "encode": ("predict:encode", "predict:PredictEndpoint._write_table", "coding:compress"),
}  # fmt: skip
"""The functions of `myriad.serving` that are timed, as module:name, by stage."""
APP = "app"
WARM_UPS, TURNS, TOP = 5, 10, 20
ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "formats", "adapters", "storage", "serving")
"""Folders whose functions are listed in a profile."""
Meter = Callable[[], contextlib.AbstractContextManager[Any]]


class Timers:
    """Processor seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stages, self._since = [APP], time.process_time()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time is charged to a stage; a generator's time while it runs."""

        def charged_call(*args: Any, **kwargs: Any) -> Any:
            self.lap()
            self._stages.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.lap()
                self._stages.pop()

        def charged_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator, received = function(*args, **kwargs), None
            send = self.timed(stage, generator.send)
            while True:
                try:
                    yielded = send(received)
                except StopIteration as stop:
                    return stop.value
                received = yield yielded

        return charged_generator if inspect.isgeneratorfunction(function) else charged_call

    def lap(self) -> None:
        """Charge the time since the last lap to the current stage."""
        now = time.process_time()
        self.seconds[self._stages[-1]] += now - self._since
        self._since = now

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block; time between two blocks is not charged."""
        self._since = time.process_time()
        try:
            yield
        finally:
            self.lap()


def measure(
    fleet: Fleet, bodies: Sequence[bytes], headers: Mapping[str, str], times: int, server_cpu_ms: float
) -> dict[str, float]:
    """Share of each stage in the processor time of a request, and its milliseconds in total.

    The stage `http` is `server_cpu_ms` less the time measured in this process.

    Args:
        fleet: to request.
        bodies: of requests, sent in turns, each once before anything is timed.
        headers: of every request.
        times: number of requests to time.
        server_cpu_ms: processor time of a server for such a request.
    """
    untimed, timers = Timers(), Timers()
    asyncio.run(_post_all(fleet, bodies, headers, times, (untimed.running, lambda: _timing_stages(timers))))
    in_process_ms, charged_seconds = sum(untimed.seconds.values()) / times * 1e3, sum(timers.seconds.values())
    by_stage = {stage: timers.seconds[stage] / charged_seconds * in_process_ms for stage in (*STAGES, APP)}
    by_stage["http"] = max(0.0, server_cpu_ms - in_process_ms)
    total = sum(by_stage.values())
    return {
        **{f"{stage}_share": ms / total for stage, ms in by_stage.items()},
        "in_process_ms": in_process_ms,
        "server_cpu_ms": server_cpu_ms,
        "slowed_by_timers": charged_seconds / times * 1e3 / in_process_ms,
    }


def profile(fleet: Fleet, bodies: Sequence[bytes], headers: Mapping[str, str], times: int) -> dict[str, float]:
    """The functions of Myriad with most cumulative time, as shares of the total, from cProfile.

    A profiler makes each call slower but not the work in it, so that many small calls look worse than they are.
    """
    profiler = cProfile.Profile(time.process_time)
    with mock.patch("asyncio.to_thread", _call_directly):  # a profiler sees one thread
        asyncio.run(_post_all(fleet, bodies, headers, times, (lambda: profiler,)))
    stats: Any = pstats.Stats(profiler)
    shares: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, _, seconds, _) in stats.stats.items():
        if Path(file).is_relative_to(ROOT):
            path = Path(file).relative_to(ROOT)
            if path.parts[0] in PACKAGES:
                shares[f"{path}:{name}"] += seconds / stats.total_tt
    return dict(sorted(shares.items(), key=lambda item: -item[1])[:TOP])


async def _call_directly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


async def _post_all(
    fleet: Fleet, bodies: Sequence[bytes], headers: Mapping[str, str], times: int, meters: Sequence[Meter]
) -> None:
    """Post the bodies to the app without a server; after a warm-up the meters run in turns."""
    given: dict[str, Any] = {**LIMITS, "store": fleet.store, "local_directory": str(fleet.directory)}
    settings = Settings(**given, cache_bytes=3 * fleet.raw_bytes, local_bytes=LOCAL_BYTES, poll_seconds=3600)
    async with _running_app(settings) as app:
        for body in [*bodies, *bodies[:WARM_UPS]]:
            await _post(app, body, headers)
        for turn in range(TURNS):
            for meter in meters:
                with meter():
                    for number in range(turn, times, TURNS):
                        await _post(app, bodies[number % len(bodies)], headers)


@contextlib.asynccontextmanager
async def _running_app(settings: Settings) -> AsyncIterator[Any]:
    """The service, once it is ready."""
    app = create_app(settings)
    async with app.app.router.lifespan_context(app.app):
        while await _get(app, "/health/ready") != 200:
            await asyncio.sleep(0.01)
        yield app


async def _post(app: Any, body: bytes, headers: Mapping[str, str]) -> None:
    if (status := await _request(app, "POST", "/predict", headers, body)) != 200:
        raise RuntimeError(f"/predict answered {status}")


async def _get(app: Any, path: str) -> int:
    return await _request(app, "GET", path, {}, b"")


async def _request(app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
    """The status of the response to a request."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
             "raw_path": path.encode(), "query_string": b"", "headers": raw, "root_path": ""}  # fmt: skip
    await app(scope, receive, send)
    return statuses[0]


@contextlib.contextmanager
def _timing_stages(timers: Timers) -> Iterator[None]:
    """Time the functions of all stages for the duration of the block."""
    with contextlib.ExitStack() as stack:
        for stage, targets in STAGES.items():
            for target in targets:
                owner, name = resolve(target)
                stack.enter_context(mock.patch.object(owner, name, timers.timed(stage, getattr(owner, name))))
        with timers.running():
            yield


def resolve(target: str) -> tuple[Any, str]:
    """The module or class that has a function named in `STAGES`, and the name of the function there.

    Raises:
        RuntimeError: there is no such function.
    """
    owner_name, _, name = target.rpartition("." if "." in target else ":")
    try:
        owner = pkgutil.resolve_name(f"myriad.serving.{owner_name}")
        getattr(owner, name)
    except (AttributeError, ImportError) as exc:
        raise RuntimeError(f"myriad.serving has no {target} any more: correct bench/speed/cpu_by_stage.py") from exc
    return owner, name
