"""Release swap: requests from another process while a server switches to a new release."""

import contextlib
import hashlib
import http.client
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import NamedTuple

from bench.shared import myriad_cli
from bench.shared.fleet import Fleet, shard_opener
from bench.shared.report import quantiles
from bench.shared.request_bodies import bulk_body, single_series_body
from bench.shared.service import Client, Service
from myriad.models.base import Model
from myriad.storage.shard import Entries, concatenated, entries_of
from myriad.training.fleets.reference import PLAN
from myriad.training.publish import publish

REQUESTS_PER_SECOND = 100
SINGLE_REQUESTS, BULK_REQUESTS, BULK_SERIES = 180, 20, 20
SWAP_TIMEOUT_SECONDS = 600
SETTLE_SECONDS = 0.1
"""Time after the switch that still counts as swap: the old release is being dropped."""


class SwapTarget(NamedTuple):
    """A release to switch to, and the positions of the artifacts in which it differs from the fleet's."""

    release: str
    changed: Sequence[int]


class SentRequest(NamedTuple):
    """A request that was sent.

    Attributes:
        body: number of its body.
        due: when it was due, on the monotonic clock.
        seconds: from then until its answer.
        status: of the answer; 0 if there was none.
        digest: of the answer.
    """

    body: int
    due: float
    seconds: float
    status: int
    digest: bytes


class Traffic:
    """Requests at a steady rate from another process."""

    def __init__(self, port: int, bodies: Sequence[bytes]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child_pipe = context.Pipe()
        self._process = context.Process(target=_send_requests, args=(child_pipe, port, list(bodies)), daemon=True)
        self._process.start()
        self._pipe.recv()  # it has started

    def stop(self) -> list[SentRequest]:
        """Stop, and return the requests that were sent."""
        self._pipe.send(None)
        sent: list[SentRequest] = self._pipe.recv()
        self.kill()
        return sent

    def kill(self) -> None:
        """Kill the process if it is still running."""
        self._process.kill()
        self._process.join()


@contextlib.contextmanager
def sending_traffic(service: Service, bodies: Sequence[bytes]) -> Iterator[Traffic]:
    """Traffic that is stopped at the latest when the block ends."""
    traffic = Traffic(service.port, bodies)
    try:
        yield traffic
    finally:
        traffic.kill()


def publish_targets(fleet: Fleet) -> dict[str, SwapTarget]:
    """Publish a release with 1 % of the shards changed and one with all changed; the fleet's stays current."""
    few = _publish_changed(fleet, 0.01)
    myriad_cli.synth(fleet.store, fleet.series_count, seed=8)
    everything = fleet.releases.head().release
    fleet.releases.rollback(fleet.manifest.id)
    return {"1%": few, "100%": SwapTarget(everything, range(len(fleet.artifacts)))}


def measure(fleet: Fleet, service: Service, target: SwapTarget, seconds_before: float) -> dict[str, float]:
    """Switch the store to another release and watch the service take it up.

    An answer is `mixed` if it is, byte by byte, neither the old release's nor the new release's.

    Args:
        fleet: being served, with every shard open.
        service: of one worker.
        target: the release to switch to.
        seconds_before: of requests before the switch.
    """
    bodies, releases = _bodies(fleet, target.changed), fleet.releases
    old_answers = _answer_digests(service, bodies)
    with sending_traffic(service, bodies) as traffic:
        time.sleep(seconds_before)
        started = time.monotonic()
        releases.rollback(target.release)
        switched = time.monotonic()
        await_release(service, target.release)
        seconds = time.monotonic() - switched
        time.sleep(max(seconds_before / 4, 2 * SETTLE_SECONDS))
        sent = traffic.stop()
    new_answers = _answer_digests(service, bodies)
    during = [request for request in sent if started <= request.due <= switched + seconds + SETTLE_SECONDS]
    differing = sum(a != b for a, b in zip(old_answers, new_answers, strict=True))
    if differing < BULK_REQUESTS:
        raise RuntimeError(f"only {differing} of the answers differ between the releases: this would show nothing")
    answered = [request for request in sent if request.status == 200]
    return {
        "artifacts": len(target.changed),
        "seconds": seconds,
        **quantiles([request.seconds for request in sent if request.due < started], "before"),
        **quantiles([request.seconds for request in during], "during"),
        "longest_ms": max(request.seconds for request in during) * 1e3,
        "requests": len(sent),
        "failed": len(sent) - len(answered),
        "mixed": sum(r.digest not in (old_answers[r.body], new_answers[r.body]) for r in answered),
    }


def await_release(service: Service, release: str) -> None:
    """Wait until the service serves a release.

    Raises:
        RuntimeError: it does not within `SWAP_TIMEOUT_SECONDS`.
    """
    deadline = time.monotonic() + SWAP_TIMEOUT_SECONDS
    with service.client() as client:
        while client.release != release:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the service does not take up {release}")
            time.sleep(0.02)


def _publish_changed(fleet: Fleet, share: float) -> SwapTarget:
    """Publish a release in which a share of the shards has other models."""
    count = max(1, round(share * len(fleet.artifacts)))
    changed = sorted(random.Random(2).sample(range(len(fleet.artifacts)), count))
    open_shard, releases = shard_opener(fleet.store, fleet.directory), fleet.releases
    entries = concatenated([_recalibrated(entries_of(open_shard(fleet.artifacts[i]))) for i in changed])
    provenance = {"bench": f"{share:.0%} of the shards changed"}
    manifest = publish(releases, entries, PLAN, releases.head(), provenance, fleet.manifest)
    return SwapTarget(manifest.id, changed)


def _recalibrated(entries: Entries) -> Entries:
    """The entries as if trained a day later, with thresholds a quarter higher."""
    models: dict[tuple[int, int], Model] = {}
    for key, model in entries.models.items():
        models[key] = model.calibrated(model.arrays["threshold"] * 1.25, model.arrays["floor"] * 1.25)
    return replace(entries, fitted_at=entries.fitted_at + 86400, models=models)


def _bodies(fleet: Fleet, changed: Sequence[int]) -> list[bytes]:
    """Requests of which half are for series in changed shards; bulk requests span changed and other shards."""
    rng = random.Random(8)
    changed_shards = [fleet.series[position] for position in changed]
    in_changed = [rng.choice(rng.choice(changed_shards)) for _ in range(SINGLE_REQUESTS // 2)]
    bodies = [single_series_body(series) for series in in_changed + fleet.sample(SINGLE_REQUESTS // 2, rng)]
    for _ in range(BULK_REQUESTS):
        in_changed = [rng.choice(rng.choice(changed_shards)) for _ in range(BULK_SERIES // 2)]
        bodies.append(bulk_body(dict.fromkeys(in_changed + fleet.sample(BULK_SERIES // 2, rng))))
    rng.shuffle(bodies)
    return bodies


def _answer_digests(service: Service, bodies: Sequence[bytes]) -> list[bytes]:
    with service.client() as client:
        return [_digest(client.predict(body)) for body in bodies]


def _digest(answer: bytes) -> bytes:
    return hashlib.blake2b(answer, digest_size=16).digest()


def _send_requests(pipe: Connection, port: int, bodies: Sequence[bytes]) -> None:
    """The sending process: requests at a steady rate, each timed from when it was due, until the pipe says stop."""
    client, sent = Client(port), list[SentRequest]()
    pipe.send(None)
    started = time.monotonic()
    while not pipe.poll():
        due = started + len(sent) / REQUESTS_PER_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        number = len(sent) % len(bodies)
        try:
            status, answer = client.post(bodies[number])
        except (OSError, http.client.HTTPException):
            client.close()
            status, answer = 0, b""
        sent.append(SentRequest(number, due, time.monotonic() - due, status, _digest(answer)))
    client.close()
    pipe.send(sent)
