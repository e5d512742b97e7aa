"""The service that is fuzzed: `myriad serve` of a small fleet that was fitted for it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

from bench.fuzz.case import Fleet
from bench.shared.service import Service, serving
from myriad.training.fleets import synthetic
from myriad.training.job.config import JobFile
from myriad.training.run import run

END, DAYS, HOSTS = 1_767_571_200, 4, 2
WORKERS = 2


def fleet_of(telemetry: synthetic.Fleet) -> Fleet:
    """What valid requests to a service of some telemetry are about: its series, two hours before its end."""
    return Fleet(telemetry.series, int(telemetry.timestamps[-1]) + 60 - 7200)


def telemetry() -> synthetic.Fleet:
    """Two regions of two hosts with four metrics."""
    return synthetic.fleet(end=END, days=DAYS, hosts=HOSTS, incidents=1)


@contextlib.contextmanager
def started(directory: Path) -> Iterator[Service]:
    """A service of that telemetry, with default bounds."""
    history = telemetry().table(0, END - synthetic.DAY)
    pyarrow.parquet.write_table(history, directory / "history.parquet")
    candidates = [{"adapter": "ewma", "windows": ["1m"]}, {"adapter": "seasonal", "windows": ["15m", "1h"]}]
    job = {
        "history": {"files": [str(directory / "history.parquet")]},
        "metrics": [{"match": "*", "candidates": candidates}],
        "store": f"file://{directory / 'store'}",
        "fallback": ["region", "global"],
        "workers": 1,
    }
    found = JobFile.model_validate(job)
    run(found, directory / "work")
    with serving(
        found.store, directory / "local", directory / "serve.log", workers=WORKERS, poll_seconds=3600
    ) as service:
        yield service
