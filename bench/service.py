"""Service: `myriad serve` as processes, a client that costs little, and what the processes cost."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.cores import pinned
from bench.weed import free_ports

MYRIAD = str(Path(sys.executable).with_name("myriad"))
START_SECONDS = 120
HEADERS = {"content-type": "application/json"}


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def post(self, body: bytes, headers: Mapping[str, str] = HEADERS, path: str = "/predict") -> tuple[int, bytes]:
        """The status and the body that a /predict, or what stands in for it, is answered with."""
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body of a page."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        return response.status, response.read()

    @property
    def release(self) -> str:
        """The id of the release being served."""
        answer: dict[str, Any] = msgspec.json.decode(self.page("/releases/current"))
        return str(answer["id"])

    def page(self, path: str) -> bytes:
        """A page.

        Raises:
            RuntimeError: it is not there.
        """
        status, body = self.get(path)
        if status != 200:
            raise RuntimeError(f"{path} answered {status}: {body[:300]!r}")
        return body

    def close(self) -> None:
        """Let the connection go; the next request opens another."""
        self._connection.close()


@dataclass(frozen=True)
class Memory:
    """Bytes: `rss` of the workers, each counting what they share; `pss` of all processes, counting that once."""

    rss: int
    pss: int


class Service:
    """A running `myriad serve`."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, ready_seconds: float) -> None:
        self.port, self.ready_seconds = port, ready_seconds
        self._process = process

    @property
    def workers(self) -> list[int]:
        """The process ids of those who answer."""
        spawned = [pid for pid in _children(self._process.pid) if b"--multiprocessing-fork" in _command_line(pid)]
        return spawned or [self._process.pid]

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A connection of its own."""
        client = Client(self.port)
        try:
            yield client
        finally:
            client.close()

    @property
    def open_bytes(self) -> int:
        """Bytes of open shards, of all workers together."""
        with self.client() as client:
            lines = client.page("/metrics").decode().splitlines()
        for line in lines:
            if line.startswith("myriad_cache_bytes "):
                return int(float(line.split()[1]))
        return 0

    @property
    def memory(self) -> Memory:
        """What the processes take now."""
        everyone = {self._process.pid, *_children(self._process.pid)}
        return Memory(
            sum(_rollup(pid, "Rss") for pid in self.workers),
            sum(_rollup(pid, "Pss") for pid in everyone),
        )

    @property
    def cpu_seconds(self) -> float:
        """Processor time the workers have used."""
        return sum(self.cpu_seconds_each)

    @property
    def cpu_seconds_each(self) -> list[float]:
        """Processor time each of the workers has used."""
        return [_cpu_seconds(pid) for pid in self.workers]


@contextlib.contextmanager
def serving(store: str, directory: Path, log: Path, core: int | None = None, **settings: object) -> Iterator[Service]:
    """A service that is ready.

    Args:
        store: URL of the releases.
        directory: the local one.
        log: where its output goes.
        core: to run on; any where None.
        settings: more of `myriad serve`'s.
    """
    (port,) = free_ports(1)
    flags = {"store": store, "local_directory": directory, "port": port, "log_level": "warning", **settings}
    command = [MYRIAD, "serve", *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items())]
    with running(command, port, log, core) as service:
        yield service


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path, core: int | None = None) -> Iterator[Service]:
    """Any server that listens on a port of this machine, once it answers /health/ready.

    Args:
        command: that starts it.
        port: where it listens.
        log: where its output goes.
        core: to run on; any where None.
    """
    environment = os.environ | {"TMPDIR": str(log.parent)}  # whatever it leaves behind goes with the bench's own
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            pinned(command, core), env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait(process, port)
        yield Service(process, port, time.perf_counter() - started)
    except Exception as exc:
        exc.add_note(f"The service's log:\n{log.read_text(errors='replace')[-4000:]}")
        raise
    finally:
        _stop(process)


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
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
        os.killpg(process.pid, signal.SIGKILL)  # a session of its own: its workers and nobody else
        process.wait()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _rollup(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no {name}")


def _cpu_seconds(pid: int) -> float:
    """To the nanosecond, where /proc counts in hundredths: the clock that clock_getcpuclockid(3) gives."""
    return time.clock_gettime(~pid << 3 | 2)
