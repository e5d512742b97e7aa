"""Wrk: as many single requests as a server takes, from a program that costs it nothing."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cores import pinned

_SCRIPT = """
local requests, at = {}, 0

function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines(%(bodies)s) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  at = at %% #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %%d, "seconds": %%.6f, "p50_ms": %%.4f, "p99_ms": %%.4f, "max_ms": %%.4f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Drive:
    """What came of a run: requests answered, how fast, and how many were not, or with an error."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: int

    @property
    def requests_a_second(self) -> float:
        """Their rate."""
        return self.requests / self.seconds


def missing() -> str:
    """Why there is no `wrk` to drive with; empty where there is."""
    return "" if shutil.which("wrk") else "wrk is not installed (a Debian package): no rates of single requests"


class Wrk:
    """Drives servers with the same bodies, one after the other and again from the first."""

    def __init__(self, bodies: Sequence[bytes], directory: Path, name: str) -> None:
        """Write the bodies, none of which has a line break, and the script that posts them."""
        lines = directory / f"{name}.bodies"
        lines.write_bytes(b"\n".join(bodies) + b"\n")
        self._script = directory / f"{name}.lua"
        self._script.write_text(_SCRIPT % {"bodies": json.dumps(str(lines))})

    def drive(self, port: int, path: str, connections: int, seconds: float, core: int | None) -> Drive:
        """Post for some seconds over some connections, a thread in all.

        Raises:
            RuntimeError: wrk says nothing that can be read.
        """
        command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={max(1, round(seconds))}s",
                   "--timeout=30s", f"--script={self._script}", f"http://127.0.0.1:{port}{path}"]  # fmt: skip
        done = subprocess.run(pinned(command, core), capture_output=True, text=True, check=False)
        said = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not said:
            raise RuntimeError(f"wrk ended with {done.returncode}:\n{done.stdout[-1000:]}\n{done.stderr[-1000:]}")
        told: dict[str, Any] = json.loads(said[-1])
        return Drive(**told)
