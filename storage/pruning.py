"""Pruning mark: the object that says that old releases are being deleted, so that nobody publishes meanwhile.

Its owner writes it anew every `RENEW_SECONDS`. Others tell whether the owner is alive by watching whether the mark
changes, for `STALE_SECONDS` of their own monotonic clock. What is in it does not matter, and no two machines' clocks
are compared.
"""

import contextlib
import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from myriad.models.errors import Conflict, NotFound
from myriad.storage.base import Blob, ObjectStore

PRUNING = "PRUNING"
RENEW_SECONDS = 2.0
STALE_SECONDS = 15.0
"""A mark that did not change for so long is of a pruning that was killed: whoever waits for it empties it."""
WAIT_SECONDS = 600.0
"""How long a publish waits for a pruning that goes on."""
LOOK_SECONDS = 0.2

log = logging.getLogger("myriad")
T = TypeVar("T")


class PruningMark:
    """The mark in one store; one pruning or one publish uses it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._tag, self._renewed = "", 0.0

    def begin(self) -> None:
        """Make the mark this pruning's.

        Raises:
            Conflict: another pruning is under way.
        """
        found = self._watch(until_it_changes=True)
        if found and found.data:
            raise Conflict(self._store.url, PRUNING)
        self._write(found.tag if found else None)

    def written(self) -> float:
        """When the mark was last written, by the store's clock, in epoch seconds."""
        return next(stored.modified for stored in self._store.list(PRUNING) if stored.name == PRUNING)

    def held_during(self, items: Iterable[T]) -> Iterator[T]:
        """The items, with the mark renewed before each where it is time.

        Raises:
            Conflict: somebody took this pruning for dead and emptied the mark.
        """
        for item in items:
            if time.monotonic() - self._renewed > RENEW_SECONDS:
                self._write(self._tag)
            yield item

    def end(self) -> None:
        """Empty the mark, unless it is another's by now."""
        with contextlib.suppress(Conflict):
            self._store.swap(PRUNING, b"", self._tag)

    def outlast(self) -> None:
        """Wait until no pruning is under way.

        Raises:
            Conflict: one still is after `WAIT_SECONDS`.
        """
        if (found := self._watch(until_it_changes=False)) and found.data:
            raise Conflict(self._store.url, PRUNING)

    def _watch(self, *, until_it_changes: bool) -> Blob | None:
        """The mark once it is empty, or has changed, or after `WAIT_SECONDS`; emptied here where it went stale."""
        mark = self._read()
        began = unchanged_since = time.monotonic()
        while mark and mark.data and time.monotonic() - began < WAIT_SECONDS:
            if time.monotonic() - unchanged_since > STALE_SECONDS:
                log.warning("a pruning that was killed is taken for ended", extra={"store": self._store.url})
                with contextlib.suppress(Conflict):
                    self._store.swap(PRUNING, b"", mark.tag)
            time.sleep(LOOK_SECONDS)
            latest = self._read()
            if latest is None or latest.tag != mark.tag:
                unchanged_since = time.monotonic()
                if until_it_changes:
                    return latest
            mark = latest
        return mark

    def _read(self) -> Blob | None:
        try:
            return self._store.get(PRUNING, 1 << 20)
        except NotFound:
            return None

    def _write(self, tag: str | None) -> None:
        self._tag = self._store.swap(PRUNING, secrets.token_hex(8).encode(), tag)
        self._renewed = time.monotonic()
