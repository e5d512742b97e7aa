"""The fleet every peer serves: seasonal series of the reference fleet, as a release and as one file a model."""

import os
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers.model import Seasonal
from bench.shared.fleet import Fleet, shard_opener
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
    """Publish a release of `series` seasonal series: the first ones in each region of a fleet ten times as large."""
    releases, regions = Releases(open_store(store)), {}
    share = series // len(reference.REGIONS)
    for region, entries in reference.fleet(10 * series, seed):
        chosen = np.flatnonzero((entries.adapter == SEASONAL).all(axis=1))[:share]
        if len(chosen) < share:
            raise ValueError(f"{region} has only {len(chosen)} seasonal series of {share}")
        regions[region] = put_region(releases, entries.take(chosen))
    return commit(releases, regions, reference.PLAN, reference.NAMES, None, {"reference fleet": f"{series} series"})


def models(fleet: Fleet) -> Iterator[tuple[Series, str, Seasonal]]:
    """Every model of a release, with its series and window."""
    open_shard = shard_opener(fleet.store, fleet.directory)
    for artifact in fleet.artifacts:
        shard = open_shard(artifact)
        for position in range(len(shard)):
            for window, text in enumerate(fleet.manifest.windows):
                yield shard.name_of(position), text, model_of(shard, position, window)


def model_of(shard: Shard, position: int, window: int) -> Seasonal:
    """The peers' form of a model, by its position in a shard and the number of its window."""
    stacked = shard.models[window, int(shard.adapter[position, window])]
    row = int(shard.row[position, window])
    arrays: dict[str, NDArray[Any]] = {name: array[row] for name, array in stacked.arrays.items()}
    hour, day, week = (arrays[name].astype(np.float32) for name in ("hour", "day", "week"))
    profile = np.tile(hour, DAYS) + np.repeat(day, HOURS) + week
    spread = arrays["unit"] * arrays["spread"].astype(np.float64)
    half = np.maximum(spread * np.float64(arrays["threshold"]), arrays["floor"])
    divisors = shard.combined[position, COMBINES.index("weighted")].astype(np.float32)
    return Seasonal(float(arrays["center"]), float(arrays["unit"]), profile, half, divisors)


def export(fleet: Fleet, python: Path, root: Path, directory: Path) -> None:
    """Write every model to REGION/HOST/METRIC/WINDOW.joblib with the joblib of another environment.

    Args:
        fleet: to export.
        python: of that environment.
        root: of the repository.
        directory: for the files.

    Raises:
        RuntimeError: the export failed.
    """
    command = [str(python), "-m", "bench.peers.joblib_export", str(directory)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": ""}) as process:
        if process.stdin is None:
            raise RuntimeError("the exporter has no input")
        for series, window, model in models(fleet):
            pickle.dump((f"{'/'.join(series)}/{window}.joblib", model), process.stdin)
        process.stdin.close()
    if process.returncode:
        raise RuntimeError(f"the exporter ended with {process.returncode}")


def sizes(directory: Path) -> dict[str, int]:
    """Number of files below a directory, their bytes, and the bytes of disk they take."""
    stats = [path.stat() for path in directory.rglob("*") if path.is_file()]
    return {
        "files": len(stats),
        "bytes": sum(stat.st_size for stat in stats),
        "disk_bytes": sum(stat.st_blocks * 512 for stat in stats),
    }
