"""The local tier: artifacts decompressed and verified in a directory of this user's own, mapped by all who serve.

    lock                        held (flock, shared) by every process that uses the directory
    shards/<content hash>       the artifact's safetensors file, then its CRC-32 and the letters MYRD; read-only
    shards/.lock-<hash start>   held while an artifact is fetched, so that one process fetches for all
    current/<hash of a store>   the manifest of the release that store last said is current

Files are written aside and renamed, so that a kill leaves nothing half-written; a process looks at the checksum of a
file before it first uses it, and again where the file is not as it was. The bytes of a file being mapped stay for
whoever maps them when it is evicted.

Whoever reads a mapped file beyond where it was cut short is killed (SIGBUS), and one changed in place scores wrongly.
So a file is mapped under a read lease (F_SETLEASE in fcntl(2)): who wants to write to it or cut it, root too, waits
until no process maps it any more, at most `/proc/sys/fs/lease-break-time`, 45 seconds. Within that, `changed` names it
and its shard is closed. Where the system gives no lease the file is copied into memory.
"""

import contextlib
import fcntl
import hashlib
import mmap
import os
import resource
import signal
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from myriad.models.errors import ArtifactCorrupt, Unavailable
from myriad.storage.file import written_aside
from myriad.storage.release import Artifact, Signed

_MAGIC = b"MYRD"
_TRAILER = 4 + len(_MAGIC)


REMEMBERED = 100_000
"""Files whose checksum this process has seen to be right, by what `_state` says of them."""
TOUCH_SECONDS = 60.0
"""How old the time of a file's last opening may be: a file touched at each would have to be verified at each."""


class _Current(msgspec.Struct):
    """A release, its manifest as it lies in the store, and the manifest's signature."""

    release: str
    data: bytes
    signature: bytes | None


class LocalTier:
    """A directory of artifacts bounded in bytes, the least recently opened evicted first; shared by processes."""

    def __init__(self, directory: str | Path, max_bytes: int) -> None:
        """The tier in a directory, made if need be for this user alone.

        Raises:
            Unavailable: the directory cannot be made, is another user's, can be written to by others, or somebody
                holds its lock for himself alone.
        """
        root = Path(directory).expanduser()
        self._shards, self._current = root / "shards", root / "current"
        self._max_bytes = max_bytes
        self._verified: dict[str, tuple[int, ...]] = {}
        self._mapped = weakref.WeakSet[_Mapping]()
        self._lock = threading.Lock()
        for path in (root, self._shards, self._current):
            _claim(path)
        self._hold(root / "lock")

    def open(self, artifact: Artifact, fetch: Callable[[], bytes]) -> memoryview:
        """The artifact's safetensors file, mapped; fetched first where it is not there whole.

        Args:
            artifact: which.
            fetch: gets the decompressed and verified file from the store.
        """
        if (there := self._read(artifact)) is not None:
            return there
        with self._alone(artifact):
            if (there := self._read(artifact)) is not None:  # another process fetched it meanwhile
                return there
            raw = fetch()
            self._write(artifact, raw)
        there = self._read(artifact)
        return memoryview(raw) if there is None else there  # a full or read-only disk costs memory, not the answer

    def changed(self) -> set[str]:
        """The hashes of artifacts whose mapped files somebody wants to change, or has: their shards are to be closed.

        To be called every second. He who wants to change a file waits until the last mapping of it ends.
        """
        with self._lock:
            mapped = list(self._mapped)
        return {one.hash for one in mapped if fcntl.fcntl(one.fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK}

    def holds(self, artifact: Artifact) -> bool:
        """Whether the artifact is here, whole as far as its size tells."""
        try:
            return self._path(artifact).stat().st_size == artifact.raw_bytes + _TRAILER
        except OSError:
            return False

    def remember(self, url: str, release: str, manifest: Signed) -> None:
        """Keep what the store at `url` says is current, for a start without it."""
        data = msgspec.msgpack.encode(_Current(release, *manifest))
        with contextlib.suppress(OSError):
            _put(self._remembered(url), data)

    def recall(self, url: str) -> tuple[str, Signed] | None:
        """The release that was last remembered of a store, with its manifest; None where nothing can be recalled."""
        try:
            kept = msgspec.msgpack.decode(self._remembered(url).read_bytes(), type=_Current)
        except (OSError, msgspec.DecodeError):
            return None
        return kept.release, Signed(kept.data, kept.signature)

    def _read(self, artifact: Artifact) -> memoryview | None:
        """The artifact's file, mapped under a lease or else copied; None where it cannot be read or is not whole."""
        try:
            with _opened(self._path(artifact)) as fd:
                leased = self._may_map() and _lease(fd)
                known = leased and self._verified.get(artifact.hash) == _state(fd)
                _touch(fd)
                if known and (mapped := self._map(artifact, fd)) is not None:
                    return mapped
                # Read, not mapped: a disk that fails is an error here and would be a SIGBUS there.
                data = memoryview(os.pread(fd, artifact.raw_bytes + _TRAILER + 1, 0))
                raw, trailer = data[: artifact.raw_bytes], data[artifact.raw_bytes :]
                if trailer != _trailer(raw):
                    return None
                mapped = self._map(artifact, fd) if leased else None
                return raw if mapped is None else mapped
        except OSError:
            return None

    def _may_map(self) -> bool:
        """Whether there are descriptors for one more mapping, which takes two; a quarter is left for all else."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return most == resource.RLIM_INFINITY or len(self._mapped) < most * 3 // 8

    def _map(self, artifact: Artifact, fd: int) -> memoryview | None:
        """Map a file that is under a lease and verified; None where the system allows no more mappings."""
        try:
            mapping = _Mapping(fd, artifact.raw_bytes + _TRAILER, access=mmap.ACCESS_READ)
            mapping.hash, mapping.fd = artifact.hash, os.dup(fd)
        except OSError:
            return None
        with self._lock:
            self._mapped.add(mapping)
        if len(self._verified) > REMEMBERED:
            self._verified.clear()
        self._verified[artifact.hash] = _state(fd)
        return memoryview(mapping)[: artifact.raw_bytes]

    def _write(self, artifact: Artifact, raw: bytes) -> None:
        if len(raw) != artifact.raw_bytes:
            raise ArtifactCorrupt(artifact.hash, f"it holds {len(raw)} bytes where {artifact.raw_bytes} are expected")
        path = self._path(artifact)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # what is there is of no use, or this would not be written
        if len(raw) + _TRAILER > self._max_bytes:
            return
        with contextlib.suppress(OSError):
            self._evict(len(raw) + _TRAILER)
            # Not synced: a file that a power cut left in pieces has another checksum, and is fetched again.
            _put(path, raw, _trailer(raw), sync=False)

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

    def _hold(self, path: Path) -> None:
        """Say that the directory is in use for as long as this object is."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # read-only or full: nobody has to be kept from anything
            return
        weakref.finalize(self, os.close, fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise _refused(path.parent, f"somebody holds {path} for himself alone: wait until he is done") from exc

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


class _Mapping(mmap.mmap):
    """A file mapped under a lease, which ends with the mapping."""

    hash = ""
    fd = -1

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def _claim(directory: Path) -> None:
    """Make a directory for this user alone, or see that no other can write to it."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        state = directory.stat()
    except OSError as exc:
        raise _refused(directory, f"the local directory cannot be made: {exc.strerror}") from exc
    me, instead = os.geteuid(), "or name one that is not there yet (MYRIAD_LOCAL_DIRECTORY)"
    if state.st_uid != me:
        why = f"the local directory is of user {state.st_uid} and not of {me}, who serves"
        raise _refused(directory, f"{why}: chown -R {me} {directory}, {instead}")
    if state.st_mode & 0o022:
        raise _refused(directory, f"others may write to the local directory: chmod 0700 {directory}, {instead}")


def _refused(directory: Path, why: str) -> Unavailable:
    return Unavailable(f"file://{directory}", "", why)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # nor does a pipe of that name keep us waiting
    try:
        yield fd
    finally:
        os.close(fd)


def _lease(fd: int) -> bool:
    """Keep all others from changing a file until it is closed; False where one is about to, or there are no leases."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # which is ignored; the usual SIGIO ends the process
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except (OSError, AttributeError):  # the latter where the system is not Linux
        return False
    return True


def _touch(fd: int) -> None:
    """Say that a file was opened, for the order of eviction."""
    if os.fstat(fd).st_mtime < time.time() - TOUCH_SECONDS:
        with contextlib.suppress(OSError):
            os.utime(fd)


def _state(fd: int) -> tuple[int, ...]:
    """What cannot stay as it is when a file's bytes change."""
    state = os.fstat(fd)
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _put(path: Path, *data: bytes, sync: bool = True) -> None:
    """Write a file that its owner can read and nobody write."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with written_aside(path, *data, sync=sync) as aside:
        aside.chmod(0o400)
        aside.replace(path)


def _trailer(raw: bytes | memoryview) -> bytes:
    return zlib.crc32(raw).to_bytes(4, "little") + _MAGIC
