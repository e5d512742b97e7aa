"""Locust: a telemetry pipeline, engineers asking for single series, and a mixed fleet; see docs/load-testing.md."""

import gzip
import itertools
import json
import random
import time
from argparse import Namespace
from typing import Any

from locust import FastHttpUser, constant_pacing, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from myriad.training.fleets import reference, synthetic

POINTS = 60
ROLES = ("web", "api", "db", "cache", "batch")
JSON, NDJSON = "application/json", "application/x-ndjson"
WRONG_NAMES = "no series has a model: do --fleet, --regions and --hosts name what is served?"


class Names:
    """The series of a fleet by number, host after host, and which of them are asked for most."""

    def __init__(self, options: Namespace) -> None:
        self._reference = options.fleet == "synth"
        naming: Any = reference if self._reference else synthetic
        self._regions = naming.REGIONS[: options.regions]
        self._metrics, self._hosts = tuple(naming.METRICS), options.hosts
        self.count = len(self._regions) * self._hosts * len(self._metrics)
        weights = (1 / rank**options.zipf for rank in range(1, self.count + 1))
        self._popularity = list(itertools.accumulate(weights))

    def __getitem__(self, number: int) -> dict[str, str]:
        """A series."""
        host, metric = divmod(number % self.count, len(self._metrics))
        region, host = divmod(host, self._hosts)
        name = f"{ROLES[host % len(ROLES)]}-{host:05d}" if self._reference else f"web-{host:03d}"
        return {"region": self._regions[region], "host": name, "metric": self._metrics[metric]}

    def popular(self) -> dict[str, str]:
        """A series drawn by its popularity, which has nothing to do with where it is stored."""
        (rank,) = random.choices(range(self.count), cum_weights=self._popularity)
        return self[rank * 7919]

    def some(self, count: int) -> list[dict[str, str]]:
        """Series one after the other, from any."""
        first = random.randrange(self.count)
        return [self[first + i] for i in range(min(count, self.count))]


class Telemetry(FastHttpUser):
    """What all users have in common; sends nothing by itself."""

    abstract = True
    kind = ""

    @property
    def options(self) -> Namespace:
        """From the command line."""
        assert self.environment.parsed_options is not None
        return self.environment.parsed_options

    def predict(self, what: str, body: Any, media_type: str = JSON, coding: str = "identity") -> None:
        """Post a request; an error is a failure with the problem's title, and so is an answer without any score."""
        headers = {"content-type": media_type, "content-encoding": coding}
        name = f"{self.kind}: {what}"
        with self.client.post("/predict", data=body, headers=headers, name=name, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(_title(answer))
            elif b'"ok"' not in (told := answer.content or b"") and b'"fallback"' not in told:
                answer.failure(WRONG_NAMES)

    def tick(self, *values: str) -> dict[str, list[Any]]:
        """Columns with a new point of each of some series, or with its means at windows."""
        series = names_of(self.environment).some(self.options.tick_series)
        columns: dict[str, list[Any]] = {part: [one[part] for one in series] for part in ("region", "host", "metric")}
        columns["timestamp"] = [_minute()] * len(series)
        return columns | {name: [_value() for _ in series] for name in values or ("value",)}

    def hour(self, **options: Any) -> bytes:
        """A request for the last hour of one series, the popular ones more often."""
        now = _minute()
        points = [{"timestamp": now - 60 * i, "value": _value()} for i in range(POINTS)]
        return _dumped({**names_of(self.environment).popular(), "datapoints": points, **options})


class Pipeline(Telemetry):
    """Posts a tick in columns every so often: new points, and from time to time values it has aggregated itself."""

    kind = "pipeline"

    def wait_time(self) -> float:
        """Until the next tick is due."""
        pace: float = constant_pacing(self.options.tick_seconds)(self)
        return pace

    @task(3)
    def points(self) -> None:
        """New points."""
        self.predict("tick of points", _dumped(self.tick()))

    @task
    def windows(self) -> None:
        """Means at three windows."""
        self.predict("tick of windows", _dumped(self.tick("1m", "15m", "1h")))


class Engineer(Telemetry):
    """Looks at one series after the other, at some much more often than at others."""

    kind = "engineer"

    def wait_time(self) -> float:
        """A look."""
        return random.expovariate(1 / max(self.options.think_seconds, 1e-3))

    @task(4)
    def look(self) -> None:
        """The last hour."""
        self.predict("one series", self.hour())

    @task
    def look_closely(self) -> None:
        """With bands, at two windows."""
        self.predict("one series with bands", self.hour(bands=True, windows=["1m", "15m"]))


class Mixed(Telemetry):
    """Clients of all sorts: ticks in several formats, lists, single series, a look at what is served."""

    kind = "mixed"

    def wait_time(self) -> float:
        """As an engineer."""
        return random.expovariate(1 / max(self.options.think_seconds, 1e-3))

    @task(4)
    def one(self) -> None:
        """The last hour of a series."""
        self.predict("one series", self.hour())

    @task(2)
    def few(self) -> None:
        """A list of series."""
        points = [{"timestamp": _minute(), "value": _value()}]
        series = [{**one, "datapoints": points} for one in names_of(self.environment).some(10)]
        self.predict("ten series", _dumped({"windows": ["1m"], "series": series}))

    @task(2)
    def lines(self) -> None:
        """A tick, a line a point."""
        columns = self.tick()
        rows = zip(*columns.values(), strict=True)
        self.predict("tick in lines", b"\n".join(_dumped(dict(zip(columns, row, strict=True))) for row in rows), NDJSON)

    @task
    def packed(self) -> None:
        """A tick, compressed both ways."""
        self.predict("tick, gzip", gzip.compress(_dumped(self.tick()), 1), coding="gzip")

    @task
    def release(self) -> None:
        """Which release is served."""
        with self.client.get("/releases/current", name="mixed: release", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(_title(answer))


_NAMES: dict[int, Names] = {}


def names_of(environment: Environment) -> Names:
    """The series of the fleet the options name."""
    assert environment.parsed_options is not None
    return _NAMES.setdefault(id(environment), Names(environment.parsed_options))


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add(parser: LocustArgumentParser) -> None:
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


@events.init.add_listener  # type: ignore[untyped-decorator]
def _weigh(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    Pipeline.weight, Engineer.weight, Mixed.weight = options.pipelines, options.engineers, options.mixed
    names_of(environment)


def _title(answer: Any) -> str:
    """Of the problem document; what else went wrong where there is none."""
    try:
        problem = json.loads(answer.content)
        return f"{answer.status_code} {problem['title']}"
    except (ValueError, TypeError, KeyError):
        return f"{answer.status_code} {answer.error or 'no problem document'}"


def _dumped(what: Any) -> bytes:
    return json.dumps(what, separators=(",", ":")).encode()


def _minute() -> int:
    return int(time.time()) // 60 * 60


def _value() -> float:
    return round(random.lognormvariate(3, 1), 3)
