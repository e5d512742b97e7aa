"""Latency of a single-series request: cold, warm and hot.

Cold: the shard is only in S3. Warm: it is in the local directory and not open. Hot: it is open in memory.
"""

import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from bench.scale.seaweedfs import BUCKET
from bench.shared.fleet import Fleet, shard_opener
from bench.shared.fleet_service import serving_fleet
from bench.shared.report import quantiles
from bench.shared.request_bodies import single_series_body, unknown_series_body
from bench.shared.service import Service
from myriad.storage.release import Artifact

MAX_STARTS = 8


class ShardRequest(NamedTuple):
    """A request for one series, and the artifact its models are in."""

    artifact: Artifact
    body: bytes


def cold(fleet: Fleet, directory: Path, samples: int) -> dict[str, float]:
    """First answers with an empty local directory, compared with a plain GetObject of the same artifact.

    Args:
        fleet: to request.
        directory: for temporary local directories and logs.
        samples: number of requests; fewer if the fleet has fewer shards than that in `MAX_STARTS` starts.
    """
    rng, get_object = random.Random(3), _object_getter(fleet)
    answer_seconds: list[float] = []
    get_object_seconds: list[float] = []
    ready_seconds: list[float] = []
    while len(answer_seconds) < samples and len(ready_seconds) < MAX_STARTS:
        with (
            tempfile.TemporaryDirectory(dir=directory) as empty,
            serving_fleet(fleet, directory, Path(empty)) as service,
            service.client() as client,
        ):
            ready_seconds.append(service.ready_seconds)
            client.predict(unknown_series_body())
            for artifact, body in _one_request_per_shard(fleet, rng)[: samples - len(answer_seconds)]:
                pair = [
                    (answer_seconds, partial(client.predict, body)),
                    (get_object_seconds, partial(get_object, artifact)),
                ]
                for seconds, call in random.Random(len(answer_seconds)).sample(pair, 2):  # neither always goes first
                    seconds.append(_seconds_of(call))
    return {
        **quantiles(answer_seconds),
        **quantiles(get_object_seconds, "get_object"),
        "start_to_ready_seconds": min(ready_seconds),
    }


def warm(fleet: Fleet, directory: Path, samples: int) -> dict[str, float]:
    """First answers with a complete local directory and no shard open; arguments as for `cold`."""
    rng = random.Random(4)
    answer_seconds: list[float] = []
    ready_seconds: list[float] = []
    while len(answer_seconds) < samples and len(ready_seconds) < MAX_STARTS:
        with serving_fleet(fleet, directory) as service, service.client() as client:
            ready_seconds.append(service.ready_seconds)
            client.predict(unknown_series_body())
            requests = _one_request_per_shard(fleet, rng)[: samples - len(answer_seconds)]
            answer_seconds += [_seconds_of(partial(client.predict, request.body)) for request in requests]
    return {**quantiles(answer_seconds), "start_to_ready_seconds": min(ready_seconds)}


def hot(fleet: Fleet, service: Service, samples: int) -> dict[str, float]:
    """Answers from open shards to requests for random series, one after the other."""
    bodies = [single_series_body(series) for series in fleet.sample(samples, random.Random(5))]
    with service.client() as client:
        return quantiles([_seconds_of(partial(client.predict, body)) for body in bodies])


def reopen(fleet: Fleet, samples: int) -> dict[str, float]:
    """Time to open a shard from the local directory in this process."""
    rng, open_shard = random.Random(9), shard_opener(fleet.store, fleet.directory)
    artifacts = [fleet.artifacts[0], *rng.choices(fleet.artifacts, k=samples)]
    seconds = [_seconds_of(partial(open_shard, artifact)) for artifact in artifacts]
    return quantiles(seconds[1:], "reopen")  # the first one warms up the code


def _one_request_per_shard(fleet: Fleet, rng: random.Random) -> list[ShardRequest]:
    """A request for a random series of each shard, in random order."""
    pairs = list(zip(fleet.artifacts, fleet.one_per_shard(rng), strict=True))
    rng.shuffle(pairs)
    return [ShardRequest(artifact, single_series_body(series)) for artifact, series in pairs]


def _object_getter(fleet: Fleet) -> Callable[[Artifact], bytes]:
    client: Any = boto3.client("s3")
    prefix = fleet.store.removeprefix(f"s3://{BUCKET}/")

    def get_object(artifact: Artifact) -> bytes:
        key = f"{prefix}/artifacts/{artifact.hash}.st.zst"
        body: bytes = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    client.get_object(Bucket=BUCKET, Key=f"{prefix}/CURRENT")["Body"].read()  # opens the connection
    return get_object


def _seconds_of(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
