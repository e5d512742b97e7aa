"""Health checks on a port of their own."""

import contextlib
import socket
from collections.abc import Iterator, Mapping

import httpx
import pytest

from myriad.serving.health import HealthListener
from myriad.serving.problems import Problem
from tests.conftest import free_port


def not_ready() -> Mapping[str, object]:
    """A check that fails."""
    raise Problem(503, "no-release", "no release has been loaded yet: s3://secret/place")


@pytest.fixture
def address() -> Iterator[str]:
    port = free_port()
    checks = {"/health/live": lambda: {"status": "live"}, "/health/ready": not_ready}
    listeners = [HealthListener("127.0.0.1", port, checks) for _ in range(2)]  # as two workers have
    yield f"http://127.0.0.1:{port}"
    for listener in listeners:
        listener.close()


def test_it_answers_its_checks_and_nothing_else(address: str) -> None:
    for _ in range(20):
        assert httpx.get(f"{address}/health/live?x=1", trust_env=False).json() == {"status": "live"}
    failed = httpx.get(f"{address}/health/ready", trust_env=False)
    assert (failed.status_code, failed.json()) == (503, {"status": 503, "title": "no release"})
    for path in ("/", "/metrics", "/predict", "/health"):
        assert httpx.get(f"{address}{path}", trust_env=False).status_code == 404
    assert httpx.post(f"{address}/health/live", trust_env=False).status_code == 404


def test_who_sends_nothing_or_nonsense_keeps_nobody_waiting(address: str) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    with contextlib.ExitStack() as silent:
        for sent in (b"", b"GET", b"\x00" * 1000, b"x" * 100_000, b"\r\n\r\n"):
            for _ in range(5):
                connection = silent.enter_context(socket.create_connection((host, int(port))))
                with contextlib.suppress(ConnectionError):
                    connection.sendall(sent)
        assert httpx.get(f"{address}/health/live", trust_env=False).json() == {"status": "live"}


def test_many_that_say_nothing_keep_nobody_out(address: str) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    with contextlib.ExitStack() as silent:
        for _ in range(300):
            silent.enter_context(socket.create_connection((host, int(port))))
        for _ in range(10):
            assert httpx.get(f"{address}/health/live", trust_env=False).json() == {"status": "live"}
