"""Stored sizes: bytes a model takes in an artifact, in the index, and as a pickle of its own."""

import pickle
import random

import numpy as np

from bench.shared.fleet import Fleet, shard_opener
from myriad.models.base import Model
from myriad.storage.artifact import compress, pack, views
from myriad.storage.release import Artifact
from myriad.storage.shard import NO_MODEL, Shard

SAMPLED_SHARDS = 20
PICKLED_SERIES = 300
"""Series whose models are pickled."""


def measure(fleet: Fleet, bytes_a_model: float) -> dict[str, float]:
    """Mean bytes a model over a sample of shards.

    Args:
        fleet: to sample.
        bytes_a_model: in the artifacts of the whole fleet, for the ratios.
    """
    rng, count = random.Random(1), len(fleet.artifacts)
    artifacts = [fleet.artifacts[i] for i in rng.sample(range(count), min(SAMPLED_SHARDS, count))]
    open_shard = shard_opener(fleet.store, fleet.directory)
    shards = [open_shard(artifact) for artifact in artifacts]
    seasonal_bytes = sum(map(_seasonal_bytes, shards)) / sum(_model_count(shard, "seasonal") for shard in shards)
    per_shard = -(-PICKLED_SERIES // len(shards))
    pickles = [pickle.dumps(model) for shard in shards for model in _sample_models(shard, per_shard, rng)]
    raw_bytes = float(np.mean([len(dump) for dump in pickles]))
    zstd_bytes = float(np.mean([len(compress(dump)) for dump in pickles]))
    return {
        "seasonal_bytes_a_model": seasonal_bytes,
        "index_bytes_a_model": sum(_index_bytes(fleet, a) for a in artifacts) / sum(a.models for a in artifacts),
        "pickle_bytes_a_model": raw_bytes,
        "zstd_pickle_bytes_a_model": zstd_bytes,
        "ratio_to_pickles": raw_bytes / bytes_a_model,
        "ratio_to_zstd_pickles": zstd_bytes / bytes_a_model,
        "pickles_sampled": len(pickles),
    }


def _sample_models(shard: Shard, count: int, rng: random.Random) -> list[Model]:
    """The models of some purely seasonal series at every window, each as an object of its own."""
    code = shard.adapters.index("seasonal")
    seasonal = np.flatnonzero((shard.adapter == code).all(axis=1)).tolist()
    chosen = rng.sample(seasonal, min(count, len(seasonal)))
    return [shard.models[w, code].take([shard.row[i, w]]) for i in chosen for w in range(len(shard.windows))]


def _seasonal_bytes(shard: Shard) -> int:
    """Compressed bytes of the seasonal models alone."""
    code = shard.adapters.index("seasonal")
    models = {key: model for key, model in shard.models.items() if key[1] == code}
    arrays = {f"{key[0]}/{name}": array for key, model in models.items() for name, array in model.arrays.items()}
    return len(compress(pack(arrays, {})))


def _model_count(shard: Shard, adapter: str) -> int:
    return int((shard.adapter[shard.adapter != NO_MODEL] == shard.adapters.index(adapter)).sum())


def _index_bytes(fleet: Fleet, artifact: Artifact) -> int:
    arrays, _ = views(artifact.hash, fleet.releases.get_artifact(artifact))
    return sum(array.nbytes for name, array in arrays.items() if name.startswith("index/"))
