"""Publishing: fitted models as the artifacts of a new release."""

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from myriad import adapters
from myriad.models.errors import InvalidPoints
from myriad.models.host_scores import host_key
from myriad.models.key import Series, shard_of
from myriad.storage.artifact import compress
from myriad.storage.clocks import RegionClock
from myriad.storage.release import Artifact, Head, Manifest, Releases, new_release_id
from myriad.storage.shard import NO_MODEL, Entries, Shard, concatenated, entries_of, pack_shard
from myriad.training.plan import Plan

SHARD_RAW_BYTES = 2 << 20
"""A region has as many shards as make them about this large: 0.5 to 2 MB once compressed."""

INDEX_BYTES = 200
"""What a series takes in a shard's index, about."""

WRITERS = 4


def publish(
    releases: Releases,
    entries: Entries,
    plan: Plan,
    over: Head | None,
    provenance: Mapping[str, str],
    base: Manifest | None = None,
) -> Manifest:
    """Write the entries' shards and make them the current release.

    Args:
        releases: where to.
        entries: the fleet.
        plan: what was fitted.
        over: the release that was current when the work began.
        provenance: what to say of where the release came from.
        base: a release to keep the rest of: only shards with entries among these are written anew. It must have the
            plan's windows, weights, rate and coverage.

    Raises:
        Conflict: another release became current since; nothing that is served has changed.
        InvalidPoints: the base has others.
    """
    if base:
        same_calibration(base, plan)
    kept = dict(base.regions) if base else {}
    for region, members in by_region(entries).items():
        kept[region] = put_region(releases, entries.take(members), kept.get(region))
    names = {*entries.adapters, *(base.adapters if base else ())}
    rates, clocks = (base.rates, base.clocks) if base else (None, UNSET)
    return commit(releases, kept, plan, sorted(names), over, provenance, rates=rates, clocks=clocks)


def put_region(
    releases: Releases, entries: Entries, kept: Sequence[Artifact | None] | None = None
) -> tuple[Artifact | None, ...]:
    """Write the shards of one region's entries.

    Args:
        releases: where to.
        entries: all of the same region.
        kept: the region's artifacts in a release whose other series are to stay.

    Returns:
        An artifact, or None for nothing, a shard.
    """
    count = len(kept) if kept else _shards(entries)
    shard = np.array([shard_of(series.host_hash, count) for series in entries.series], np.int64)

    def put(s: int) -> Artifact | None:
        chosen = np.flatnonzero(shard == s)
        before = kept[s] if kept else None
        if len(chosen) == 0:
            return before
        return put_shard(releases, entries.take(chosen), before)

    with ThreadPoolExecutor(WRITERS) as pool:
        return tuple(pool.map(put, range(count)))


def put_shard(releases: Releases, entries: Entries, before: Artifact | None = None) -> Artifact:
    """Write one shard's entries, in place of or beside those of an artifact it had."""
    if before:
        old = entries_of(Shard(before.hash, releases.get_artifact(before), adapters.get))
        new = set(entries.series)
        stay = np.array([i for i, series in enumerate(old.series) if series not in new], np.int64)
        entries = concatenated([_without_hosts(old.take(stay), new), entries])
    raw, modelled = pack_shard(entries), entries.adapter != NO_MODEL
    series, models = int(modelled.any(axis=1).sum()), int(modelled.sum())
    return releases.put_artifact(raw, compress(raw), series, models)


def _without_hosts(old: Entries, new: Collection[Series]) -> Entries:
    """Entries without what they say of hosts that are fitted anew: the metrics that stay are in no new components."""
    if old.host is None:
        return old
    hosts = {host_key(series) for series in new}
    stays = np.array([host_key(series) not in hosts for series in old.series], np.bool_)
    return replace(old, host=old.host * stays[:, None])


def commit(
    releases: Releases,
    regions: Mapping[str, tuple[Artifact | None, ...]],
    plan: Plan,
    names: Sequence[str],
    over: Head | None,
    provenance: Mapping[str, str],
    release: str = "",
    rates: Mapping[str, bool] | None = None,
    clocks: Mapping[str, RegionClock] | UnsetType = UNSET,
) -> Manifest:
    """Make artifacts that have been written the current release.

    Args:
        releases: where to.
        regions: the artifacts of each.
        plan: what was fitted.
        names: of the adapters.
        over: the release that was current when the work began.
        provenance: what to say of where the release came from.
        release: its id; one of its own where none is given.
        rates: which metrics are counters, see `Manifest`.
        clocks: of regions, see there.

    Raises:
        Conflict: another release became current since, or some of the artifacts were pruned meanwhile.
    """
    manifest = Manifest(
        id=release or new_release_id(),
        created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        windows=tuple(str(w) for w in plan.windows),
        weights=plan.weights,
        power=plan.power,
        coverage=plan.coverage,
        rate=plan.rate,
        adapters={name: adapters.get(name).version for name in names},
        regions=dict(regions),
        provenance=dict(provenance),
        rates=dict(rates or {}),
        clocks=clocks or UNSET,
    )
    releases.publish(manifest, over)
    return manifest


def by_region(entries: Entries) -> dict[str, NDArray[np.int64]]:
    """The positions of each region's entries."""
    members: dict[str, list[int]] = {}
    for i, series in enumerate(entries.series):
        members.setdefault(series.region, []).append(i)
    return {region: np.array(some, np.int64) for region, some in sorted(members.items())}


def same_calibration(base: Manifest, plan: Plan) -> None:
    """Raise `InvalidPoints` where what is kept of a release cannot be combined with what a plan fits."""
    own = base.parsed_windows, base.weights, base.power, base.rate, base.coverage
    if own != (plan.windows, plan.weights, plan.power, plan.rate, plan.coverage):
        was = f"windows {', '.join(base.windows)}, weights {base.weights}, power {base.power}, rate {base.rate}, "
        was += f"coverage {base.coverage}"
        raise InvalidPoints(f"release {base.id} has {was}: what is kept of it cannot be combined with anything else")


def shards_for(series: int, series_bytes: float) -> int:
    """How many shards so many series take, when the models of one take so many bytes."""
    return max(1, round(series * (series_bytes + INDEX_BYTES) / SHARD_RAW_BYTES))


def _shards(entries: Entries) -> int:
    rows = [
        model.row_bytes() * int((entries.adapter[:, window] == code).sum())
        for (window, code), model in entries.models.items()
    ]
    return shards_for(len(entries.series), sum(rows) / max(len(entries.series), 1))
