"""Latency of health checks and single requests while ticks are being scored, and while none are."""

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.shared.cpu_pinning import LOAD_CORE, running_on
from bench.shared.fleet import Fleet
from bench.shared.report import quantiles
from bench.shared.service import Client, Service
from bench.speed.tick_formats import FORMATS, Format, TickSource
from bench.speed.tick_latency import post_tick

PROBES_PER_SECOND = 50
"""Requests of each kind at most; the next one is only sent after the answer to the one before."""
MIN_TICKS = 3


class Probe:
    """Sends a small request at regular intervals over a connection of its own, in a thread, until stopped."""

    def __init__(self, service: Service, send: Callable[[Client, int], int]) -> None:
        """Start the thread.

        Args:
            service: to send to.
            send: sends the request of a number over a connection and returns the status.
        """
        self.seconds: list[float] = []
        self.failed = 0
        self._service, self._send, self._stopped = service, send, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with self._service.client() as client:
            while not self._stopped.wait(1 / PROBES_PER_SECOND):
                started = time.perf_counter()
                try:
                    self.failed += self._send(client, len(self.seconds)) != 200
                except (OSError, http.client.HTTPException):
                    client.close()
                    self.failed += 1
                self.seconds.append(time.perf_counter() - started)


def measure(
    fleet: Fleet, service: Service, bodies: Sequence[bytes], count: int, seconds: float
) -> Iterator[tuple[str, dict[str, float]]]:
    """Latencies without any tick (`calm`), then with ticks in one format after the other.

    Args:
        fleet: to take the series of the ticks from.
        service: of one worker, with every shard of the fleet open.
        bodies: of single requests.
        count: series in a tick.
        seconds: to measure for; longer if `MIN_TICKS` take longer.

    Yields:
        `calm` or the name of the format, and its figures.
    """
    table = TickSource(fleet.by_host[:count]).table(2)
    with running_on(LOAD_CORE):
        with _probing(service, bodies) as probes:
            time.sleep(seconds)
        yield "calm", _figures(probes)
        for name, format_ in FORMATS.items():
            body = format_.body(table)
            with _probing(service, bodies) as probes:
                ticks, tick_seconds = _send_ticks(service, format_, body, seconds)
            yield name, {**_figures(probes), "series": count, "ticks": ticks, "tick_seconds": tick_seconds}


@contextlib.contextmanager
def _probing(service: Service, bodies: Sequence[bytes]) -> Iterator[dict[str, Probe]]:
    """Health checks and single requests for the duration of the block."""
    probes = {
        "health": Probe(service, lambda client, _: client.get("/health/live")[0]),
        "single": Probe(service, lambda client, number: client.post(bodies[number % len(bodies)])[0]),
    }
    try:
        yield probes
    finally:
        for probe in probes.values():
            probe.stop()


def _send_ticks(service: Service, format_: Format, body: bytes, seconds: float) -> tuple[int, float]:
    """Send a tick repeatedly; the number of answers, and the mean seconds of one."""
    started, ticks = time.monotonic(), 0
    with service.client() as client:
        while ticks < MIN_TICKS or time.monotonic() < started + seconds:
            post_tick(client, format_, body)
            ticks += 1
    return ticks, (time.monotonic() - started) / ticks


def _figures(probes: Mapping[str, Probe]) -> dict[str, float]:
    figures: dict[str, float] = {"failed": sum(probe.failed for probe in probes.values())}
    for name, probe in probes.items():
        figures |= quantiles(probe.seconds, name) | {f"{name}_max_ms": max(probe.seconds) * 1e3}
    return figures
