"""A store in a directory, safe with several processes and against a kill at any moment."""

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from myriad.models.errors import Conflict, NotFound, StoreError, Unavailable
from myriad.storage.base import Blob, ObjectStore, Stored, content_tag


class FileStore(ObjectStore):
    """Objects as files, each written aside, synced and renamed into place."""

    def __init__(self, directory: str | Path) -> None:
        self._root = Path(directory).absolute()
        self.url = f"file://{self._root}"

    def get(self, name: str, limit: int) -> Blob:
        path = self._path(name)
        with self._mapped(name):
            size = path.stat().st_size
            if size > limit:
                raise StoreError(self.url, name, f"has {size} bytes, more than the {limit} allowed")
            data = path.read_bytes()
        return Blob(data, content_tag(data))

    def create(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        with self._mapped(name):
            if path.exists():
                return False
            with written_aside(path, data) as aside:
                try:
                    path.hardlink_to(aside)
                except FileExistsError:
                    return False
            return True

    def swap(self, name: str, data: bytes, tag: str | None) -> str:
        path = self._path(name)
        with self._mapped(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            with (path.parent / f".{path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                there = content_tag(path.read_bytes()) if path.exists() else None
                if there != tag:
                    raise Conflict(self.url, name)
                with written_aside(path, data) as aside:
                    aside.replace(path)
        return content_tag(data)

    def list(self, prefix: str) -> Iterator[Stored]:
        with self._mapped(prefix):
            for path in sorted(self._root.rglob("*"), key=lambda p: p.relative_to(self._root).as_posix()):
                name = path.relative_to(self._root).as_posix()
                hidden = any(part.startswith(".") for part in name.split("/"))
                if name.startswith(prefix) and not hidden and path.is_file():
                    state = path.stat()
                    yield Stored(name, state.st_size, state.st_mtime)

    def delete(self, name: str) -> None:
        with self._mapped(name):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._root / self.checked(name)

    @contextlib.contextmanager
    def _mapped(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
            raise NotFound(self.url, name) from exc
        except OSError as exc:
            raise Unavailable(self.url, name, os.strerror(exc.errno or errno.EIO)) from exc


@contextlib.contextmanager
def written_aside(path: Path, *data: bytes, sync: bool = True) -> Iterator[Path]:
    """A file with the data beside `path`, to be moved there; it, and then its directory, are synced if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=".aside-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o644)  # a temporary file is its owner's alone; a store is for others to read
            file.writelines(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        yield Path(aside)
    finally:
        Path(aside).unlink(missing_ok=True)
    if not sync:
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
