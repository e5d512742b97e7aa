"""Publishing: what it takes to write a fleet, and what its models would take as pickles."""

import json
import os
import pickle
import random
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.fleet import LOCAL_BYTES, Fleet, compressed, opener
from bench.service import MYRIAD
from myriad.models.base import Model
from myriad.storage.artifact import compress, views
from myriad.storage.release import Artifact, Manifest, Releases
from myriad.storage.shard import NO_MODEL, Entries, Shard, concatenated, entries_of
from myriad.storage.url import open_store
from myriad.training.fleets.reference import PLAN
from myriad.training.publish import publish

SAMPLE = 300
"""Series whose models are pickled."""


def synthesised(store: str, series: int, seed: int = 7) -> dict[str, Any]:
    """Publish a reference fleet and tell what it took."""
    started = time.perf_counter()
    told = _myriad("synth", "--series", str(series), "--seed", str(seed), "--store", store)
    seconds, releases = time.perf_counter() - started, Releases(open_store(store))
    manifest = msgspec.json.encode(releases.manifest(told["release"]))
    return {
        "seconds": seconds,
        "puts": told["artifacts"] + 2,  # the manifest and the pointer
        "series": told["series"],
        "models": told["models"],
        "bytes": told["bytes"],
        "bytes_a_model": told["bytes"] / told["models"],
        "raw_bytes_a_model": told["raw_bytes_a_model"],
        "manifest_bytes": len(manifest),
    }


def warmed(store: str, directory: Path) -> dict[str, float]:
    """Bring a fleet into a local directory with `myriad warm` and tell what it took."""
    started = time.perf_counter()
    told = _myriad("warm", "--store", store, "--local-directory", str(directory), MYRIAD_LOCAL_BYTES=str(LOCAL_BYTES))
    return {"seconds": time.perf_counter() - started, "bytes": told["bytes"]}


def stored(fleet: Fleet, bytes_a_model: float) -> dict[str, float]:
    """What a model takes in an artifact, in an index, and as a pickle of its own."""
    draw = random.Random(1)
    some = [fleet.artifacts[i] for i in draw.sample(range(len(fleet.artifacts)), min(20, len(fleet.artifacts)))]
    opened = opener(fleet.store, fleet.directory)
    shards = [opened(artifact) for artifact in some]
    seasonal = sum(_seasonal_bytes(shard) for shard in shards) / sum(_count(shard, "seasonal") for shard in shards)
    pickles = [pickle.dumps(model) for shard in shards for model in _sampled(shard, -(-SAMPLE // len(shards)), draw)]
    raw, packed = float(np.mean([len(p) for p in pickles])), float(np.mean([len(compress(p)) for p in pickles]))
    return {
        "seasonal_bytes_a_model": seasonal,
        "index_bytes_a_model": sum(_index_bytes(fleet, a) for a in some) / sum(a.models for a in some),
        "pickle_bytes_a_model": raw,
        "zstd_pickle_bytes_a_model": packed,
        "ratio_to_pickles": raw / bytes_a_model,
        "ratio_to_zstd_pickles": packed / bytes_a_model,
        "pickles_sampled": len(pickles),
    }


def republished(fleet: Fleet, share: float) -> tuple[Manifest, list[int]]:
    """A new release in which a share of the shards, at these positions, was trained again."""
    count = max(1, round(share * len(fleet.artifacts)))
    changed = sorted(random.Random(2).sample(range(len(fleet.artifacts)), count))
    opened, releases = opener(fleet.store, fleet.directory), fleet.releases
    entries = concatenated([_retrained(entries_of(opened(fleet.artifacts[position]))) for position in changed])
    provenance = {"bench": f"{share:.0%} of the shards changed"}
    return publish(releases, entries, PLAN, releases.head(), provenance, fleet.manifest), changed


def _retrained(entries: Entries) -> Entries:
    models: dict[tuple[int, int], Model] = {}
    for at, model in entries.models.items():
        models[at] = model.calibrated(model.arrays["threshold"] * 1.25, model.arrays["floor"] * 1.25)
    return replace(entries, fitted_at=entries.fitted_at + 86400, models=models)


def _sampled(shard: Shard, count: int, draw: random.Random) -> list[Model]:
    """The seasonal models, at every window, of some series, each an object of its own."""
    code = shard.adapters.index("seasonal")
    there = np.flatnonzero((shard.adapter == code).all(axis=1)).tolist()
    chosen = draw.sample(there, min(count, len(there)))
    return [shard.models[w, code].take([shard.row[i, w]]) for i in chosen for w in range(len(shard.windows))]


def _seasonal_bytes(shard: Shard) -> int:
    """Compressed bytes of the seasonal models alone."""
    code = shard.adapters.index("seasonal")
    models = {at: model for at, model in shard.models.items() if at[1] == code}
    return compressed({f"{at[0]}/{name}": array for at, m in models.items() for name, array in m.arrays.items()})


def _count(shard: Shard, adapter: str) -> int:
    return int((shard.adapter[shard.adapter != NO_MODEL] == shard.adapters.index(adapter)).sum())


def _index_bytes(fleet: Fleet, artifact: Artifact) -> int:
    arrays, _ = views(artifact.hash, fleet.releases.get_artifact(artifact))
    return sum(array.nbytes for name, array in arrays.items() if name.startswith("index/"))


def _myriad(*arguments: str, **environment: str) -> Mapping[str, Any]:
    command = [MYRIAD, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        raise RuntimeError(f"myriad {arguments[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told
