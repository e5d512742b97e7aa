"""A store that lives as long as its process."""

import threading
import time
from collections.abc import Iterator

from myriad.models.errors import Conflict, NotFound, StoreError
from myriad.storage.base import Blob, ObjectStore, Stored, content_tag


class MemoryStore(ObjectStore):
    """Objects in a dict."""

    def __init__(self) -> None:
        self.url = "memory://"
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, limit: int) -> Blob:
        found = self._objects.get(self.checked(name))
        if found is None:
            raise NotFound(self.url, name)
        if len(found[0]) > limit:
            raise StoreError(self.url, name, f"has {len(found[0])} bytes, more than the {limit} allowed")
        return Blob(found[0], content_tag(found[0]))

    def create(self, name: str, data: bytes) -> bool:
        entry = (bytes(data), time.time())
        with self._lock:
            return self._objects.setdefault(self.checked(name), entry) is entry

    def swap(self, name: str, data: bytes, tag: str | None) -> str:
        with self._lock:
            there = self._objects.get(self.checked(name))
            if (there and content_tag(there[0])) != tag:
                raise Conflict(self.url, name)
            self._objects[name] = (bytes(data), time.time())
            return content_tag(data)

    def list(self, prefix: str) -> Iterator[Stored]:
        with self._lock:
            entries = sorted(self._objects.items())
        return (Stored(name, len(data), at) for name, (data, at) in entries if name.startswith(prefix))

    def delete(self, name: str) -> None:
        with self._lock:
            self._objects.pop(self.checked(name), None)
