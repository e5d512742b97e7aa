"""Run: cases one after the other, judged, with the canonical requests among them."""

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.fuzz.case import Case
from bench.fuzz.client import Exchange, send
from bench.fuzz.judge import Limits, Workers, faults

RESTART_SECONDS = 20


@dataclass(frozen=True)
class Failure:
    """A case that was not answered as it should be."""

    number: int
    case: Case
    fault: str
    seconds: float
    times: int = 1

    @property
    def group(self) -> tuple[str, str]:
        """What makes two failures one: the fault, and how the case was made."""
        return self.fault, self.case.recipe.removesuffix("/followed").removesuffix("/labels")

    def merged(self, other: "Failure") -> "Failure":
        """One for both, with the shorter of their cases."""
        shorter = min(self, other, key=lambda failure: len(failure.case.raw))
        return Failure(shorter.number, shorter.case, shorter.fault, shorter.seconds, self.times + other.times)


@dataclass
class Outcome:
    """What a run found."""

    statuses: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    received: int = 0
    largest: int = 0
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)

    def add(self, number: int, case: Case, exchange: Exchange, found: Iterable[str]) -> None:
        """Count an exchange, and what was found to be wrong."""
        self.statuses.update(map(str, exchange.statuses) if exchange.statuses else ["none"])
        self.kinds[case.recipe.partition("/")[0]] += 1
        self.seconds.append(exchange.seconds)
        self.largest = max(self.largest, exchange.received)
        for fault in found:
            failure = Failure(number, case, fault, exchange.seconds)
            known = self.failures.get(failure.group)
            self.failures[failure.group] = known.merged(failure) if known else failure

    def figures(self, workers: Workers | None) -> dict[str, Any]:
        """Everything that was counted."""
        p50, p99 = np.percentile(self.seconds, [50, 99]) if self.seconds else (0.0, 0.0)
        memory = {} if workers is None else {
            "worker_deaths": workers.deaths,
            "worker_peak_mb": round(workers.highest / 1e6),
            "worker_mb_at_the_end": [round(each / 1e6) for each in workers.resident],
        }  # fmt: skip
        return {
            "requests": len(self.seconds),
            "statuses": dict(sorted(self.statuses.items())),
            "kinds": dict(self.kinds.most_common()),
            "p50_ms": round(p50 * 1e3, 2),
            "p99_ms": round(p99 * 1e3, 2),
            "max_seconds": round(max(self.seconds, default=0.0), 3),
            "largest_answer_bytes": self.largest,
            **memory,
            "failures": sum(failure.times for failure in self.failures.values()),
        }


class Run:
    """Cases sent to one service."""

    def __init__(self, port: int, canonical: list[Case], limits: Limits, workers: Workers | None) -> None:
        self._port, self._canonical, self._limits, self._workers = port, canonical, limits, workers
        self.outcome, self.gone = Outcome(), False
        self._right = [self._sent(case) for case in canonical]
        if wrong := [e.statuses or e.missing for e in self._right if e.statuses != [200]]:
            raise RuntimeError(f"the service does not answer valid requests: {wrong}")

    def one(self, number: int, case: Case) -> list[str]:
        """Send a case; what is wrong with what came back."""
        exchange = self._sent(case)
        found = [*faults(case, exchange, self._limits)]
        if self._workers is not None:
            found += self._workers.faults(self._limits)
            if "a worker died" in found:
                self._wait()
        self.outcome.add(number, case, exchange, found)
        return found

    def check(self, number: int, last: Case) -> list[str]:
        """Whether the canonical requests are answered as at the start; a failure is put down to the last case."""
        found = list[str]()
        for case, right in zip(self._canonical, self._right, strict=True):
            exchange = self._sent(case)
            found += faults(case, exchange, self._limits)
            if not found and (exchange.statuses, exchange.answers) != (right.statuses, right.answers):
                found.append("another answer")
        wrong = [f"a valid request afterwards: {fault}" for fault in found]
        for fault in wrong:
            self.outcome.failures[fault, ""] = Failure(number, last, fault, 0.0)
        return wrong

    def _sent(self, case: Case) -> Exchange:
        most = self._limits.answer_bytes
        try:
            return send(self._port, case, patience=self._limits.patience, most_bytes=most)
        except OSError as exc:
            return Exchange(missing=f"no connection: {type(exc).__name__}")

    def _wait(self) -> None:
        """Until somebody answers again; nobody may, and the service is gone."""
        deadline = time.monotonic() + RESTART_SECONDS
        while time.monotonic() < deadline and self._sent(self._canonical[0]).statuses != [200]:
            time.sleep(0.2)
        self.gone = time.monotonic() >= deadline


def reproduction(failure: Failure, seed: int, directory: Path) -> str:
    """Write what was sent to a file; one line that sends it again."""
    directory.mkdir(parents=True, exist_ok=True)
    path, request = directory / f"{seed}-{failure.number}.body", failure.case.request
    if (
        request is None
        or len(failure.case.sent) > 2
        or sum(map(len, request.headers.values())) > 500
        or len(request.path) > 500
    ):
        path.write_bytes(failure.case.raw)
        return f"python -m bench.fuzz --seed {seed} --case {failure.number}   # {path}"
    path.write_bytes(request.body)
    url = f"http://127.0.0.1:8000{request.path}"
    command = ["curl", "-sS", "-o/dev/null", "-w%{http_code}", "--data-binary", f"@{path}", "-X", request.method]
    for name, value in _for_curl(request.headers).items():
        command += ["-H", f"{name}: {value}"]
    return shlex.join([*command, url])


def _for_curl(headers: Mapping[str, str]) -> dict[str, str]:
    return {"expect": "", **headers}
