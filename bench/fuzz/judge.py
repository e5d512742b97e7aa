"""Judge: what is wrong with an exchange, and with the processes behind it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.fuzz.case import Case
from bench.fuzz.client import Exchange

PEAK_STEP = 50 << 20
"""A worker's peak counts against a request only where it is this much above what the worker had before it."""


@dataclass(frozen=True)
class Limits:
    """What a request may cost: seconds, bytes of its answer, bytes of a worker."""

    seconds: float = 5.0
    answer_bytes: int = 64 << 20
    memory_bytes: int = 1_500_000_000

    @property
    def patience(self) -> float:
        """Seconds to wait for an answer, so as to know how long a slow one takes."""
        return 6 * self.seconds


def faults(case: Case, exchange: Exchange, limits: Limits) -> Iterator[str]:
    """Why an exchange is not as it should be."""
    for status in sorted({status for status in exchange.statuses if status >= 500 and status != 503}):
        yield f"status {status}"
    if case.valid and exchange.statuses and {*exchange.statuses} != {200}:
        yield f"a valid request answered with {', '.join(map(str, sorted({*exchange.statuses} - {200})))}"
    if exchange.received > limits.answer_bytes:
        yield f"an answer of more than {limits.answer_bytes >> 20} MB"
    elif exchange.missing:
        yield exchange.missing
    if exchange.seconds > limits.seconds and not case.recipe.startswith("wire/cut short"):
        yield f"an answer after more than {limits.seconds:g} seconds"


class Workers:
    """The processes that answer: which they are, their memory, and the log they write."""

    def __init__(self, pids: Callable[[], list[int]], log: Path) -> None:
        self._pids, self._log, self._read = pids, log, log.stat().st_size
        self._known = set(pids())
        self.deaths, self.highest = 0, 0
        self._resident = {pid: _status_bytes(pid, "VmRSS") for pid in self._known}

    def faults(self, limits: Limits) -> Iterator[str]:
        """What happened to them since this was last asked."""
        alive = {pid for pid in self._known if _status_bytes(pid, "VmRSS")}
        if dead := self._known - alive:
            self.deaths += len(dead)
            yield "a worker died"
        with contextlib.suppress(OSError):
            alive |= {pid for pid in self._pids() if _status_bytes(pid, "VmRSS")}
        for pid in alive:
            peak, before = _status_bytes(pid, "VmHWM"), self._resident.get(pid, 0)
            self.highest = max(self.highest, peak)
            if peak > limits.memory_bytes and peak > before + PEAK_STEP:
                yield f"a worker of more than {limits.memory_bytes / 1e9:g} GB"
            self._resident[pid] = _status_bytes(pid, "VmRSS")
            _forget_peak(pid)
        self._known = alive
        with self._log.open("rb") as log:
            log.seek(self._read)
            lines = log.read()
        self._read += len(lines)
        if b"Exception in ASGI application" in lines or b"Task exception was never retrieved" in lines:
            yield "an exception that nobody caught, in the log"

    @property
    def last_words(self) -> str:
        """The end of their log."""
        return self._log.read_bytes()[-2000:].decode(errors="replace")

    @property
    def resident(self) -> list[int]:
        """Bytes of each of them."""
        return [_status_bytes(pid, "VmRSS") for pid in sorted(self._known)]


def _status_bytes(pid: int, name: str) -> int:
    """A figure of /proc/pid/status, 0 for a process that is no more."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _forget_peak(pid: int) -> None:
    """Let VmHWM begin anew: see proc_pid_clear_refs(5)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
