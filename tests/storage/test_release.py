"""Releases: published whole or not at all, moved by compare-and-swap; over memory and S3."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from myriad import adapters
from myriad.models.errors import ArtifactCorrupt, Conflict, NoRelease, NotFound, StoreError, Unavailable
from myriad.models.key import Series
from myriad.storage.base import ObjectStore
from myriad.storage.memory import MemoryStore
from myriad.storage.release import CURRENT, RECORDS, Artifact, Manifest, Releases, new_release_id, records_name
from myriad.storage.shard import Shard
from myriad.storage.url import open_store
from tests.training.small import NAMES, fitted, released

Change = Callable[[Manifest], object]


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "memory":
        return MemoryStore()
    return open_store(f"s3://{request.getfixturevalue('bucket')}/fleet")


@pytest.fixture
def releases(store: ObjectStore) -> Releases:
    """The releases of an empty store."""
    return Releases(store)


def whole(releases: Releases, manifest: Manifest) -> bool:
    """Whether a release can be read with all its artifacts, and has all its series."""
    shards = [Shard(a.hash, releases.get_artifact(a), adapters.get) for a in manifest.artifacts]
    names = {str(shard.name_of(at)) for shard in shards for at in range(len(shard))}
    return releases.manifest(manifest.id) == manifest and names == set(NAMES)


def rewritten(releases: Releases, manifest: Manifest, data: bytes) -> None:
    """Put other bytes in place of a manifest."""
    name = f"releases/{manifest.id}.json"
    releases.store.swap(name, data, releases.store.get(name, 1 << 20).tag)


def test_an_empty_store_has_no_release(releases: Releases) -> None:
    assert releases.head_or_none() is None
    assert releases.list() == []
    for use in (releases.head, lambda: releases.rollback("x")):
        with pytest.raises(NoRelease, match=f"{releases.store.url}.*myriad train"):
            use()


def test_what_is_published_is_current_and_whole(releases: Releases) -> None:
    manifest = released(releases, fitted())
    assert releases.head().release == manifest.id
    assert whole(releases, manifest)
    assert (manifest.windows, manifest.weights, manifest.regions.keys()) == (
        ("1m", "5m"),
        (1.0, 2.0),
        {"r": 0, "s": 0}.keys(),
    )
    assert (sum(a.series for a in manifest.artifacts), sum(a.models for a in manifest.artifacts)) == (4, 8)


def test_a_host_leads_to_the_artifact_its_models_are_in(releases: Releases) -> None:
    manifest = released(releases, fitted())
    for series in map(Series.parse, NAMES):
        artifact = manifest.artifact(series.region, series.host_hash)
        assert artifact
        shard = Shard(artifact.hash, releases.get_artifact(artifact), adapters.get)
        assert series in [shard.name_of(at) for at in range(len(shard))]
    assert manifest.artifact("elsewhere", 0) is None


def test_which_metrics_are_counters_is_decided_by_the_first_glob_that_matches(releases: Releases) -> None:
    without = released(releases, fitted())
    assert (dict(without.rates), without.is_counter("requests_total")) == ({}, False)
    rates = {"queue_total": False, "*_total": True, "*": False}
    with_rates = msgspec.structs.replace(without, id="20990101T000000Z-00000001", rates=rates)
    releases.publish(with_rates, releases.head())
    read = releases.manifest(with_rates.id)
    assert list(read.rates.items()) == list(rates.items())
    metrics = ["queue_total", "requests_total", "REQUESTS_TOTAL", "cpu"]
    assert [read.is_counter(metric) for metric in metrics] == [False, True, False, False]
    assert not any(msgspec.structs.replace(read, rates={"x": True}).is_counter(metric) for metric in metrics)


def test_releases_are_listed_oldest_first(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for second in range(3):
        identity = f"2026010{second}T000000Z-0000"
        monkeypatch.setattr("myriad.training.publish.new_release_id", lambda identity=identity: identity)
        made.append(released(releases, fitted(seed=second), releases.head_or_none()))
    assert releases.list() == made
    assert releases.head().release == made[-1].id


def test_release_ids_differ_and_start_with_the_time() -> None:
    ids = {new_release_id() for _ in range(100)}
    assert len(ids) == 100
    assert len({identity[:10] for identity in ids}) <= 2


def test_a_rollback_moves_the_pointer_only(releases: Releases) -> None:
    first = released(releases, fitted())
    second = released(releases, fitted(seed=1), releases.head())
    assert releases.rollback(first.id).release == first.id == releases.head().release
    assert whole(releases, first)
    assert whole(releases, second)
    assert releases.rollback(second.id).release == second.id == releases.head().release


@pytest.mark.parametrize("release", ["20260101T000000Z-none", "none"])
def test_a_release_that_is_not_there_is_not_found(releases: Releases, release: str) -> None:
    manifest = released(releases, fitted())
    for use in (releases.manifest, releases.rollback):
        with pytest.raises(NotFound, match=release):
            use(release)
    assert releases.head().release == manifest.id


@pytest.mark.parametrize("release", ["", "../CURRENT", "a/../../b", ".."])
def test_a_release_that_cannot_be_is_no_name(releases: Releases, release: str) -> None:
    released(releases, fitted())
    for use in (releases.manifest, releases.rollback):
        with pytest.raises(StoreError):
            use(release)


def test_of_two_publishers_one_wins_and_the_other_hears_of_it(releases: Releases) -> None:
    old = released(releases, fitted())
    head, start = releases.head(), threading.Barrier(2)

    def publish(seed: int) -> Manifest | Conflict:
        entries = fitted(seed=seed)
        start.wait()
        try:
            return released(releases, entries, head)
        except Conflict as conflict:
            return conflict

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(publish, (1, 2)))
    (won,) = (outcome for outcome in outcomes if isinstance(outcome, Manifest))
    assert releases.head().release == won.id
    assert all(whole(releases, manifest) for manifest in (old, won))


def test_a_publish_over_a_release_that_is_no_longer_current_conflicts(releases: Releases) -> None:
    released(releases, fitted())
    stale = releases.head()
    current = released(releases, fitted(seed=1), stale)
    for over in (stale, None):
        with pytest.raises(Conflict, match=CURRENT):
            released(releases, fitted(seed=2), over)
    assert releases.head().release == current.id


class Failing(MemoryStore):
    """A store that fails from the n-th write on."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def create(self, name: str, data: bytes) -> bool:
        self._count(name)
        return super().create(name, data)

    def swap(self, name: str, data: bytes, tag: str | None) -> str:
        self._count(name)
        return super().swap(name, data, tag)

    def _count(self, name: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unavailable(self.url, name, "interrupted")


@pytest.mark.parametrize("writes", range(4))
def test_an_interrupted_publish_leaves_the_old_release_current_and_whole(writes: int) -> None:
    store = Failing(100)
    releases = Releases(store)
    old = released(releases, fitted())
    store.left = writes  # two artifacts, the manifest, the pointer
    with pytest.raises(Unavailable, match="interrupted"):
        released(releases, fitted(seed=1), releases.head())
    assert releases.head().release == old.id
    assert whole(releases, old)
    store.left = 4
    assert whole(releases, released(releases, fitted(seed=1), releases.head()))


def test_artifacts_that_are_the_same_are_written_once(releases: Releases) -> None:
    entries = fitted()
    first = released(releases, entries)
    second = released(releases, entries, releases.head())
    assert first.regions == second.regions
    assert len(list(releases.store.list("artifacts/"))) == 2


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b"\xff", b"null", b'{"format": 1}', b"[" * 9999, b'{"more": ' + b"[" * 9999],
    ids=lambda data: repr(data[:20]),
)
def test_a_manifest_that_is_none_is_corrupt(releases: Releases, data: bytes) -> None:
    manifest = released(releases, fitted())
    rewritten(releases, manifest, data)
    with pytest.raises(ArtifactCorrupt, match=manifest.id):
        releases.manifest(manifest.id)


def _changed(**fields: object) -> Change:
    return lambda manifest: {**msgspec.to_builtins(manifest), **fields}


@pytest.mark.parametrize(
    "change",
    [
        _changed(id="20260101T000000Z-other"),
        _changed(format=2),
        _changed(windows=[]),
        _changed(windows=["1m"]),
        _changed(windows=["1m", "soon"]),
        _changed(windows=[f"{n}m" for n in range(1, 8)], weights=[1.0] * 7),
        _changed(weights=[1.0]),
        _changed(weights=[1.0, None]),
        _changed(coverage="half"),
        _changed(unknown=1),
        _changed(regions={"r": [{"hash": "x"}]}),
    ],
)
def test_a_manifest_that_says_something_else_is_corrupt(releases: Releases, change: Change) -> None:
    manifest = released(releases, fitted())
    rewritten(releases, manifest, msgspec.json.encode(change(manifest)))
    with pytest.raises(ArtifactCorrupt, match=manifest.id):
        releases.manifest(manifest.id)


@pytest.mark.parametrize("pointer", [b"", b"\xff\xfe", b"../../etc\n", b"20260101T000000Z-gone\n"])
def test_a_pointer_to_nothing_is_an_error_of_the_store(releases: Releases, pointer: bytes) -> None:
    released(releases, fitted())
    releases.store.swap(CURRENT, pointer, releases.head().tag)
    with pytest.raises(StoreError):
        releases.manifest(releases.head().release)


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"", lambda d: d[::-1]])
def test_an_artifact_that_is_not_what_it_is_named_is_not_taken(
    releases: Releases, damage: Callable[[bytes], bytes]
) -> None:
    (artifact, *_) = released(releases, fitted()).artifacts
    name = f"artifacts/{artifact.hash}.st.zst"
    there = releases.store.get(name, artifact.bytes)
    releases.store.swap(name, damage(there.data), there.tag)
    with pytest.raises((ArtifactCorrupt, StoreError), match=artifact.hash):
        releases.get_artifact(artifact)


def test_an_artifact_that_is_gone_is_not_found(releases: Releases) -> None:
    with pytest.raises(NotFound):
        releases.get_artifact(Artifact("0" * 32, 10, 10, 1, 1))


def test_an_artifact_said_to_be_huge_is_not_fetched(releases: Releases) -> None:
    (artifact, *_) = released(releases, fitted()).artifacts
    with pytest.raises(ArtifactCorrupt, match="are more than"):
        releases.get_artifact(msgspec.structs.replace(artifact, bytes=1 << 40))
    with pytest.raises(ArtifactCorrupt):
        releases.get_artifact(msgspec.structs.replace(artifact, raw_bytes=1 << 40))


def test_pruning_deletes_what_no_kept_release_names(releases: Releases) -> None:
    old = [released(releases, fitted(seed=seed), releases.head_or_none()) for seed in range(3)]
    pruned = releases.prune(keep=1, grace_seconds=-60)
    assert sorted(pruned.releases) == sorted(m.id for m in old if m.id not in {kept.id for kept in releases.list()})
    for manifest in releases.list():
        assert whole(releases, manifest)
    named = {f"artifacts/{a.hash}.st.zst" for manifest in releases.list() for a in manifest.artifacts}
    assert {stored.name for stored in releases.store.list("artifacts/")} == named
    assert releases.head().release == old[-1].id


def test_pruning_keeps_the_current_release_however_old_and_what_is_young(releases: Releases) -> None:
    first = released(releases, fitted())
    released(releases, fitted(seed=1), releases.head())
    releases.rollback(first.id)
    assert releases.prune(keep=1).artifacts == 0
    assert releases.head().release == first.id
    assert whole(releases, first)


def test_pruning_deletes_the_records_of_what_it_drops_and_of_no_release(releases: Releases) -> None:
    made = [released(releases, fitted(seed=seed), releases.head_or_none()) for seed in range(3)]
    for release in [*(manifest.id for manifest in made), "20260101T000000Z-none"]:
        releases.store.create(records_name(release), b"records")
    dropped = releases.prune(keep=1, grace_seconds=-60).releases
    kept = {manifest.id for manifest in made} - set(dropped)
    assert dropped
    assert {stored.name for stored in releases.store.list(RECORDS)} == {records_name(release) for release in kept}


def test_pruning_leaves_young_records_of_a_release_still_to_come(releases: Releases) -> None:
    made = [released(releases, fitted(seed=seed), releases.head_or_none()) for seed in range(3)]
    for release in [*(manifest.id for manifest in made), "20260101T000000Z-coming"]:
        releases.store.create(records_name(release), b"records")
    kept = {manifest.id for manifest in made} - set(releases.prune(keep=1).releases)
    there = {stored.name for stored in releases.store.list(RECORDS)}
    assert there == {records_name(release) for release in (*kept, "20260101T000000Z-coming")}
