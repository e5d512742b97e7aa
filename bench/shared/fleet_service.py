"""`myriad serve` for a fleet, with room for all of it."""

import contextlib
import random
import time
from pathlib import Path

from bench.shared.fleet import LOCAL_BYTES, Fleet
from bench.shared.request_bodies import bulk_body
from bench.shared.service import Service, serving

OPEN_SECONDS = 300


def serving_fleet(
    fleet: Fleet, log_directory: Path, local_directory: Path | None = None, core: int | None = None, **settings: object
) -> "contextlib.AbstractContextManager[Service]":
    """A service whose cache holds the fleet and one more, and which polls for a new release once an hour.

    Args:
        fleet: to serve.
        log_directory: for the log.
        local_directory: of the service; the fleet's if None.
        core: to pin the service to; no pinning if None.
        settings: further options of `myriad serve`, which override the above.
    """
    defaults: dict[str, object] = {"cache_bytes": 3 * fleet.raw_bytes, "local_bytes": LOCAL_BYTES, "poll_seconds": 3600}
    directory = local_directory or fleet.directory
    return serving(fleet.store, directory, log_directory / "serve.log", core, **defaults | settings)


def open_all_shards(fleet: Fleet, service: Service, workers: int) -> None:
    """Make every worker open every shard.

    Raises:
        RuntimeError: they did not within `OPEN_SECONDS`.
    """
    body, deadline = bulk_body(fleet.one_per_shard(random.Random(6))), time.monotonic() + OPEN_SECONDS
    while service.open_bytes < workers * fleet.raw_bytes:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{service.open_bytes} bytes are open, not {workers} times {fleet.raw_bytes}")
        with service.client() as client:  # a new connection may reach any worker
            client.predict(body)
