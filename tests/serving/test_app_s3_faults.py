"""Trouble with S3: what is local goes on being served, what is missing is said, and recovery needs nobody."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from myriad.models.key import Series
from myriad.storage.release import CURRENT, Releases
from myriad.storage.url import open_store
from tests.conftest import END, Published, Server
from tests.faults import FAULTS, SLOW_SECONDS, FaultProxy

HERE = Series("us-east-1", "web-000", "cpu_util")
THERE = Series("eu-west-1", "web-000", "cpu_util")
QUICK = {"MYRIAD_POLL_SECONDS": "0.3", "MYRIAD_FAILURE_SECONDS": "0.2"}

Serve = Callable[..., Server]


@pytest.fixture
def proxy(s3: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(s3)
    yield proxy
    proxy.close()


@pytest.fixture
def store(published: Published, bucket: str) -> str:
    """The published release in S3."""
    copy_to, copy_from = open_store(f"s3://{bucket}/fleet"), open_store(published.url)
    for stored in copy_from.list(""):
        copy_to.create(stored.name, copy_from.get(stored.name, 1 << 30).data)
    return copy_to.url


@pytest.fixture
def start(serve: Serve, store: str, proxy: FaultProxy, tmp_path: Path) -> Callable[[], Server]:
    """Starts services on that store, which share one local directory."""
    local = {"MYRIAD_LOCAL_DIRECTORY": str(tmp_path / "local")}
    return lambda: serve(store, AWS_ENDPOINT_URL=proxy.url, **QUICK, **local)


def answer(client: httpx.Client, series: Series) -> dict[str, Any]:
    points = [{"timestamp": END - 7200 + 60 * i, "value": 50.0} for i in range(120)]
    response = client.post("/predict", json={**series._asdict(), "datapoints": points})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def metric(client: httpx.Client, name: str) -> float:
    found = re.findall(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[0]) if found else 0.0


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_local_is_served_and_the_rest_recovers(
    fault: str, start: Callable[[], Server], proxy: FaultProxy
) -> None:
    client = start().client
    assert answer(client, HERE)["status"] == "ok"
    with proxy.failing(fault):
        assert answer(client, HERE)["status"] == "ok"
        missing = answer(client, THERE)
        if fault == "slow":
            assert missing["status"] == "ok"
            return
        assert missing["status"] == "load_failed"
        assert all("could not be loaded" in window["reason"] for window in missing["missing"])
        until(lambda: metric(client, 'myriad_loads_total{outcome="failed"}') >= 1)
        if fault != "wrong_bytes":
            until(lambda: client.get("/health/ready").json()["stale"])
            assert client.get("/health/ready").json()["problem"]
            assert answer(client, HERE)["stale"]
            assert metric(client, "myriad_release_failures_total") >= 1
    until(lambda: answer(client, THERE)["status"] == "ok")
    until(lambda: not client.get("/health/ready").json()["stale"])


def test_a_restart_without_s3_serves_what_the_last_run_left(start: Callable[[], Server], proxy: FaultProxy) -> None:
    first = start()
    assert answer(first.client, HERE)["status"] == "ok"
    first.process.terminate()
    first.process.wait()
    with proxy.failing("refused"):
        client = start().client
        assert answer(client, HERE)["status"] == "ok"
        assert answer(client, THERE)["status"] == "load_failed"
        until(lambda: client.get("/health/ready").json()["stale"])


def test_a_current_that_is_gone_changes_nothing(start: Callable[[], Server], proxy: FaultProxy) -> None:
    client = start().client
    with proxy.failing("missing", only=CURRENT):
        until(lambda: client.get("/health/ready").json()["stale"])
        assert answer(client, HERE)["status"] == "ok"
        assert answer(client, THERE)["status"] == "ok"


def test_a_missing_artifact_fails_its_series_alone(start: Callable[[], Server], proxy: FaultProxy, store: str) -> None:
    manifest = Releases(open_store(store)).manifest(Releases(open_store(store)).head().release)
    gone = manifest.artifact(THERE.region, THERE.host_hash)
    assert gone
    client = start().client
    with proxy.failing("missing", only=gone.hash):
        assert answer(client, THERE)["status"] == "load_failed"
        assert answer(client, HERE)["status"] == "ok"
        assert not client.get("/health/ready").json()["stale"]
    until(lambda: answer(client, THERE)["status"] == "ok")


def test_many_who_wait_cause_one_load(start: Callable[[], Server], proxy: FaultProxy) -> None:
    client = start().client
    with proxy.failing("slow", only="artifacts/"), ThreadPoolExecutor(20) as pool:
        started = time.monotonic()
        statuses = list(pool.map(lambda _: answer(client, HERE)["status"], range(20)))
        assert statuses == ["ok"] * 20
        assert time.monotonic() - started < 3 * SLOW_SECONDS
    assert [count for path, count in proxy.requests.items() if "artifacts/" in path] == [1]


def test_failed_loads_are_tried_ever_more_rarely(start: Callable[[], Server], proxy: FaultProxy) -> None:
    client = start().client
    with proxy.failing("missing", only="artifacts/"):
        deadline, asked = time.monotonic() + 4, 0
        while time.monotonic() < deadline:
            assert answer(client, HERE)["status"] == "load_failed"
            asked += 1
    tries = sum(count for path, count in proxy.requests.items() if "artifacts/" in path)
    assert 3 <= tries <= 8  # after 0.2, 0.4, 0.8, 1.6 seconds, and a little sooner for the jitter
    assert asked > 10 * tries
