"""wrk, an HTTP load generator in C: as many requests as a server can take."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.shared.cpu_pinning import pinned

_SCRIPT = """
local requests, position = {}, 0

function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines(%(bodies)s) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  position = position %% #requests + 1
  return requests[position]
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
class WrkResult:
    """The result of a run; `failed` counts requests without an answer or with an error status."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: int

    @property
    def requests_a_second(self) -> float:
        """Rate of requests."""
        return self.requests / self.seconds


def missing() -> str:
    """The reason why `wrk` cannot be run; empty if it can."""
    return "" if shutil.which("wrk") else "wrk is not installed (a Debian package): no rates of single requests"


class Wrk:
    """Posts the same bodies to servers, over and over in the same order."""

    def __init__(self, bodies: Sequence[bytes], directory: Path, name: str) -> None:
        """Write the bodies and the Lua script that posts them.

        Args:
            bodies: without line breaks.
            directory: for both files.
            name: of both files.
        """
        lines = directory / f"{name}.bodies"
        lines.write_bytes(b"\n".join(bodies) + b"\n")
        self._script = directory / f"{name}.lua"
        self._script.write_text(_SCRIPT % {"bodies": json.dumps(str(lines))})

    def run(self, port: int, path: str, connections: int, seconds: float, core: int | None) -> WrkResult:
        """Post over several connections from one thread.

        Args:
            port: of the server.
            path: to post to.
            connections: number of them.
            seconds: to run, at least 1.
            core: to pin wrk to; no pinning if None.

        Raises:
            RuntimeError: wrk failed or printed no result.
        """
        command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={max(1, round(seconds))}s",
                   "--timeout=30s", f"--script={self._script}", f"http://127.0.0.1:{port}{path}"]  # fmt: skip
        process = subprocess.run(pinned(command, core), capture_output=True, text=True, check=False)
        results = [line for line in process.stdout.splitlines() if line.startswith("{")]
        if process.returncode or not results:
            output = f"{process.stdout[-1000:]}\n{process.stderr[-1000:]}"
            raise RuntimeError(f"wrk ended with {process.returncode}:\n{output}")
        result: dict[str, Any] = json.loads(results[-1])
        return WrkResult(**result)
