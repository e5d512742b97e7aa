"""Latency: first answers with nothing local and from the local tier, and answers from open shards."""

import contextlib
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from bench.fleet import LOCAL_BYTES, Fleet, elsewhere, scratch, single
from bench.report import quantiles
from bench.service import Client, Service, serving
from bench.weed import BUCKET
from myriad.storage.release import Artifact

MOST_STARTS = 8


def started(
    fleet: Fleet, parent: Path, directory: Path | None = None, core: int | None = None, **settings: object
) -> "contextlib.AbstractContextManager[Service]":
    """A service with room for the fleet and one more, that looks for a new release once an hour if not told otherwise.

    Args:
        fleet: to serve.
        parent: where its log goes.
        directory: the local one; the fleet's where None.
        core: to run on; any where None.
        settings: more of `myriad serve`'s.
    """
    usual: dict[str, object] = {"cache_bytes": 3 * fleet.raw_bytes, "local_bytes": LOCAL_BYTES, "poll_seconds": 3600}
    return serving(fleet.store, directory or fleet.directory, parent / "serve.log", core, **usual | settings)


def cold(fleet: Fleet, parent: Path, samples: int) -> dict[str, float]:
    """First answers with an empty local directory, beside a bare GetObject of the same artifact.

    Args:
        fleet: to ask.
        parent: for local directories and logs.
        samples: how many, or as many as there are shards in a few starts of a service.
    """
    draw, get = random.Random(3), _getter(fleet)
    answers: list[float] = []
    bare: list[float] = []
    ready: list[float] = []
    while len(answers) < samples and len(ready) < MOST_STARTS:
        with scratch(parent) as fresh, started(fleet, parent, Path(fresh)) as service, service.client() as client:
            ready.append(service.ready_seconds)
            posted(client, elsewhere())
            for artifact, body in _shards(fleet, draw)[: samples - len(answers)]:
                pair = [(answers, partial(posted, client, body)), (bare, partial(get, artifact))]
                for times, act in random.Random(len(answers)).sample(pair, 2):  # neither is always the first to ask
                    times.append(_timed(act))
    return {**quantiles(answers), **quantiles(bare, "get_object"), "start_to_ready_seconds": min(ready)}


def warm(fleet: Fleet, parent: Path, samples: int) -> dict[str, float]:
    """First answers where the local directory has everything and no shard is open; as `cold`."""
    draw = random.Random(4)
    answers: list[float] = []
    ready: list[float] = []
    while len(answers) < samples and len(ready) < MOST_STARTS:
        with started(fleet, parent) as service, service.client() as client:
            ready.append(service.ready_seconds)
            posted(client, elsewhere())
            bodies = [body for _, body in _shards(fleet, draw)[: samples - len(answers)]]
            answers += [_timed(partial(posted, client, body)) for body in bodies]
    return {**quantiles(answers), "start_to_ready_seconds": min(ready)}


def hot(fleet: Fleet, service: Service, samples: int) -> dict[str, float]:
    """Answers from open shards to requests for random series, one after the other."""
    bodies = [single(series) for series in fleet.drawn(samples, random.Random(5))]
    with service.client() as client:
        return quantiles([_timed(partial(posted, client, body)) for body in bodies])


def posted(client: Client, body: bytes) -> bytes:
    """The answer to a request.

    Raises:
        RuntimeError: it is an error.
    """
    status, answer = client.post(body)
    if status != 200:
        raise RuntimeError(f"/predict answered {status}: {answer[:300]!r}")
    return answer


def _shards(fleet: Fleet, draw: random.Random) -> list[tuple[Artifact, bytes]]:
    """Every artifact, in random order, with a request for a series in it."""
    pairs = list(zip(fleet.artifacts, fleet.one_a_shard(draw), strict=True))
    draw.shuffle(pairs)
    return [(artifact, single(series)) for artifact, series in pairs]


def _getter(fleet: Fleet) -> Callable[[Artifact], bytes]:
    client: Any = boto3.client("s3")
    prefix = fleet.store.removeprefix(f"s3://{BUCKET}/")

    def get(artifact: Artifact) -> bytes:
        key = f"{prefix}/artifacts/{artifact.hash}.st.zst"
        body: bytes = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    client.get_object(Bucket=BUCKET, Key=f"{prefix}/CURRENT")["Body"].read()  # the connection
    return get


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
