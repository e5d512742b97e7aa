"""What many tests stand on: a small published fleet, an S3 server and a service, all real."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from myriad.models.points import Points
from myriad.storage.release import Manifest
from myriad.training.fleets.synthetic import DAY, Fleet, fleet
from myriad.training.job.config import JobFile
from myriad.training.run import run
from tests.adapters import libraries

SLOW = {"serve", "service", "bounded", "closed", "strict", "s3", "bucket", "demo"}
"""Fixtures that start a server or run a command: `--quick` leaves out what needs one."""
SLOW_FOLDERS = ("bench", "cli", "docs", "examples")

END = 1_767_571_200  # 2026-01-05T00:00Z
KEPT = ("MYRIAD_DATA", "MYRIAD_KERNELS")
S3_PAGE = 20  # objects in a page of a listing; elsewhere it is 1000


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make quick`."""
    parser.addoption("--quick", action="store_true", help="leave out servers, commands and fitted libraries")


def pytest_configure(config: pytest.Config) -> None:
    """Tests that need a library ask for it by name: see `libraries.needs`."""
    libraries.QUICK = bool(config.getoption("--quick"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--quick`, keep the tests that need no server, no command and no library."""
    if config.getoption("--quick"):
        slow = [item for item in items if _is_slow(item)]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


def _is_slow(item: pytest.Item) -> bool:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return folder in SLOW_FOLDERS or not SLOW.isdisjoint(getattr(item, "fixturenames", ()))


@dataclass(frozen=True)
class Published:
    """A fleet, the store its release is in, and the release's manifest."""

    fleet: Fleet
    url: str
    manifest: Manifest


@dataclass(frozen=True)
class Server:
    """A process of the service, and a client for it."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Two regions of two hosts with four metrics, ten days of history, region and global fallbacks; a day is left."""
    synthetic, root = fleet(end=END, days=11, hosts=2, incidents=1), tmp_path_factory.mktemp("published")
    job = job_of(root, synthetic.table(0, END - DAY), fallback=["region", "global"])
    return Published(synthetic, job.store, run(job, root / "work").manifest)


def job_of(root: Path, history: pa.Table, **fields: Any) -> JobFile:
    """A job that fits ewma and seasonal to a history, which is put in a file; the store is beside it."""
    pyarrow.parquet.write_table(history, root / "history.parquet")
    candidates = [{"adapter": "ewma", "windows": ["1m"]}, {"adapter": "seasonal", "windows": ["15m", "1h"]}]
    job = {
        "history": {"files": [str(root / "history.parquet")]},
        "metrics": [{"match": "*", "candidates": candidates}],
        "store": f"file://{root / 'store'}",
        "workers": 1,
    }
    return JobFile.model_validate(job | fields)


@pytest.fixture(scope="session", autouse=True)
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Training jobs keep what is done of them among the tests' files, and nothing else is set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MYRIAD_") and name not in KEPT]:
            patch.delenv(name)
        patch.setenv("MYRIAD_WORK", str(tmp_path_factory.mktemp("work")))
        yield


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The endpoint of an S3 API over HTTP, with credentials for it in the environment."""
    port = free_port()
    server = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(S3_PAGE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{port}"
    secrets = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in secrets.items():
                patch.setenv(name, value)
            _wait_for(endpoint, server)
            yield endpoint
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def bucket(s3: str) -> str:
    """A new bucket."""
    name = f"bucket-{time.time_ns()}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts services: `serve(store_url, "--workers", "2", ready=True, VARIABLE=value)`; they end with the test."""
    with services(tmp_path) as start:
        yield start


@pytest.fixture(scope="session")
def service(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One service of the published fleet, for all tests that change nothing of it."""
    with services(tmp_path_factory.mktemp("service")) as start:
        yield start(published.url)


@contextlib.contextmanager
def services(logs: Path) -> Iterator[Callable[..., Server]]:
    """What starts services, each with a local directory and a log of its own beside the others'."""
    with contextlib.ExitStack() as stack:

        def start(store: str, *flags: str, ready: bool = True, **environment: str) -> Server:
            port, log = free_port(), logs / f"serve-{time.time_ns()}.log"
            command = [sys.executable, "-m", "myriad", "serve", "--store", store, "--port", str(port), *flags]
            own = {"MYRIAD_LOCAL_DIRECTORY": str(log.with_suffix(".local"))}
            with log.open("wb") as output:
                process = subprocess.Popen(command, env=os.environ | own | environment, stderr=output, stdout=output)
            stack.callback(_stop, process)
            address = f"http://127.0.0.1:{port}"
            client = stack.enter_context(httpx.Client(base_url=address, trust_env=False, timeout=30))
            _wait_for(f"{address}/health/{'ready' if ready else 'live'}", process)
            return Server(process, client, log)

        yield start


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections for the duration of the block: nobody else can listen on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def history(days: float, *, series: int = 1, step: int = 60, seed: int = 0, until: int = END) -> Points:
    """Normal noise around a daily rhythm, a point every `step` seconds up to `until`."""
    draw = np.random.default_rng(seed)
    times = np.arange(until - int(days * DAY), until, step)
    usual = 100 + 20 * np.sin(2 * np.pi * times / DAY)
    return Points.of(*((times, usual + 3 * draw.normal(size=len(times))) for _ in range(series)))


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        assert process.poll() is None, f"the server for {url} ended with {process.returncode}"
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code < 500:
                return
        time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
