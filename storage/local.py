"""The local tier: artifacts decompressed and verified in a directory, memory-mapped by every process that serves.

    shards/<content hash>       the artifact's safetensors file, then its CRC-32 and the letters MYRD
    shards/.lock-<hash start>   held while an artifact is fetched, so that one process fetches for all
    current/<hash of a store>   the manifest of the release that store last said is current

Files are written aside and renamed, so that a kill leaves nothing half-written; a process looks at the checksum of a
file before it first uses it. The bytes of a file being mapped stay for whoever maps them when it is evicted.
"""

import contextlib
import fcntl
import hashlib
import mmap
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from myriad.models.errors import ArtifactCorrupt, Unavailable
from myriad.storage.file import written_aside
from myriad.storage.release import Artifact, Manifest

_MAGIC = b"MYRD"
_TRAILER = 4 + len(_MAGIC)


REMEMBERED = 100_000
"""Files whose checksum this process has seen to be right, by inode."""


class LocalTier:
    """A directory of artifacts bounded in bytes, the least recently opened evicted first; shared by processes."""

    def __init__(self, directory: str | Path, max_bytes: int) -> None:
        """The tier in a directory, made if need be for this user alone.

        Raises:
            Unavailable: the directory cannot be made.
        """
        self._shards, self._current = Path(directory).expanduser() / "shards", Path(directory).expanduser() / "current"
        self._max_bytes = max_bytes
        self._verified: dict[str, int] = {}
        try:
            for path in (self._shards, self._current):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise Unavailable(f"file://{directory}", "", f"the local directory cannot be made: {exc.strerror}") from exc

    def open(self, artifact: Artifact, fetch: Callable[[], bytes]) -> memoryview:
        """The artifact's safetensors file, mapped; fetched first where it is not there whole.

        Args:
            artifact: which.
            fetch: gets the decompressed and verified file from the store.
        """
        if (mapped := self._mapped(artifact)) is not None:
            return mapped
        with self._alone(artifact):
            if (mapped := self._mapped(artifact)) is not None:  # another process fetched it meanwhile
                return mapped
            raw = fetch()
            self._write(artifact, raw)
        mapped = self._mapped(artifact)
        return memoryview(raw) if mapped is None else mapped  # a full disk costs memory, not the answer

    def holds(self, artifact: Artifact) -> bool:
        """Whether the artifact is here, whole as far as its size tells."""
        try:
            return self._path(artifact).stat().st_size == artifact.raw_bytes + _TRAILER
        except FileNotFoundError:
            return False

    def remember(self, url: str, manifest: Manifest) -> None:
        """Keep what the store at `url` says is current, for a start without it."""
        data = msgspec.json.encode(manifest)
        with contextlib.suppress(OSError), written_aside(self._remembered(url), data) as aside:
            aside.replace(self._remembered(url))

    def recall(self, url: str) -> Manifest | None:
        """What was last remembered of a store, None where nothing can be recalled."""
        try:
            return msgspec.json.decode(self._remembered(url).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError):
            return None

    def _mapped(self, artifact: Artifact) -> memoryview | None:
        """The mapped file; None where there is none or not the whole one, which is then removed."""
        path = self._path(artifact)
        try:
            with path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (FileNotFoundError, ValueError):  # an empty file cannot be mapped
            return None
        raw, trailer = mapped[: artifact.raw_bytes], mapped[artifact.raw_bytes :]
        if len(trailer) != _TRAILER or (self._verified.get(artifact.hash) != inode and trailer != _trailer(raw)):
            path.unlink(missing_ok=True)
            return None
        if len(self._verified) > REMEMBERED:
            self._verified.clear()
        self._verified[artifact.hash] = inode
        with contextlib.suppress(OSError):
            os.utime(path)  # the order of eviction
        return raw

    def _write(self, artifact: Artifact, raw: bytes) -> None:
        if len(raw) != artifact.raw_bytes:
            raise ArtifactCorrupt(artifact.hash, f"it holds {len(raw)} bytes where {artifact.raw_bytes} are expected")
        path = self._path(artifact)
        if len(raw) + _TRAILER > self._max_bytes:
            return
        with contextlib.suppress(OSError):
            self._evict(len(raw) + _TRAILER)
            # Not synced: a file that a power cut left in pieces has another checksum, and is fetched again.
            with written_aside(path, raw, _trailer(raw), sync=False) as aside:
                self._verified[artifact.hash] = aside.stat().st_ino
                aside.replace(path)

    def _evict(self, needed: int) -> None:
        """Make room: remove the files least recently opened, and what a killed process left aside an hour ago."""
        files = []
        for path in self._shards.iterdir():
            with contextlib.suppress(FileNotFoundError):
                state = path.stat()
                if not path.name.startswith("."):
                    files.append((state.st_mtime, state.st_size, path))
                elif path.name.startswith(".aside-") and state.st_mtime < time.time() - 3600:
                    path.unlink(missing_ok=True)
        total = needed + sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    @contextlib.contextmanager
    def _alone(self, artifact: Artifact) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):  # without a lock two may fetch the same, and no harm done
                self._shards.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = held.enter_context((self._shards / f".lock-{artifact.hash[:3]}").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _path(self, artifact: Artifact) -> Path:
        return self._shards / artifact.hash

    def _remembered(self, url: str) -> Path:
        return self._current / hashlib.blake2b(url.encode(), digest_size=16).hexdigest()


def _trailer(raw: bytes | memoryview) -> bytes:
    return zlib.crc32(raw).to_bytes(4, "little") + _MAGIC
