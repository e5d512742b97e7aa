"""Publishing: fitted models as the artifacts of a new release."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

import adapters
from models.key import shard_of
from storage.artifact import compress
from storage.release import Artifact, Head, Manifest, Releases, new_release_id
from storage.shard import NO_MODEL, Entries, pack_shard
from training.fit import Plan

SHARD_RAW_BYTES = 3 << 20
"""A region has as many shards as make them about this large: 0.5 to 2 MB once compressed."""

WRITERS = 4


def publish(
    releases: Releases, entries: Entries, plan: Plan, over: Head | None, provenance: Mapping[str, str]
) -> Manifest:
    """Write the entries' shards and make them the current release.

    Args:
        releases: where to.
        entries: the whole fleet.
        plan: what was fitted.
        over: the release that was current when the work began.
        provenance: what to say of where the release came from.

    Raises:
        Conflict: another release became current since; nothing that is served has changed.
    """
    with ThreadPoolExecutor(WRITERS) as pool:
        regions = {
            region: tuple(pool.map(lambda chosen: _put(releases, entries, chosen), shards))
            for region, shards in _sharded(entries)
        }
    manifest = Manifest(
        id=new_release_id(),
        created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        windows=tuple(str(w) for w in plan.windows),
        weights=plan.weights,
        coverage=plan.coverage,
        rate=plan.rate,
        adapters={name: adapters.get(name).version for name in plan.adapter_names},
        regions=regions,
        provenance=dict(provenance),
    )
    releases.publish(manifest, over)
    return manifest


def _sharded(entries: Entries) -> Iterator[tuple[str, list[NDArray[np.int64]]]]:
    """The positions of each region's entries, shard by shard."""
    bytes_a_series = sum(m.rows * m.row_bytes for m in entries.models.values()) / max(len(entries.series), 1)
    by_region: dict[str, list[int]] = {}
    for i, series in enumerate(entries.series):
        by_region.setdefault(series.region, []).append(i)
    for region, members in sorted(by_region.items()):
        count = max(1, round(len(members) * bytes_a_series / SHARD_RAW_BYTES))
        shard = np.array([shard_of(entries.series[i].host_hash, count) for i in members])
        yield region, [np.array(members, np.int64)[shard == s] for s in range(count)]


def _put(releases: Releases, entries: Entries, chosen: NDArray[np.int64]) -> Artifact | None:
    if len(chosen) == 0:
        return None
    raw = pack_shard(entries, chosen)
    models = int((entries.adapter[chosen] != NO_MODEL).sum())
    return releases.put_artifact(raw, compress(raw), len(chosen), models)
