"""Beside: health checks and single requests while ticks are being scored, and while none are."""

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from bench.cores import LOAD, on
from bench.fleet import Fleet
from bench.report import quantiles
from bench.service import Client, Service
from bench.ticking import post
from bench.ticks import FORMATS, Format, Source

A_SECOND = 50
"""Requests of each kind at most; while one waits for its answer no other is sent."""
LEAST_TICKS = 3


class Probe:
    """Small requests every so often over a connection of their own, until stopped."""

    def __init__(self, service: Service, send: Callable[[Client, int], int]) -> None:
        """Begin.

        Args:
            service: to ask.
            send: sends the request of a number over a connection and returns the status.
        """
        self.seconds: list[float] = []
        self.failed = 0
        self._service, self._send, self._ended = service, send, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with self._service.client() as client:
            while not self._ended.wait(1 / A_SECOND):
                begun = time.perf_counter()
                try:
                    self.failed += self._send(client, len(self.seconds)) != 200
                except (OSError, http.client.HTTPException):
                    client.close()
                    self.failed += 1
                self.seconds.append(time.perf_counter() - begun)


def figures(
    fleet: Fleet, service: Service, bodies: Sequence[bytes], count: int, seconds: float
) -> Iterator[tuple[str, dict[str, float]]]:
    """Latencies with no tick at all (`calm`) and with ticks in each format, one after the other.

    Args:
        fleet: to take the ticks' series of.
        service: of one worker; all of the fleet open.
        bodies: of single requests.
        count: series of a tick.
        seconds: to measure for, or longer until a few ticks were answered.
    """
    table = Source(fleet.by_host[:count]).table(2)
    with on(LOAD):
        with _probes(service, bodies) as probes:
            time.sleep(seconds)
        yield "calm", _told(probes)
        for name, format_ in FORMATS.items():
            body = format_.body(table)
            with _probes(service, bodies) as probes:
                ticks, each = _ticked(service, format_, body, seconds)
            yield name, {**_told(probes), "series": count, "ticks": ticks, "tick_seconds": each}


@contextlib.contextmanager
def _probes(service: Service, bodies: Sequence[bytes]) -> Iterator[dict[str, Probe]]:
    """Health checks and single requests, as long as the block lasts."""
    probes = {
        "health": Probe(service, lambda client, _: client.get("/health/live")[0]),
        "single": Probe(service, lambda client, number: client.post(bodies[number % len(bodies)])[0]),
    }
    try:
        yield probes
    finally:
        for probe in probes.values():
            probe.stop()


def _ticked(service: Service, format_: Format, body: bytes, seconds: float) -> tuple[int, float]:
    """Send a tick again and again; how many were answered, and the seconds each took."""
    begun, ticks = time.monotonic(), 0
    with service.client() as client:
        while ticks < LEAST_TICKS or time.monotonic() < begun + seconds:
            post(client, format_, body)
            ticks += 1
    return ticks, (time.monotonic() - begun) / ticks


def _told(probes: dict[str, Probe]) -> dict[str, float]:
    found: dict[str, float] = {"failed": sum(probe.failed for probe in probes.values())}
    for name, probe in probes.items():
        found |= quantiles(probe.seconds, name) | {f"{name}_max_ms": max(probe.seconds) * 1e3}
    return found
