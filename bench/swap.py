"""Swap: requests from another process while a server takes up a new release."""

import contextlib
import hashlib
import http.client
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

from bench.fleet import Fleet, bulk, single
from bench.latency import posted
from bench.report import quantiles
from bench.service import Client, Service

REQUESTS_A_SECOND = 100
SINGLES, BULKS, BULK_SERIES = 180, 20, 20
GIVE_UP_SECONDS = 600
AFTER_SECONDS = 0.1
"""Letting go of the old release is a part of the swap."""


class Sent(NamedTuple):
    """One request: when it was due and how long after that it was answered, and with what; monotonic seconds."""

    request: int
    due: float
    seconds: float
    status: int
    digest: bytes


class Traffic:
    """Requests at a steady rate from a process of their own."""

    def __init__(self, port: int, bodies: Sequence[bytes]) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_send, args=(theirs, port, list(bodies)), daemon=True)
        self._process.start()
        self._ours.recv()  # it has begun

    def stop(self) -> list[Sent]:
        """End it and tell what it sent."""
        self._ours.send(None)
        sent: list[Sent] = self._ours.recv()
        self.end()
        return sent

    def end(self) -> None:
        """End it however it is."""
        self._process.kill()
        self._process.join()


@contextlib.contextmanager
def traffic(service: Service, bodies: Sequence[bytes]) -> Iterator[Traffic]:
    """Traffic that ends with the block at the latest."""
    running = Traffic(service.port, bodies)
    try:
        yield running
    finally:
        running.end()


def swap(fleet: Fleet, service: Service, release: str, changed: Sequence[int], calm: float) -> dict[str, float]:
    """Move the pointer to a release and watch the service take it up.

    Args:
        fleet: being served, all of it open.
        service: to watch; one worker.
        release: to move to; where it differs from the fleet's the answers do.
        changed: positions of the artifacts that differ.
        calm: seconds of requests before.

    Returns:
        An answer is mixed where it is, byte by byte, neither what the release before nor what the one after answers.
    """
    bodies, releases = _bodies(fleet, changed), fleet.releases
    before = _answers(service, bodies)
    with traffic(service, bodies) as running:
        time.sleep(calm)
        until = time.monotonic()
        releases.rollback(release)
        moved = time.monotonic()
        await_release(service, release)
        seconds = time.monotonic() - moved
        time.sleep(max(calm / 4, 2 * AFTER_SECONDS))
        sent = running.stop()
    after = _answers(service, bodies)
    during = [one for one in sent if until <= one.due <= moved + seconds + AFTER_SECONDS]
    differing = sum(a != b for a, b in zip(before, after, strict=True))
    if differing < BULKS:
        raise RuntimeError(f"only {differing} of the answers differ between the releases: this would show nothing")
    return {
        "artifacts": len(changed),
        "seconds": seconds,
        **quantiles([one.seconds for one in sent if one.due < until], "before"),
        **quantiles([one.seconds for one in during], "during"),
        "longest_ms": max(one.seconds for one in during) * 1e3,
        "requests": len(sent),
        "failed": sum(one.status != 200 for one in sent),
        "mixed": sum(one.status == 200 and one.digest not in (before[one.request], after[one.request]) for one in sent),
    }


def await_release(service: Service, release: str) -> None:
    """Return when the service serves the release.

    Raises:
        RuntimeError: it does not take it up.
    """
    deadline = time.monotonic() + GIVE_UP_SECONDS
    with service.client() as client:
        while client.release != release:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the service does not take up {release}")
            time.sleep(0.02)


def _bodies(fleet: Fleet, changed: Sequence[int]) -> list[bytes]:
    """Requests half of which are for series in changed shards; the bulk ones span changed and other shards."""
    draw = random.Random(8)
    touched = [fleet.series[position] for position in changed]
    half = [draw.choice(draw.choice(touched)) for _ in range(SINGLES // 2)]
    singles = [single(series) for series in half + fleet.drawn(SINGLES // 2, draw)]
    bulks = []
    for _ in range(BULKS):
        some = [draw.choice(draw.choice(touched)) for _ in range(BULK_SERIES // 2)]
        bulks.append(bulk(dict.fromkeys(some + fleet.drawn(BULK_SERIES // 2, draw))))
    bodies = singles + bulks
    draw.shuffle(bodies)
    return bodies


def _answers(service: Service, bodies: Sequence[bytes]) -> list[bytes]:
    with service.client() as client:
        return [_digest(posted(client, body)) for body in bodies]


def _digest(answer: bytes) -> bytes:
    return hashlib.blake2b(answer, digest_size=16).digest()


def _send(pipe: Connection, port: int, bodies: Sequence[bytes]) -> None:
    """The other process: a request every so often, each timed from when it was due, until told to stop."""
    client, sent = Client(port), list[Sent]()
    pipe.send(None)
    begun = time.monotonic()
    while not pipe.poll():
        due = begun + len(sent) / REQUESTS_A_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        request = len(sent) % len(bodies)
        try:
            status, answer = client.post(bodies[request])
        except (OSError, http.client.HTTPException):
            client.close()
            status, answer = 0, b""
        sent.append(Sent(request, due, time.monotonic() - due, status, _digest(answer)))
    client.close()
    pipe.send(sent)
