"""Releases: which artifacts make up the fleet at one moment, and the pointer that says which release is current.

artifacts/<content hash>.st.zst     written once, shared between releases
releases/<release id>.json          the manifest, written once
records/<release id>.parquet        what was fitted and how well, written once, before the manifest
CURRENT                             the id of the release being served, moved by compare-and-swap
PRUNING                             when a pruning began and whose it is; empty when none is under way
"""

import secrets
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from myriad.models.ensemble import MAX_WINDOWS
from myriad.models.errors import ArtifactCorrupt, Conflict, NoRelease, NotFound
from myriad.models.key import shard_of
from myriad.models.windows import Window
from myriad.storage.artifact import MAX_COMPRESSED, content_hash, decompress
from myriad.storage.base import ObjectStore

CURRENT = "CURRENT"
PRUNING = "PRUNING"
"""Not empty while artifacts are being deleted."""
GRACE_SECONDS = 3600.0
PRUNING_SECONDS = 600.0
"""How long a publish waits for a pruning to end; one that was killed is ended by the next."""
RECORDS = "records/"
FORMAT = 1
MAX_MANIFEST = 32 << 20


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One shard's object: the hash naming it, its size, the size of what is in it, and how much that is."""

    hash: str
    bytes: int
    raw_bytes: int
    series: int
    models: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A release: windows and weights in the same order, and for each region an artifact (or none) a shard."""

    format: int = FORMAT
    id: str
    created_at: str
    windows: tuple[str, ...]
    weights: tuple[float, ...]
    coverage: float
    rate: float
    adapters: Mapping[str, int]
    regions: Mapping[str, tuple[Artifact | None, ...]]
    provenance: Mapping[str, str]

    @cached_property
    def parsed_windows(self) -> tuple[Window, ...]:
        """The windows, shortest first."""
        return tuple(Window.parse(w) for w in self.windows)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Every artifact of the release."""
        return tuple(artifact for shards in self.regions.values() for artifact in shards if artifact)

    def artifact(self, region: str, host_hash: int) -> Artifact | None:
        """The artifact that would hold the models of a host, whose hash is `Series.host_hash`."""
        shards = self.regions.get(region)
        return shards[shard_of(host_hash, len(shards))] if shards else None

    def succeeding(self, before: "Manifest", hashes: Container[str]) -> tuple[Artifact, ...]:
        """The artifacts holding the hosts that an earlier release had in the artifacts of these hashes."""
        found: dict[str, Artifact] = {}
        for region, old in before.regions.items():
            new = self.regions.get(region, ())
            for i, artifact in enumerate(old):
                if artifact and artifact.hash in hashes:
                    overlapping = new[i * len(new) // len(old) : -((i + 1) * len(new) // -len(old))]
                    found |= {a.hash: a for a in overlapping if a}
        return tuple(found.values())


class Head(NamedTuple):
    """What CURRENT says: a release, and the tag to move it by."""

    release: str
    tag: str


class Pruned(NamedTuple):
    """What pruning deleted: releases with their records, and how many artifacts of how many bytes."""

    releases: list[str]
    artifacts: int
    bytes: int


class Releases:
    """The releases in one store."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def head(self) -> Head:
        """The release being served.

        Raises:
            NoRelease: nothing has been published.
        """
        try:
            blob = self.store.get(CURRENT, 1024)
        except NotFound as exc:
            raise NoRelease(self.store.url) from exc
        return Head(blob.data.decode(errors="replace").strip(), blob.tag)

    def head_or_none(self) -> Head | None:
        """The release being served, None where nothing has been published: what `publish` publishes over."""
        try:
            return self.head()
        except NoRelease:
            return None

    def manifest(self, release: str) -> Manifest:
        """The manifest of a release.

        Raises:
            NotFound: there is no such release.
            ArtifactCorrupt: its manifest is not one.
        """
        name = _manifest_name(release)
        blob = self.store.get(name, MAX_MANIFEST)
        try:
            manifest = msgspec.json.decode(blob.data, type=Manifest)
            windows = manifest.parsed_windows
        except ValueError as exc:
            raise ArtifactCorrupt(name, f"not a manifest: {exc}") from exc
        if manifest.format != FORMAT or manifest.id != release:
            raise ArtifactCorrupt(name, "not the manifest of this release in a format known here")
        if not 0 < len(windows) <= MAX_WINDOWS or len(manifest.weights) != len(windows):
            raise ArtifactCorrupt(name, "windows and weights do not fit")
        return manifest

    def list(self) -> list[Manifest]:
        """Every release's manifest, oldest first."""
        names = [stored.name for stored in self.store.list("releases/") if stored.name.endswith(".json")]
        return [self.manifest(name.removeprefix("releases/").removesuffix(".json")) for name in names]

    def put_artifact(self, raw: bytes, data: bytes, series: int, models: int) -> Artifact:
        """Write an artifact unless it is there already: `data` is the zstd frame of `raw`."""
        artifact = Artifact(content_hash(data), len(data), len(raw), series, models)
        self.store.create(_artifact_name(artifact), data)
        return artifact

    def get_artifact(self, artifact: Artifact) -> bytes:
        """The safetensors file of an artifact, its hash and sizes checked.

        Raises:
            ArtifactCorrupt: it is not what its name and the manifest say.
        """
        if artifact.bytes > MAX_COMPRESSED:
            raise ArtifactCorrupt(artifact.hash, f"its {artifact.bytes} bytes are more than {MAX_COMPRESSED}")
        blob = self.store.get(_artifact_name(artifact), artifact.bytes)
        return decompress(artifact.hash, blob.data, artifact.raw_bytes)

    def missing(self, artifacts: Iterable[Artifact]) -> set[str]:
        """The hashes of those that are not in the store."""
        there = {_hash_of(stored.name) for stored in self.store.list("artifacts/")}
        return {artifact.hash for artifact in artifacts} - there

    def publish(self, manifest: Manifest, over: Head | None) -> Head:
        """Write the manifest and make it the current release; its artifacts must already be there.

        Args:
            manifest: of the new release.
            over: the head seen when the work began, None where there was none.

        Raises:
            Conflict: another release became current since, or artifacts of this one were pruned before its manifest
                was there to protect them; the manifest stays, the pointer is not moved.
        """
        self.store.create(_manifest_name(manifest.id), msgspec.json.encode(manifest))
        self._outlast_pruning(manifest)
        return self._move(manifest.id, over)

    def rollback(self, release: str) -> Head:
        """Make an earlier (or later) release the current one.

        Raises:
            NotFound: there is no such release.
            Conflict: another release became current meanwhile.
        """
        head, manifest = self.head(), self.manifest(release)
        self._outlast_pruning(manifest)
        return self._move(self.manifest(release).id, head)

    def prune(self, keep: int, *, grace_seconds: float = GRACE_SECONDS) -> "Pruned":
        """Delete all but the newest releases and the current one, their records, and artifacts no kept release names.

        A publish in flight loses nothing unseen: what it wrote in the last `grace_seconds` is left alone, releases
        are read again after `PRUNING` says what is about to go, and who publishes waits while it says so and then
        looks whether all its artifacts are there.

        Args:
            keep: how many of the newest releases stay.
            grace_seconds: how old an artifact has to be.

        Raises:
            NoRelease: nothing has been published.
            Conflict: another pruning is under way.
        """
        self.head()
        tag = self._begin_pruning()
        try:
            current, oldest = self.head().release, time.time() - grace_seconds
            releases = self.list()
            spared = {manifest.id for manifest in releases[max(0, len(releases) - keep) :]} | {current}
            dropped = [manifest.id for manifest in releases if manifest.id not in spared]
            for release in dropped:
                self.store.delete(_manifest_name(release))
            kept = self.list()
            self._prune_records({records_name(manifest.id) for manifest in kept}, dropped, oldest)
            named = {a.hash for manifest in kept for a in manifest.artifacts}
            there = list(self.store.list("artifacts/"))
            doomed = [s for s in there if _hash_of(s.name) not in named and s.modified < oldest]
            for stored in doomed:
                self.store.delete(stored.name)
        finally:
            self.store.swap(PRUNING, b"", tag)
        return Pruned(dropped, len(doomed), sum(stored.size for stored in doomed))

    def _prune_records(self, named: Container[str], dropped: Sequence[str], oldest: float) -> None:
        """Delete the records of dropped releases, and old ones whose release never came to be or is long gone."""
        gone = {records_name(release) for release in dropped}
        for stored in list(self.store.list(RECORDS)):
            if stored.name in gone or (stored.name not in named and stored.modified < oldest):
                self.store.delete(stored.name)

    def _begin_pruning(self) -> str:
        """Say that a pruning is under way, unless another is; the tag to end it by."""
        try:
            note = self.store.get(PRUNING, 1024)
        except NotFound:
            note = None
        if note and note.data and time.time() - float(note.data.split()[0]) < PRUNING_SECONDS:
            raise Conflict(self.store.url, PRUNING)
        mine = f"{time.time():.0f} {secrets.token_hex(8)}".encode()
        return self.store.swap(PRUNING, mine, note.tag if note else None)

    def _outlast_pruning(self, manifest: Manifest) -> None:
        """Wait until no pruning is under way, then see that all artifacts are there."""
        deadline = time.monotonic() + PRUNING_SECONDS
        while self._pruning():
            if time.monotonic() > deadline:
                raise Conflict(self.store.url, PRUNING)
            time.sleep(0.2)
        if missing := self.missing(manifest.artifacts):
            raise Conflict(self.store.url, f"artifacts/{min(missing)}.st.zst")

    def _pruning(self) -> bool:
        try:
            return bool(self.store.get(PRUNING, 1024).data)
        except NotFound:
            return False

    def _move(self, release: str, over: Head | None) -> Head:
        tag = self.store.swap(CURRENT, release.encode() + b"\n", over.tag if over else None)
        return Head(release, tag)


def new_release_id() -> str:
    """An id no other release has, in order of time."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(4)


def records_name(release: str) -> str:
    """The object that holds the records of a release."""
    return f"{RECORDS}{release}.parquet"


def _artifact_name(artifact: Artifact) -> str:
    return f"artifacts/{artifact.hash}.st.zst"


def _manifest_name(release: str) -> str:
    return f"releases/{release}.json"


def _hash_of(name: str) -> str:
    return name.removeprefix("artifacts/").removesuffix(".st.zst")
