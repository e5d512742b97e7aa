"""Fleet: the reference fleet's seasonal series as a release of Myriad's, and as a model file a series and window."""

import os
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.fleet import Fleet, opener
from bench.peers.model import Seasonal
from myriad.models.ensemble import COMBINES
from myriad.models.key import Series
from myriad.storage.release import Manifest, Releases
from myriad.storage.shard import Shard
from myriad.storage.url import open_store
from myriad.training.fleets import reference
from myriad.training.publish import commit, put_region

DAYS, HOURS = 7, 24
SEASONAL = reference.NAMES.index("seasonal")


def publish(store: str, series: int, seed: int = 7) -> Manifest:
    """The first seasonal series of each region of a fleet twice as large as needed, `series` in all, as a release."""
    releases, regions = Releases(open_store(store)), {}
    share = series // len(reference.REGIONS)
    for region, entries in reference.fleet(2 * series, seed):
        chosen = np.flatnonzero((entries.adapter == SEASONAL).all(axis=1))[:share]
        if len(chosen) < share:
            raise ValueError(f"{region} has only {len(chosen)} seasonal series of {share}")
        regions[region] = put_region(releases, entries.take(chosen))
    return commit(releases, regions, reference.PLAN, reference.NAMES, None, {"reference fleet": f"{series} series"})


def models(fleet: Fleet) -> Iterator[tuple[Series, str, Seasonal]]:
    """Every model of a release, taken from its shards."""
    opened = opener(fleet.store, fleet.directory)
    for artifact in fleet.artifacts:
        shard = opened(artifact)
        for position in range(len(shard)):
            for window, text in enumerate(fleet.manifest.windows):
                yield shard.name_of(position), text, model_of(shard, position, window)


def model_of(shard: Shard, position: int, window: int) -> Seasonal:
    """One model of a shard, as the peers have it."""
    stacked = shard.models[window, int(shard.adapter[position, window])]
    row = int(shard.row[position, window])
    of: dict[str, NDArray[Any]] = {name: array[row] for name, array in stacked.arrays.items()}
    hour, day, week = (of[name].astype(np.float32) for name in ("hour", "day", "week"))
    profile = np.tile(hour, DAYS) + np.repeat(day, HOURS) + week
    spread = of["unit"] * of["spread"].astype(np.float64)
    half = np.maximum(spread * np.float64(of["threshold"]), of["floor"])
    divisors = shard.combined[position, COMBINES.index("weighted")].astype(np.float32)
    return Seasonal(float(of["center"]), float(of["unit"]), profile, half, divisors)


def export(fleet: Fleet, python: Path, root: Path, to: Path) -> None:
    """Write every model to a joblib file, REGION/HOST/METRIC/WINDOW.joblib, with another environment's joblib."""
    command = [str(python), "-m", "bench.peers.export", str(to)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": ""}) as process:
        if process.stdin is None:
            raise RuntimeError("the exporter has no input")
        for series, window, model in models(fleet):
            pickle.dump((f"{'/'.join(series)}/{window}.joblib", model), process.stdin)
        process.stdin.close()
    if process.returncode:
        raise RuntimeError(f"the exporter ended with {process.returncode}")


def sizes(directory: Path) -> dict[str, int]:
    """Files below a directory: how many, their bytes, and the bytes of disk they take."""
    found = [path.stat() for path in directory.rglob("*") if path.is_file()]
    return {
        "files": len(found),
        "bytes": sum(one.st_size for one in found),
        "disk_bytes": sum(one.st_blocks * 512 for one in found),
    }
