"""Processes: a peer's server with all its children pinned to one core, and the load generator on another."""

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
"""Environment variable by which all processes of a server are found, even after their parent ended."""
START_SECONDS = 180.0
STOP_SECONDS = 15.0
POLL_SECONDS = 5.0
"""How often a starting server is checked for having ended."""
LOG_TAIL = 3000


class LoadFailed(RuntimeError):
    """The load generator failed, or a server answered with an error."""


class LoadGenerator:
    """The load generator's process."""

    def __init__(self, port: int, namespace_of: int | None = None) -> None:
        """Start it.

        Args:
            port: of the server.
            namespace_of: id of a process whose network namespace it joins.
        """
        self._port = port
        enter = [] if namespace_of is None else ["nsenter", f"--target={namespace_of}", "--net"]
        command = [*enter, *pinning_prefix(-1), sys.executable, "-m", "bench.peers.load_generator"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def wait_for_answer(self, message: bytes, seconds: float) -> float:
        """Repeat a request until it is answered; the time.monotonic() of the answer.

        Raises:
            LoadFailed: there was no answer within so many seconds.
        """
        return float(self._job({"until": _base64(message), "seconds": seconds})["at"])

    def ask(self, *messages: bytes) -> list[tuple[bytes, float]]:
        """Send requests one after the other; each answer, and the seconds it took.

        Raises:
            LoadFailed: an answer is an error.
        """
        answers = self._job({"ask": [_base64(message) for message in messages]})
        for answer in answers:
            if answer["status"] != 200:
                raise LoadFailed(f"answered {answer['status']}: {answer['body'][:1000]}")
        return [(answer["body"].encode("latin-1"), answer["seconds"]) for answer in answers]

    def drive(self, requests: Path, connections: int, seconds: float = 0, seed: int = 0) -> dict[str, Any]:
        """Send pickled requests over several connections at once, and return the figures of that.

        Args:
            requests: file with the pickled requests.
            connections: number of them.
            seconds: to send random ones of the requests for; 0 to send each once.
            seed: of the random choice.

        Raises:
            LoadFailed: a request was answered with an error.
        """
        job = {"drive": str(requests), "connections": connections, "seconds": seconds, "seed": seed}
        figures: dict[str, Any] = self._job(job)
        if figures["wrong"]:
            raise LoadFailed(f"{connections} connections: {figures['wrong']}")
        return figures

    def close(self) -> None:
        """Stop the process."""
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
    """A peer's server with all processes it has started."""

    def __init__(self, process: "subprocess.Popen[bytes]", mark: str, started: float, load: LoadGenerator) -> None:
        self.started, self.load = started, load
        self._process, self._mark = process, mark

    def wait_until_ready(self, message: bytes) -> float:
        """Repeat a request until it is answered; the time.monotonic() of the answer.

        Raises:
            LoadFailed: the server ended, or took longer than `START_SECONDS`.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.load.wait_for_answer(message, POLL_SECONDS)
            except LoadFailed:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise

    @property
    def processes(self) -> list[int]:
        """Ids of all its processes: those with its mark, and their descendants."""
        return _process_ids(self._process.pid, self._mark)

    @property
    def pss(self) -> int:
        """Proportional set size of all its processes in bytes: shared memory counts once."""
        return sum(map(_pss, self.processes))


@contextlib.contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    port: int,
    *,
    own_network: bool = False,
) -> Iterator[Server]:
    """A server that has been started and may not be ready.

    Args:
        command: that starts the server.
        environment: variables added to this process's.
        directory: to start it in, also for its log.
        port: on which it will listen.
        own_network: whether to start it in a network namespace that has only loopback.
    """
    mark = secrets.token_hex(8)
    variables = {**os.environ, **environment, MARK: mark, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    inner_command = [*pinning_prefix(0), *command]
    if own_network:
        inner_command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inner_command]
    log = directory / "server.log"
    load = None if own_network else LoadGenerator(port)
    with log.open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            inner_command,
            cwd=directory,
            env=variables,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        if own_network:
            _await_namespace(process.pid)
        load = load or LoadGenerator(port, process.pid)
        yield Server(process, mark, started, load)
    except Exception as exc:
        exc.add_note(f"The server's log ends:\n{log.read_text(errors='replace')[-LOG_TAIL:]}")
        raise
    finally:
        if load:
            load.close()
        _stop(process, mark)


def why_no_namespaces() -> str:
    """The reason why no network namespace can be created; empty if one can."""
    try:
        process = subprocess.run(
            ["unshare", "--net", "ip", "link", "set", "lo", "up"], capture_output=True, check=False
        )
    except OSError as exc:
        return f"unshare cannot be run: {exc.strerror}"
    return process.stderr.decode(errors="replace").strip() or "unshare failed" if process.returncode else ""


def pinning_prefix(core: int) -> list[str]:
    """The words before a command that pin it to a core; none if there is only one core."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "--cpu-list", str(cores[core])] if len(cores) > 1 else []


def _await_namespace(pid: int) -> None:
    own_namespace, deadline = Path("/proc/self/ns/net").readlink(), time.monotonic() + 5
    while Path(f"/proc/{pid}/ns/net").readlink() == own_namespace:
        if time.monotonic() > deadline:
            raise RuntimeError("no network namespace was created")
        time.sleep(0.002)


def _stop(process: "subprocess.Popen[bytes]", mark: str) -> None:
    before = _process_ids(process.pid, mark)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    remaining = sorted({pid for pid in before if _exists(pid, mark)} | set(_process_ids(process.pid, mark)))
    for pid in remaining:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + STOP_SECONDS
    while any(_exists(pid, mark) for pid in remaining) and time.monotonic() < deadline:
        time.sleep(0.02)


def _exists(pid: int, mark: str) -> bool:
    """Whether the process still runs, and is not another one that got the same id."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _process_ids(root: int, mark: str) -> list[int]:
    """Ids of processes with the mark in their environment, and of all descendants of these and of the root."""
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


def _base64(message: bytes) -> str:
    return base64.b64encode(message).decode()
