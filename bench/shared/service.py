"""Servers as processes, a cheap HTTP client for them, and the memory and processor time they take."""

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.shared.cpu_pinning import pinned
from bench.shared.myriad_cli import MYRIAD
from bench.shared.ports import free_ports

START_SECONDS = 120
HEADERS = {"content-type": "application/json"}


class Client:
    """An HTTP client with one keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def post(self, body: bytes, headers: Mapping[str, str] = HEADERS, path: str = "/predict") -> tuple[int, bytes]:
        """Status and body of the response to a POST."""
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def predict(self, body: bytes) -> bytes:
        """The answer to a /predict request.

        Raises:
            RuntimeError: the status is not 200.
        """
        status, answer = self.post(body)
        if status != 200:
            raise RuntimeError(f"/predict answered {status}: {answer[:300]!r}")
        return answer

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of the response to a GET."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        return response.status, response.read()

    @property
    def release(self) -> str:
        """Id of the release being served."""
        answer: dict[str, Any] = msgspec.json.decode(self.get_ok("/releases/current"))
        return str(answer["id"])

    def get_ok(self, path: str) -> bytes:
        """Body of the response to a GET.

        Raises:
            RuntimeError: the status is not 200.
        """
        status, body = self.get(path)
        if status != 200:
            raise RuntimeError(f"{path} answered {status}: {body[:300]!r}")
        return body

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()


@dataclass(frozen=True)
class Memory:
    """Memory of a service in bytes.

    Attributes:
        rss: resident set size, summed over the workers: shared pages count once a worker.
        pss: proportional set size, summed over all processes: shared pages count once in all.
    """

    rss: int
    pss: int


class Service:
    """A running server, normally `myriad serve`."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, ready_seconds: float) -> None:
        self.port, self.ready_seconds = port, ready_seconds
        self._process = process

    @property
    def workers(self) -> list[int]:
        """Process ids of the processes that answer requests."""
        spawned = [pid for pid in _children(self._process.pid) if b"--multiprocessing-fork" in _command_line(pid)]
        return spawned or [self._process.pid]

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A client with a connection of its own."""
        client = Client(self.port)
        try:
            yield client
        finally:
            client.close()

    @property
    def open_bytes(self) -> int:
        """Bytes of open shards, summed over the workers."""
        with self.client() as client:
            lines = client.get_ok("/metrics").decode().splitlines()
        for line in lines:
            if line.startswith("myriad_cache_bytes "):
                return int(float(line.split()[1]))
        return 0

    @property
    def memory(self) -> Memory:
        """Memory taken at present."""
        processes = {self._process.pid, *_children(self._process.pid)}
        return Memory(
            sum(_smaps_bytes(pid, "Rss") for pid in self.workers),
            sum(_smaps_bytes(pid, "Pss") for pid in processes),
        )

    @property
    def resident_bytes(self) -> list[int]:
        """Resident set size of each worker."""
        return [_smaps_bytes(pid, "Rss") for pid in self.workers]

    @property
    def cpu_seconds(self) -> float:
        """Processor time used so far, summed over the workers."""
        return sum(self.cpu_seconds_by_worker)

    @property
    def cpu_seconds_by_worker(self) -> list[float]:
        """Processor time used so far by each worker."""
        return [_cpu_seconds(pid) for pid in self.workers]


@contextlib.contextmanager
def serving(store: str, directory: Path, log: Path, core: int | None = None, **settings: object) -> Iterator[Service]:
    """A `myriad serve` that is ready.

    Args:
        store: URL of the store with the releases.
        directory: the local directory.
        log: file for its output.
        core: to pin it to; no pinning if None.
        settings: further options of `myriad serve`.
    """
    (port,) = free_ports(1)
    flags = {"store": store, "local_directory": directory, "port": port, "log_level": "warning", **settings}
    command = [MYRIAD, "serve", *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items())]
    with running(command, port, log, core) as service:
        yield service


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path, core: int | None = None) -> Iterator[Service]:
    """Any server on this machine that has answered /health/ready.

    Args:
        command: that starts the server.
        port: on which it listens.
        log: file for its output.
        core: to pin it to; no pinning if None.

    Raises:
        RuntimeError: it was not ready within `START_SECONDS`.
    """
    environment = os.environ | {"TMPDIR": str(log.parent)}  # its temporary files are deleted with the benchmark's
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            pinned(command, core), env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_ready(process, port)
        yield Service(process, port, time.perf_counter() - started)
    except Exception as exc:
        exc.add_note(f"The service's log:\n{log.read_text(errors='replace')[-4000:]}")
        raise
    finally:
        _stop(process)


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline, client = time.monotonic() + START_SECONDS, Client(port)
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if client.get("/health/ready")[0] == 200:
                client.close()
                return
        client.close()
        time.sleep(0.005)
    raise RuntimeError("the service is not ready")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its process group: the server and its workers
        process.wait()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _smaps_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no {name}")


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process in nanosecond resolution (/proc has hundredths): see clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2)
