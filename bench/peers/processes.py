"""Processes: a peer's server pinned to one core with all it starts, and the load generator on another."""

import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MARK = "MYRIAD_BENCH_PEER"
"""In the environment of everything a server starts, whoever its parent becomes."""
START_SECONDS = 180.0
STOP_SECONDS = 15.0
LOOK_SECONDS = 5.0
"""How often it is looked whether a starting server has ended."""
LOG_TAIL = 3000


class LoadFailed(RuntimeError):
    """The load generator could not do a job, or a server answered with an error."""


class Loader:
    """The load generator."""

    def __init__(self, port: int, namespace_of: int | None = None) -> None:
        """Start it.

        Args:
            port: the server's.
            namespace_of: a process whose network it is to be in.
        """
        self._port = port
        enter = [] if namespace_of is None else ["nsenter", f"--target={namespace_of}", "--net"]
        command = [*enter, *pinned(-1), sys.executable, "-m", "bench.peers.load"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def until(self, message: bytes, seconds: float) -> float:
        """When (time.monotonic) the server first answered a request.

        Raises:
            LoadFailed: it did not, within some seconds.
        """
        return float(self._job({"until": _text(message), "seconds": seconds})["at"])

    def ask(self, *messages: bytes) -> list[tuple[bytes, float]]:
        """The answers to requests, one after the other, and the seconds each took.

        Raises:
            LoadFailed: one is an error.
        """
        answers = self._job({"ask": [_text(message) for message in messages]})
        for answer in answers:
            if answer["status"] != 200:
                raise LoadFailed(f"answered {answer['status']}: {answer['body'][:1000]}")
        return [(answer["body"].encode("latin-1"), answer["seconds"]) for answer in answers]

    def drive(self, requests: Path, connections: int, seconds: float = 0, seed: int = 0) -> dict[str, Any]:
        """The figures of pickled requests over several connections: each once, or drawn for some seconds.

        Raises:
            LoadFailed: some were answered with an error.
        """
        job = {"drive": str(requests), "connections": connections, "seconds": seconds, "seed": seed}
        figures: dict[str, Any] = self._job(job)
        if figures["wrong"]:
            raise LoadFailed(f"{connections} connections: {figures['wrong']}")
        return figures

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.kill()
        self._process.wait()

    def _job(self, job: Mapping[str, Any]) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise LoadFailed("the load generator has no pipes")
        print(json.dumps({**job, "port": self._port}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the load generator ended"}
        if "error" in answer:
            raise LoadFailed(answer["error"])
        return answer["answer"]


class Server:
    """A peer's server, with everything it has started."""

    def __init__(self, process: "subprocess.Popen[bytes]", mark: str, began: float, loader: Loader) -> None:
        self.began, self.loader = began, loader
        self._process, self._mark = process, mark

    def answering(self, message: bytes) -> float:
        """When (time.monotonic) it first answered a request.

        Raises:
            LoadFailed: it ended, or took too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.loader.until(message, LOOK_SECONDS)
            except LoadFailed:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise

    @property
    def processes(self) -> list[int]:
        """All of it: who has its mark, and their descendants."""
        return _family(self._process.pid, self._mark)

    @property
    def pss(self) -> int:
        """Bytes of memory, what is shared counted once."""
        return sum(map(_pss, self.processes))


@contextlib.contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    port: int,
    *,
    apart: bool = False,
) -> Iterator[Server]:
    """A server that is being started.

    Args:
        command: of its own environment.
        environment: beside the bench's.
        directory: to start it in; its log goes there.
        port: it will listen on.
        apart: in a network of its own, with loopback and nothing else.
    """
    mark = secrets.token_hex(8)
    whole = {**os.environ, **environment, MARK: mark, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    inner = [*pinned(0), *command]
    if apart:
        inner = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inner]
    log = directory / "server.log"
    loader = None if apart else Loader(port)
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            inner,
            cwd=directory,
            env=whole,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        if apart:
            _await_namespace(process.pid)
        loader = loader or Loader(port, process.pid)
        yield Server(process, mark, began, loader)
    except Exception as exc:
        exc.add_note(f"The server's log ends:\n{log.read_text(errors='replace')[-LOG_TAIL:]}")
        raise
    finally:
        if loader:
            loader.close()
        _stop(process, mark)


def namespaces_permitted() -> str:
    """Why no network can be set apart; empty where it can."""
    try:
        done = subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    except OSError as exc:
        return f"unshare cannot be run: {exc.strerror}"
    return done.stderr.decode(errors="replace").strip() or "unshare failed" if done.returncode else ""


def pinned(core: int) -> list[str]:
    """What to put before a command so that it has one core; nothing where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "--cpu-list", str(cores[core])] if len(cores) > 1 else []


def _await_namespace(pid: int) -> None:
    ours, deadline = Path("/proc/self/ns/net").readlink(), time.monotonic() + 5
    while Path(f"/proc/{pid}/ns/net").readlink() == ours:
        if time.monotonic() > deadline:
            raise RuntimeError("the network was not set apart")
        time.sleep(0.002)


def _stop(process: "subprocess.Popen[bytes]", mark: str) -> None:
    family = _family(process.pid, mark)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    left = sorted({pid for pid in family if _exists(pid, mark)} | set(_family(process.pid, mark)))
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + STOP_SECONDS
    while any(_exists(pid, mark) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.02)


def _exists(pid: int, mark: str) -> bool:
    """Whether a process of a family is there still, and is not another one of the same number."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _family(root: int, mark: str) -> list[int]:
    """The processes with a mark in their environment, and all descendants of them and of the root."""
    parents: dict[int, int] = {}
    members = {root}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(entry.name)
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state == "Z":
                continue
            parents[pid] = int(parent)
            if mark.encode() in (entry / "environ").read_bytes():
                members.add(pid)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in members} - members
        members |= more
        grown = bool(more)
    return sorted(members & parents.keys())


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _text(message: bytes) -> str:
    return base64.b64encode(message).decode()
