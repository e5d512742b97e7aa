"""Releases: which artifacts make up the fleet at one moment, and the pointer that says which release is current.

artifacts/<content hash>.st.zst     written once, shared between releases
releases/<release id>.json          the manifest, written once
releases/<release id>.sig           its signature, where it was signed, written before it
records/<release id>.parquet        what was fitted and how well, written once, before the manifest
CURRENT                             the id of the release being served, moved by compare-and-swap
PRUNING                             whose pruning is under way, renewed while it goes on; empty when none is
"""

import secrets
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

import msgspec

from myriad.kernels.windows import POWER
from myriad.models.ensemble import MAX_WINDOWS, POWERS
from myriad.models.errors import ArtifactCorrupt, Conflict, FleetShrinks, NoRelease, NotFound, Untrusted
from myriad.models.key import ANY, shard_of
from myriad.models.windows import Window
from myriad.storage.artifact import MAX_COMPRESSED, content_hash, decompress
from myriad.storage.base import ObjectStore, Stored
from myriad.storage.clocks import RegionClock
from myriad.storage.pruning import PruningMark
from myriad.storage.signing import MAX_SIGNATURE, Signer, Trust

CURRENT = "CURRENT"
GRACE_SECONDS = 3600.0
RECORDS, ARTIFACTS = "records/", "artifacts/"
FORMAT = 1
MAX_KNOWN_METRICS = 10_000
MAX_MANIFEST = 32 << 20
MAX_WEIGHT = 1e6
LEAST_SERIES = 0.5
"""The share of the current release's series that a new one has to have."""


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One shard's object: the hash naming it, its size, the size of what is in it, and how much that is."""

    hash: str
    bytes: int
    raw_bytes: int
    series: int
    models: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A release: windows and weights in the same order, and for each region an artifact (or none) a shard.

    `power` is that of the weighted mean over the windows.

    `rates` says by globs of metrics, of which the first that matches decides, which are counters that are scored as
    rates; where none matches, none are. `clocks` are those of regions; that of `*` is of all regions that have none.
    """

    format: int = FORMAT
    id: str
    created_at: str
    windows: tuple[str, ...]
    weights: tuple[float, ...]
    power: int = POWER
    coverage: float
    rate: float
    adapters: Mapping[str, int]
    regions: Mapping[str, tuple[Artifact | None, ...]]
    provenance: Mapping[str, str]
    rates: Mapping[str, bool] = {}
    clocks: Mapping[str, RegionClock] | msgspec.UnsetType = msgspec.UNSET

    @cached_property
    def parsed_windows(self) -> tuple[Window, ...]:
        """The windows, shortest first."""
        return tuple(Window.parse(w) for w in self.windows)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Every artifact of the release."""
        return tuple(artifact for shards in self.regions.values() for artifact in shards if artifact)

    @property
    def series(self) -> int:
        """How many series have models."""
        return sum(artifact.series for artifact in self.artifacts)

    def is_counter(self, metric: str) -> bool:
        """Whether the rate of a metric is modelled, and not its values."""
        known: dict[str, bool] = self.__dict__.setdefault("counters", {})
        if metric not in known:
            if len(known) >= MAX_KNOWN_METRICS:
                known.clear()
            known[metric] = next((rate for glob, rate in self.rates.items() if fnmatchcase(metric, glob)), False)
        return known[metric]

    def clock_of(self, region: str) -> RegionClock | None:
        """What tells local time in a region; None where that is UTC."""
        return self.clocks.get(region, self.clocks.get(ANY)) if self.clocks else None

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


class Signed(NamedTuple):
    """A manifest as it lies in the store, and its signature, None where there is none."""

    data: bytes
    signature: bytes | None


class Releases:
    """The releases in one store."""

    def __init__(
        self, store: ObjectStore, *, signer: Signer | None = None, trust: Trust | None = None, force: bool = False
    ) -> None:
        """The releases of a store.

        Args:
            store: where they are.
            signer: signs what is published.
            trust: whose signature a manifest needs; where None the signer's own, so that nobody else's release is built
                upon and signed, and none without a signer.
            force: whether a release may be published that has lost most of the current one's series.
        """
        self.store, self._signer, self._force = store, signer, force
        self._trust = trust or (signer.trust if signer else None)

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
            ArtifactCorrupt: its manifest is not one, or says what makes no sense.
            Untrusted: no trusted key signed it.
        """
        return self.checked(release, self.fetch(release))

    def fetch(self, release: str) -> Signed:
        """A manifest and its signature as they lie in the store, unchecked.

        Raises:
            NotFound: there is no such release.
        """
        data = self.store.get(_manifest_name(release), MAX_MANIFEST).data
        if self._trust is None:
            return Signed(data, None)
        try:
            return Signed(data, self.store.get(_signature_name(release), MAX_SIGNATURE).data)
        except NotFound:
            return Signed(data, None)

    def checked(self, release: str, signed: Signed) -> Manifest:
        """The manifest in some bytes.

        Raises:
            ArtifactCorrupt, Untrusted: as `manifest`.
        """
        name = _manifest_name(release)
        if self._trust is not None:
            self._trust.check(release, *signed)
        try:
            manifest = msgspec.json.decode(signed.data, type=Manifest)
            wrong = _nonsense(manifest, release)
        except ValueError as exc:
            raise ArtifactCorrupt(name, f"not a manifest: {exc}") from exc
        if wrong:
            raise ArtifactCorrupt(name, wrong)
        return manifest

    def list(self) -> list[Manifest]:
        """Every release's manifest, oldest first."""
        return [*self._manifests()]

    def _manifests(self) -> Iterator[Manifest]:
        names = [stored.name for stored in self.store.list("releases/") if stored.name.endswith(".json")]
        return (self.manifest(name.removeprefix("releases/").removesuffix(".json")) for name in names)

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
        there = {_hash_of(stored.name) for stored in self.store.list(ARTIFACTS)}
        return {artifact.hash for artifact in artifacts} - there

    def publish(self, manifest: Manifest, over: Head | None) -> Head:
        """Write the manifest and make it the current release; its artifacts must already be there.

        Args:
            manifest: of the new release.
            over: the head seen when the work began, None where there was none.

        Raises:
            FleetShrinks: it has less than half of the series of the release it is published over.
            Conflict: another release became current since, or artifacts of this one were pruned before its manifest
                was there to protect them; the manifest stays, the pointer is not moved.
        """
        if over and not self._force:
            self._demand_most_series(manifest, over)
        data = msgspec.json.encode(manifest)
        if self._signer is not None:
            self.store.create(_signature_name(manifest.id), self._signer.sign(data))
        self.store.create(_manifest_name(manifest.id), data)
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
        mark = PruningMark(self.store)
        mark.begin()
        try:
            current, oldest = self.head().release, mark.written() - grace_seconds
            releases = [*mark.held_during(self._manifests())]
            spared = {manifest.id for manifest in releases[max(0, len(releases) - keep) :]} | {current}
            dropped = [manifest.id for manifest in releases if manifest.id not in spared]
            self._delete(mark, [name(release) for release in dropped for name in (_manifest_name, _signature_name)])
            kept = [*mark.held_during(self._manifests())]
            records = {records_name(manifest.id) for manifest in kept}, {records_name(release) for release in dropped}
            self._delete(mark, [s.name for s in self._found(mark, RECORDS) if _is_doomed(s, *records, oldest)])
            named = {_artifact_name(a) for manifest in kept for a in manifest.artifacts}
            doomed = [s for s in self._found(mark, ARTIFACTS) if _is_doomed(s, named, (), oldest)]
            self._delete(mark, [stored.name for stored in doomed])
        finally:
            mark.end()
        return Pruned(dropped, len(doomed), sum(stored.size for stored in doomed))

    def _found(self, mark: PruningMark, prefix: str) -> tuple[Stored, ...]:
        return tuple(mark.held_during(self.store.list(prefix)))

    def _delete(self, mark: PruningMark, names: Iterable[str]) -> None:
        for name in mark.held_during(names):
            self.store.delete(name)

    def _demand_most_series(self, manifest: Manifest, over: Head) -> None:
        try:
            before = self.checked(over.release, self.fetch(over.release))
        except (NotFound, ArtifactCorrupt, Untrusted):  # there is nothing to lose
            return
        if manifest.series < before.series * LEAST_SERIES:
            raise FleetShrinks(manifest.series, before.series)

    def _outlast_pruning(self, manifest: Manifest) -> None:
        """Wait until no pruning is under way, then see that all artifacts are there."""
        PruningMark(self.store).outlast()
        if missing := self.missing(manifest.artifacts):
            raise Conflict(self.store.url, f"artifacts/{min(missing)}.st.zst")

    def _move(self, release: str, over: Head | None) -> Head:
        tag = self.store.swap(CURRENT, release.encode() + b"\n", over.tag if over else None)
        return Head(release, tag)


def _nonsense(manifest: Manifest, release: str) -> str:
    """What a manifest says that cannot be, if anything."""
    windows, weights = manifest.parsed_windows, manifest.weights
    if manifest.format != FORMAT or manifest.id != release:
        return "not the manifest of this release in a format known here"
    if not 0 < len(windows) <= MAX_WINDOWS or len(weights) != len(windows) or list(windows) != sorted(set(windows)):
        return "windows and weights do not fit"
    if not all(0 < weight <= MAX_WEIGHT for weight in weights):
        return f"a weight is not between 0 and {MAX_WEIGHT:g}"
    if manifest.power not in POWERS:
        return f"power is {manifest.power}, not {' or '.join(map(str, POWERS))}"
    if not (0 < manifest.rate < 1 and 0 <= manifest.coverage <= 1):
        return f"rate is {manifest.rate:g} and coverage {manifest.coverage:g}: both are shares"
    if any(min(a.bytes, a.raw_bytes, a.series, a.models) < 0 for a in manifest.artifacts):
        return "an artifact has less than nothing in it"
    if bad := [region for region, clock in (manifest.clocks or {}).items() if not clock.is_valid]:
        return f"the clock of {bad[0][:100]} is not valid"
    return ""


def _is_doomed(stored: Stored, named: Container[str], dropped: Container[str], oldest: float) -> bool:
    """Whether an object is of a dropped release, or of none that is kept and old."""
    return stored.name in dropped or (stored.name not in named and stored.modified < oldest)


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


def _signature_name(release: str) -> str:
    return f"releases/{release}.sig"


def _hash_of(name: str) -> str:
    return name.removeprefix("artifacts/").removesuffix(".st.zst")
