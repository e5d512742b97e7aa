"""Stages: where the processor time of a request goes, from timers around the functions it passes through in process.

At every moment one stage is charged: that of the innermost function being timed. What no stage claims is `app`: the
endpoint, the cache, metrics. What the server uses beyond all that is `http`: uvicorn and the sockets.
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

from bench.fleet import LOCAL_BYTES, Fleet
from bench.ticking import BOUNDS
from myriad.serving.app import create_app
from myriad.serving.settings import Settings

STAGES: Mapping[str, Sequence[str]] = {
    "decode": ("predict:decode", "predict:parse", "together:join", "coding:decoded", "bulk:read", "predictor:tabular"),
    "resolve": ("resolution:Remembered.grouping", "predictor:labels_of", "scoring:resolve",
                "resolution:Resolution.of"),
    "aggregate": ("scoring:_values",),
    "predict": ("scoring:_predict_together", "scoring:_predict_in_place"),
    "combine": ("scoring:_scores",),
    "encode": ("together:encode", "bulk:write", "bulk:_to_json", "bulk:_to_ndjson", "bulk:_to_arrow", "coding:encoded"),
}  # fmt: skip
"""By stage the functions of `serving` timed, as module:name; those that are not there are passed over, not all."""
REST = "app"
WARM, TURNS, TOP = 5, 10, 20
ROOT = Path(__file__).parent.parent
HOUSE = ("models", "adapters", "storage", "serving")
Meter = Callable[[], contextlib.AbstractContextManager[Any]]


class Timers:
    """Processor seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stages, self._since = [REST], time.process_time()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, charging its time to a stage; a generator's too, while it runs."""

        def charged(*args: Any, **kwargs: Any) -> Any:
            self.lap()
            self._stages.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.lap()
                self._stages.pop()

        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            steps, sent = function(*args, **kwargs), None
            step = self.timed(stage, steps.send)
            while True:
                try:
                    given = step(sent)
                except StopIteration as done:
                    return done.value
                sent = yield given

        return generator if inspect.isgeneratorfunction(function) else charged

    def lap(self) -> None:
        """Charge what has been used so far."""
        now = time.process_time()
        self.seconds[self._stages[-1]] += now - self._since
        self._since = now

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Charge what is used in the block, and nothing between two of them."""
        self._since = time.process_time()
        try:
            yield
        finally:
            self.lap()


def figures(
    fleet: Fleet, bodies: Sequence[bytes], headers: Mapping[str, str], times: int, server_cpu_ms: float
) -> dict[str, float]:
    """Shares of the processor time of a request, and milliseconds of all of it.

    Args:
        fleet: to ask.
        bodies: of requests, sent in turns; each once before anything is timed.
        headers: of all of them.
        times: how many to time.
        server_cpu_ms: what such a request costs a server: that what is timed here is less by is `http`.
    """
    plain, timers = Timers(), Timers()
    asyncio.run(_asked(fleet, bodies, headers, times, (plain.running, lambda: _timing(timers))))
    inside, charged = sum(plain.seconds.values()) / times * 1e3, sum(timers.seconds.values())
    by_stage = {stage: timers.seconds[stage] / charged * inside for stage in (*STAGES, REST)}
    by_stage["http"] = max(0.0, server_cpu_ms - inside)
    whole = sum(by_stage.values())
    shares = {f"{stage}_share": ms / whole for stage, ms in by_stage.items()}
    slowed = charged / times * 1e3 / inside
    return {**shares, "in_process_ms": inside, "server_cpu_ms": server_cpu_ms, "slowed_by_timers": slowed}


def top(fleet: Fleet, bodies: Sequence[bytes], headers: Mapping[str, str], times: int) -> dict[str, float]:
    """Our functions with most time in them and what they call, as shares of all of it, from a profiler.

    A profiler slows calls and not what a call does, so that many small ones look worse than they are.
    """
    profile = cProfile.Profile(time.process_time)
    with mock.patch("asyncio.to_thread", _at_once):  # a profiler sees one thread
        asyncio.run(_asked(fleet, bodies, headers, times, (lambda: profile,)))
    stats: Any = pstats.Stats(profile)
    ours: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, _, seconds, _) in stats.stats.items():
        if Path(file).is_relative_to(ROOT) and Path(file).parent.name in HOUSE:
            ours[f"{Path(file).relative_to(ROOT)}:{name}"] += seconds / stats.total_tt
    return dict(sorted(ours.items(), key=lambda one: -one[1])[:TOP])


async def _at_once(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


async def _asked(
    fleet: Fleet, bodies: Sequence[bytes], headers: Mapping[str, str], times: int, meters: Sequence[Meter]
) -> None:
    """Post the bodies to the app, without a server; each of the meters runs in turns, once everything is warm."""
    given: dict[str, Any] = {**BOUNDS, "store": fleet.store, "local_directory": str(fleet.directory)}
    settings = Settings(**given, cache_bytes=3 * fleet.raw_bytes, local_bytes=LOCAL_BYTES, poll_seconds=3600)
    async with _app(settings) as app:
        for body in [*bodies, *bodies[:WARM]]:
            await _post(app, body, headers)
        for turn in range(TURNS):
            for meter in meters:
                with meter():
                    for number in range(turn, times, TURNS):
                        await _post(app, bodies[number % len(bodies)], headers)


@contextlib.asynccontextmanager
async def _app(settings: Settings) -> AsyncIterator[Any]:
    """The service once it has its release."""
    app = create_app(settings)
    async with app.app.router.lifespan_context(app.app):
        while await _get(app, "/health/ready") != 200:
            await asyncio.sleep(0.01)
        yield app


async def _post(app: Any, body: bytes, headers: Mapping[str, str]) -> None:
    if (status := await _sent(app, "POST", "/predict", headers, body)) != 200:
        raise RuntimeError(f"/predict answered {status}")


async def _get(app: Any, path: str) -> int:
    return await _sent(app, "GET", path, {}, b"")


async def _sent(app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
    """The status that a request is answered with."""
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
def _timing(timers: Timers) -> Iterator[None]:
    """The functions of the stages timed as long as the block lasts."""
    with contextlib.ExitStack() as stack:
        for stage, targets in STAGES.items():
            found = [target for target in targets if _wrap(timers, stage, f"serving.{target}", stack)]
            if not found:
                raise RuntimeError(f"nothing of the stage {stage!r} is in serving any more: correct bench/stages.py")
        with timers.running():
            yield


def _wrap(timers: Timers, stage: str, target: str, stack: contextlib.ExitStack) -> bool:
    of, _, name = target.rpartition("." if "." in target.partition(":")[2] else ":")
    try:
        owner = pkgutil.resolve_name(of)
        function = getattr(owner, name)
    except (AttributeError, ImportError):
        return False
    setattr(owner, name, timers.timed(stage, function))
    stack.callback(setattr, owner, name, function)
    return True
