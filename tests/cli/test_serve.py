"""`myriad serve`: its flags; what it serves is tested with the service."""

import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from myriad.serving.settings import Settings
from tests.cli.conftest import ran
from tests.conftest import Published, Server


def test_there_is_a_flag_with_help_for_each_setting() -> None:
    text = " ".join(ran("serve", "--help").stdout.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} VALUE" in text
        assert str(field.description) in text


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--port", "http"),
        ("--workers", "0"),
        ("--poll-seconds", "-1"),
        ("--log-level", "loud"),
        ("--cache-bytes", "1GB"),
    ],
)
def test_a_wrong_flag_is_refused_by_name(flag: str, value: str) -> None:
    result = ran("serve", flag, value)
    assert result.exit_code == 2
    assert flag in result.stderr


def test_a_wrong_variable_is_refused_by_name() -> None:
    result = ran("serve", MYRIAD_PORT="http")
    assert result.exit_code == 2
    assert "port" in result.stderr


def test_an_unknown_flag_is_refused() -> None:
    assert ran("serve", "--models").exit_code == 2


def test_a_store_of_another_kind_ends_the_service_in_words() -> None:
    command = [sys.executable, "-m", "myriad", "serve", "--store", "ftp://here", "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "file:///directory or s3://bucket/prefix" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_ends_the_service(published: Published) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "myriad", "serve", "--store", published.url, "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "in use" in ended.stderr


def test_a_flag_wins_over_the_environment(published: Published, serve: Callable[..., Server]) -> None:
    server = serve(published.url, "--max-points", "1", MYRIAD_MAX_POINTS="5", MYRIAD_MAX_SERIES="7")
    point = {"timestamp": 1, "value": 1}
    refused = server.client.post("/predict", json={"model_id": "r/h/m", "datapoints": [point, point]})
    assert "at most 1 are allowed" in refused.json()["detail"]
