"""Locust users: a telemetry pipeline, engineers who request single series, and mixed clients.

See docs/load-testing.md.
"""

import gzip
import itertools
import json
import random
import time
from argparse import Namespace
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust import FastHttpUser, constant_pacing, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from myriad.training.fleets import reference, synthetic

POINTS = 60
ROLES = ("web", "api", "db", "cache", "batch")
JSON, NDJSON = "application/json", "application/x-ndjson"
NO_MODEL = "no series has a model: do --fleet, --regions and --hosts name what is served?"


class FleetSeries:
    """The labels of the series of a fleet, numbered host by host, with a Zipf popularity."""

    def __init__(self, options: Namespace) -> None:
        self._is_reference = options.fleet == "synth"
        fleet: Any = reference if self._is_reference else synthetic
        self._regions = fleet.REGIONS[: options.regions]
        self._metrics, self._hosts = tuple(fleet.METRICS), options.hosts
        self.count = len(self._regions) * self._hosts * len(self._metrics)
        weights = (1 / rank**options.zipf for rank in range(1, self.count + 1))
        self._cumulative_weights = list(itertools.accumulate(weights))

    def __getitem__(self, number: int) -> dict[str, str]:
        """The labels of a series, by its number modulo `count`."""
        host, metric = divmod(number % self.count, len(self._metrics))
        region, host = divmod(host, self._hosts)
        name = f"{ROLES[host % len(ROLES)]}-{host:05d}" if self._is_reference else f"web-{host:03d}"
        return {"region": self._regions[region], "host": name, "metric": self._metrics[metric]}

    def popular(self) -> dict[str, str]:
        """A series drawn by popularity, which is independent of the shard it is in."""
        (rank,) = random.choices(range(self.count), cum_weights=self._cumulative_weights)
        return self[rank * 7919]

    def consecutive(self, count: int) -> list[dict[str, str]]:
        """Consecutive series from a random start, at most all."""
        first = random.randrange(self.count)
        return [self[first + i] for i in range(min(count, self.count))]


class Telemetry(FastHttpUser):
    """Base class of the users."""

    abstract = True
    kind = ""

    @property
    def options(self) -> Namespace:
        """The command line options."""
        assert self.environment.parsed_options is not None
        return self.environment.parsed_options

    def predict(self, what: str, body: Any, media_type: str = JSON, coding: str = "identity") -> None:
        """Post a request; an error status is a failure, and so is an answer without any score.

        Args:
            what: kind of request, for its name in the statistics.
            body: of the request.
            media_type: of the body.
            coding: content encoding of the body.
        """
        headers = {"content-type": media_type, "content-encoding": coding}
        name = f"{self.kind}: {what}"
        with self.client.post("/predict", data=body, headers=headers, name=name, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(_title(answer))
            elif b'"ok"' not in (content := answer.content or b"") and b'"fallback"' not in content:
                answer.failure(NO_MODEL)

    def tick(self, *windows: str) -> dict[str, list[Any]]:
        """Columns with a new point of each of several series, or with its means at windows."""
        series = fleet_series(self.environment).consecutive(self.options.tick_series)
        names = ("region", "host", "metric")
        columns: dict[str, list[Any]] = {name: [labels[name] for labels in series] for name in names}
        columns["timestamp"] = [_minute()] * len(series)
        return columns | {name: [_value() for _ in series] for name in windows or ("value",)}

    def hour(self, **options: Any) -> bytes:
        """The body of a request for the last hour of one series, drawn by popularity."""
        now = _minute()
        points = [{"timestamp": now - 60 * i, "value": _value()} for i in range(POINTS)]
        return _json({**fleet_series(self.environment).popular(), "datapoints": points, **options})


class Pipeline(Telemetry):
    """Posts a tick in columns at regular intervals: new points, and sometimes values it has aggregated itself."""

    kind = "pipeline"

    def wait_time(self) -> float:
        """Seconds until the next tick is due."""
        seconds: float = constant_pacing(self.options.tick_seconds)(self)
        return seconds

    @task(3)
    def points(self) -> None:
        """New points."""
        self.predict("tick of points", _json(self.tick()))

    @task
    def windows(self) -> None:
        """Means at three windows."""
        self.predict("tick of windows", _json(self.tick("1m", "15m", "1h")))


class Engineer(Telemetry):
    """Requests one series after the other, popular ones more often."""

    kind = "engineer"

    def wait_time(self) -> float:
        """Think time in seconds."""
        return random.expovariate(1 / max(self.options.think_seconds, 1e-3))

    @task(4)
    def look(self) -> None:
        """The last hour of a series."""
        self.predict("one series", self.hour())

    @task
    def look_closely(self) -> None:
        """The last hour with bands, at two windows."""
        self.predict("one series with bands", self.hour(bands=True, windows=["1m", "15m"]))


class Mixed(Telemetry):
    """Various clients: ticks in several formats, lists, single series, the current release."""

    kind = "mixed"

    def wait_time(self) -> float:
        """Think time in seconds."""
        return random.expovariate(1 / max(self.options.think_seconds, 1e-3))

    @task(4)
    def one(self) -> None:
        """The last hour of a series."""
        self.predict("one series", self.hour())

    @task(2)
    def few(self) -> None:
        """A list of series."""
        points = [{"timestamp": _minute(), "value": _value()}]
        series = [{**labels, "datapoints": points} for labels in fleet_series(self.environment).consecutive(10)]
        self.predict("ten series", _json({"windows": ["1m"], "series": series}))

    @task(2)
    def lines(self) -> None:
        """A tick in NDJSON, one line for each point."""
        columns = self.tick()
        rows = zip(*columns.values(), strict=True)
        self.predict("tick in lines", b"\n".join(_json(dict(zip(columns, row, strict=True))) for row in rows), NDJSON)

    @task
    def packed(self) -> None:
        """A tick compressed with gzip."""
        self.predict("tick, gzip", gzip.compress(_json(self.tick()), 1), coding="gzip")

    @task
    def release(self) -> None:
        """The current release."""
        with self.client.get("/releases/current", name="mixed: release", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(_title(answer))


_SERIES: dict[int, FleetSeries] = {}


def fleet_series(environment: Environment) -> FleetSeries:
    """The series of the fleet that the options describe."""
    assert environment.parsed_options is not None
    return _SERIES.setdefault(id(environment), FleetSeries(environment.parsed_options))


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_options(parser: LocustArgumentParser) -> None:
    fleet = parser.add_argument_group("fleet")
    fleet.add_argument("--fleet", choices=["demo", "synth"], default="demo", help="Names as `myriad demo` or `synth`'s")
    fleet.add_argument("--regions", type=int, default=2, help="How many of its regions")
    fleet.add_argument("--hosts", type=int, default=20, help="Hosts in each of them")
    fleet.add_argument("--zipf", type=float, default=1.1, help="A series' popularity falls with its rank to this power")
    load = parser.add_argument_group("load")
    load.add_argument("--tick-series", type=int, default=1000, help="Series in a tick, at most")
    load.add_argument("--tick-seconds", type=float, default=1.0, help="Between two ticks of a pipeline")
    load.add_argument("--think-seconds", type=float, default=0.2, help="Between two requests of the others, on average")
    load.add_argument("--pipelines", type=int, default=1, help="Weight of pipelines among the users")
    load.add_argument("--engineers", type=int, default=3, help="Weight of engineers")
    load.add_argument("--mixed", type=int, default=1, help="Weight of mixed clients")
    load.add_argument("--requests", type=int, default=0, help="End once each kind of user has sent so many; 0: never")


@events.init.add_listener  # type: ignore[untyped-decorator]
def _set_weights(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    Pipeline.weight, Engineer.weight, Mixed.weight = options.pipelines, options.engineers, options.mixed
    fleet_series(environment)
    if options.requests:
        ending: list[Any] = []
        left = {kind.kind: options.requests for kind in (Pipeline, Engineer, Mixed) if kind.weight}

        def count(name: str, **_: Any) -> None:
            left[name.partition(":")[0]] -= 1
            if max(left.values()) <= 0 and environment.runner and not ending:
                # In a greenlet of its own: it waits for the one that is in this call.
                ending.append(gevent.spawn(environment.runner.quit))

        environment.events.request.add_listener(count)  # type: ignore[no-untyped-call]


def _title(answer: Any) -> str:
    """Status and title of the problem document, or of the error if there is none."""
    try:
        problem = json.loads(answer.content)
        return f"{answer.status_code} {problem['title']}"
    except (ValueError, TypeError, KeyError):
        return f"{answer.status_code} {answer.error or 'no problem document'}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _minute() -> int:
    return int(time.time()) // 60 * 60


def _value() -> float:
    return round(random.lognormvariate(3, 1), 3)
