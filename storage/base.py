"""ObjectStore: named bytes, written once or moved by compare-and-swap."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from myriad.models.errors import StoreError

MAX_NAME_LENGTH = 512
_PART = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*")


class Blob(NamedTuple):
    """An object's bytes, and the tag that changes whenever they do."""

    data: bytes
    tag: str


class Stored(NamedTuple):
    """An object as a listing shows it: its size in bytes and when it was written, in epoch seconds."""

    name: str
    size: int
    modified: float


class ObjectStore(ABC):
    """Bytes by name; safe to use from many threads.

    Names are like `artifacts/ab12.st.zst`: parts of letters, digits and `._=-` between slashes, none starting with a
    dot, so that a name cannot leave the store's prefix. Every method raises `Unavailable` where the store is out of
    reach and `StoreError` where a name is not allowed.
    """

    url: str

    @abstractmethod
    def get(self, name: str, limit: int) -> Blob:
        """The object's bytes.

        Raises:
            NotFound: there is none of that name.
            StoreError: it is larger than `limit` bytes; nothing that large is read into memory.
        """

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write an object that is never to change; False where one of that name already is, which is kept."""

    @abstractmethod
    def swap(self, name: str, data: bytes, tag: str | None) -> str:
        """Replace the object whose tag is `tag`, or write the first where `tag` is None, and give the new tag.

        Raises:
            Conflict: the object is not the one of that tag any more.
        """

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Stored]:
        """The objects whose names start with `prefix`, in order of name."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""

    def checked(self, name: str) -> str:
        """The name, if it is one.

        Raises:
            StoreError: it is not.
        """
        if len(name) > MAX_NAME_LENGTH or not all(_PART.fullmatch(part) for part in name.split("/")):
            raise StoreError(self.url, name[:60], "is not a name an object can have")
        return name


def content_tag(data: bytes) -> str:
    """A tag for stores that have none of their own: the hash of the bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
