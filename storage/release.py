"""Releases: which artifacts make up the fleet at one moment, and the pointer that says which release is current.

artifacts/<content hash>.st.zst     written once, shared between releases
releases/<release id>.json          the manifest, written once
CURRENT                             the id of the release being served, moved by compare-and-swap
"""

import secrets
import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from models.ensemble import MAX_WINDOWS
from models.errors import ArtifactCorrupt, NoRelease, NotFound
from models.key import shard_of
from models.windows import Window
from storage.artifact import MAX_COMPRESSED, content_hash, decompress
from storage.base import ObjectStore

CURRENT = "CURRENT"
FORMAT = 1
MAX_MANIFEST = 32 << 20


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One shard's object: the hash naming it, its size, the size of what is in it, and how much that is."""

    hash: str
    bytes: int
    raw_bytes: int
    series: int
    models: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
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

    @property
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


class Head(NamedTuple):
    """What CURRENT says: a release, and the tag to move it by."""

    release: str
    tag: str


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

    def publish(self, manifest: Manifest, over: Head | None) -> Head:
        """Write the manifest and make it the current release; its artifacts must already be there.

        Args:
            manifest: of the new release.
            over: the head seen when the work began, None where there was none.

        Raises:
            Conflict: another release became current since; the manifest stays, the pointer is theirs.
        """
        self.store.create(_manifest_name(manifest.id), msgspec.json.encode(manifest))
        return self._move(manifest.id, over)

    def rollback(self, release: str) -> Head:
        """Make an earlier (or later) release the current one.

        Raises:
            NotFound: there is no such release.
            Conflict: another release became current meanwhile.
        """
        head = self.head()
        return self._move(self.manifest(release).id, head)

    def _move(self, release: str, over: Head | None) -> Head:
        tag = self.store.swap(CURRENT, release.encode() + b"\n", over.tag if over else None)
        return Head(release, tag)


def new_release_id() -> str:
    """An id no other release has, in order of time."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(4)


def _artifact_name(artifact: Artifact) -> str:
    return f"artifacts/{artifact.hash}.st.zst"


def _manifest_name(release: str) -> str:
    return f"releases/{release}.json"
