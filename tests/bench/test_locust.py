"""The locust file: every kind of user is served, and failures are reported by title."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, refusing_port

ROOT = Path(__file__).parent.parent.parent
KINDS = ("pipeline", "engineer", "mixed")
PUBLISHED = ("--regions", "2", "--hosts", "2", "--tick-series", "16", "--tick-seconds", "0.2", "--think-seconds", "0.1")


def locust(address: str, *options: str) -> "tuple[int, list[dict[str, Any]], str]":
    """The exit code of a run until every kind of user has sent something, what was sent, and what it wrote beside."""
    command = [str(Path(sys.executable).with_name("locust")), "-f", "bench/locustfile.py", "--headless", "--json",
               "-u", "5", "-r", "5", "--requests", "2", "--host", address, *options]  # fmt: skip
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    return process.returncode, json.loads(process.stdout), process.stderr


@pytest.fixture(scope="module")
def calm(service: Server) -> "tuple[int, list[dict[str, Any]], str]":
    return locust(str(service.client.base_url).rstrip("/"), *PUBLISHED)


def test_nothing_fails(calm: "tuple[int, list[dict[str, Any]], str]") -> None:
    code, sent, log = calm
    assert [row["name"] for row in sent if row["num_failures"]] == [], log
    assert code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_user_sends_something(kind: str, calm: "tuple[int, list[dict[str, Any]], str]") -> None:
    _, sent, _ = calm
    assert sum(row["num_requests"] for row in sent if row["name"].startswith(f"{kind}: ")) >= 2


def test_names_that_are_not_served_are_a_failure(service: Server) -> None:
    code, sent, log = locust(str(service.client.base_url).rstrip("/"), "--fleet", "synth", "--mixed", "0")
    assert code == 1
    assert sum(row["num_failures"] for row in sent) > 0
    assert "do --fleet, --regions and --hosts name what is served" in log


def test_a_service_that_is_not_there_is_a_failure() -> None:
    with refusing_port() as port:
        code, sent, log = locust(f"http://127.0.0.1:{port}")
    assert code == 1
    assert sum(row["num_failures"] for row in sent) > 0, log


def test_the_page_names_every_option_and_its_default() -> None:
    source, page = (ROOT / "bench" / "locustfile.py").read_text(), (ROOT / "docs" / "load-testing.md").read_text()
    options = re.findall(r'add_argument\("(--[a-z-]+)".*?default="?([a-z0-9.]+)', source)
    assert len(options) == 11
    for name, default in options:
        assert re.search(rf"\| `?{name}`? \| `?{default.removesuffix('.0')}`? \|", page), name
