"""examples/arrow_producer.py: what it prints for a fleet, and what it does when the service cannot answer."""

import importlib.util
import itertools
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from tests.conftest import END, Published, Server, refusing_port
from tests.examples.processes import EXAMPLES, run_python

PRODUCER = EXAMPLES / "arrow_producer.py"
INCIDENT = "web-001"
LINE = re.compile(r"(\S+) ([\w-]+)/([\w-]+)/(\w+) (\d+\.\d\d)")
OVERLOADED = 503


class Proxy:
    """Answers as the service, after failures.

    Attributes:
        url: where it is.
        failures: of the next requests: a status to answer with, or None to close the connection without an answer.
        arrivals: when each request came, in seconds of `time.monotonic`.
    """

    def __init__(self, service: httpx.Client, failures: Iterator[int | None]) -> None:
        self.failures = failures
        self.arrivals: list[float] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                proxy.arrivals.append(time.monotonic())
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = next(proxy.failures, 200)
                if status is None:
                    return
                headers = {"content-type": self.headers["Content-Type"], "accept-encoding": "identity"}
                answer = service.post(self.path, content=body, headers=headers) if status == 200 else None
                content = answer.content if answer else b""
                self.send_response(answer.status_code if answer else status)
                self.send_header("Content-Length", str(len(content)))
                if status == OVERLOADED:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def proxy(service: Server) -> Iterator[Callable[..., Proxy]]:
    """Starts a proxy of the service: `proxy([503, None])` fails two requests."""
    started: list[tuple[Proxy, threading.Thread]] = []

    def start(failures: Any) -> Proxy:
        running = Proxy(service.client, iter(failures))
        thread = threading.Thread(target=running.http.serve_forever, args=(0.01,))
        thread.start()
        started.append((running, thread))
        return running

    yield start
    for running, thread in started:
        running.http.shutdown()
        running.http.server_close()
        thread.join()


@pytest.fixture(scope="module")
def telemetry(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last hour of the published fleet, in which there is no incident."""
    path = tmp_path_factory.mktemp("telemetry") / "hour.parquet"
    pq.write_table(published.fleet.table(END - 3600, END), path)
    return path


@pytest.fixture(scope="module")
def producer() -> Any:
    """The example as a module, for what takes too long with its own pauses."""
    spec = importlib.util.spec_from_file_location(PRODUCER.stem, PRODUCER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def produce(url: object, telemetry: Path, *flags: object) -> "subprocess.CompletedProcess[str]":
    return run_python(PRODUCER, url, telemetry, "--interval", 0.1, *flags, cwd=telemetry.parent)


def test_an_incident_host_is_printed_at_every_tick(service: Server, telemetry: Path) -> None:
    done = produce(service.client.base_url, telemetry, "--ticks", 2, "--incident", INCIDENT)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [LINE.fullmatch(line) for line in done.stdout.splitlines()]
    alerts = [line.groups() for line in lines if line]
    assert len(alerts) == len(lines)
    assert {host for _, _, host, _, _ in alerts} == {INCIDENT}
    for when in ("2026-01-04T23:58:00Z", "2026-01-04T23:59:00Z"):
        series = {(region, metric) for tick, region, _, metric, _ in alerts if tick == when}
        assert {(region, "mem_util") for region in ("us-east-1", "eu-west-1")} <= series
    assert all(float(score) > 1 for *_, score in alerts)


def test_nothing_is_printed_of_a_quiet_fleet(service: Server, telemetry: Path) -> None:
    done = produce(service.client.base_url, telemetry, "--ticks", 3)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ticks_are_an_interval_apart(proxy: Callable[..., Proxy], telemetry: Path) -> None:
    server = proxy([])
    done = produce(server.url, telemetry, "--ticks", 3, "--interval", 0.5)
    assert done.returncode == 0, done.stderr
    apart = [after - before for before, after in itertools.pairwise(server.arrivals)]
    assert len(apart) == 2
    assert sum(apart) > 0.8


def test_a_tick_is_posted_again_after_an_overload_and_after_a_lost_connection(
    proxy: Callable[..., Proxy], service: Server, telemetry: Path
) -> None:
    server = proxy([OVERLOADED, None])
    done = produce(server.url, telemetry, "--ticks", 1, "--incident", INCIDENT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == produce(service.client.base_url, telemetry, "--ticks", 1, "--incident", INCIDENT).stdout
    assert "attempt 1 of 5 failed: 503" in done.stderr
    assert "attempt 2 of 5 failed: RemoteProtocolError" in done.stderr
    assert len(server.arrivals) == 3
    assert server.arrivals[1] - server.arrivals[0] >= 1, "the service asked for a second"


def test_attempts_are_bounded(proxy: Callable[..., Proxy], telemetry: Path) -> None:
    server = proxy(itertools.repeat(502))
    done = produce(server.url, telemetry, "--ticks", 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert "was not scored" in done.stderr
    assert len(server.arrivals) == 5


def test_a_service_out_of_reach_is_tried_again_a_few_times(
    producer: Any, telemetry: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(producer, "FIRST_PAUSE", 0.001)
    (tick,) = producer.ticks(str(telemetry), 1, None)
    with (
        refusing_port() as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        pytest.raises(producer.NotScored, match=r"16 series was not scored; .* 5 attempts: ConnectError"),
    ):
        producer.score(client, tick)
    assert len(caplog.records) == 5


def test_a_refused_request_is_not_posted_again(proxy: Callable[..., Proxy], telemetry: Path) -> None:
    server = proxy([422])
    done = produce(server.url, telemetry, "--ticks", 3)
    assert (done.returncode, done.stdout) == (1, "")
    assert "refused with 422" in done.stderr
    assert len(server.arrivals) == 1


@pytest.mark.parametrize(
    ("attempt", "retry_after", "least", "most"),
    [
        (0, None, 0.25, 0.5),
        (3, None, 2, 4),
        (0, "5", 5, 5),
        (3, "1", 2, 4),
        (0, "3600", 30, 30),
        (0, "Thu, 26 Nov 2026 01:33:28 GMT", 0.25, 0.5),
        (20, None, 30, 30),
    ],
)
def test_a_pause_is_what_is_asked_for_or_a_growing_one_and_never_long(
    producer: Any, attempt: int, retry_after: str | None, least: float, most: float
) -> None:
    assert all(least <= producer.pause(attempt, retry_after) <= most for _ in range(100))
