"""Admission: which requests a worker takes on, so that those it takes are answered soon and fit into its memory."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from myriad.serving.problems import Problem
from myriad.serving.protocol import refusal

BASE_BYTES = 512 << 20
"""Of a worker's memory, what it takes without requests and open shards: the interpreter, libraries, small caches."""

_TOO_MANY = "too-many-requests", "too many requests are in hand; try again shortly"
REFUSAL = refusal(503, *_TOO_MANY, b"retry-after: 1\r\n")
"""The response to a request at `/predict` that is not taken on."""


class Admission:
    """Counts the requests of one worker."""

    def __init__(self, max_requests: int, worker_bytes: int, cache_bytes: int) -> None:
        """None taken on yet.

        Args:
            max_requests: being worked on; as many again may wait for models to be loaded.
            worker_bytes: that the worker may take.
            cache_bytes: of these, for open shards.
        """
        self._max_requests, self._active, self._loading = max_requests, 0, 0
        self._arrived = 0
        """Requests that have arrived in this turn of the event loop, and which nobody has looked at yet."""
        self._max_bytes, self._bytes = max(worker_bytes - cache_bytes - BASE_BYTES, BASE_BYTES), 0

    @property
    def is_full(self) -> bool:
        """Whether no more requests are taken on."""
        return self._active + self._arrived >= self._max_requests

    def arrived(self) -> None:
        """Count a request that has just been read, until the next turn of the event loop takes it on."""
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._take_up)
        self._arrived += 1

    def _take_up(self) -> None:
        self._arrived = 0

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Take a request on whose body is there.

        Raises:
            Problem: too many are being worked on.
        """
        if self._active >= self._max_requests:
            raise Problem(503, *_TOO_MANY, retry_after=1)
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """While a request waits for models to be loaded it keeps no others from being worked on.

        Raises:
            Problem: too many wait.
        """
        if self._loading >= self._max_requests:
            raise Problem(503, "too-many-loads", "too many requests wait for models to be loaded", retry_after=1)
        self._active, self._loading = self._active - 1, self._loading + 1
        try:
            yield
        finally:
            self._active, self._loading = self._active + 1, self._loading - 1

    @contextlib.contextmanager
    def memory(self, needed: int) -> Iterator[Callable[[int], None]]:
        """Set memory aside for a large request or answer; gives what sets more of it aside.

        A request that is alone may take more than there is: it was bounded by itself.

        Raises:
            Problem: others have it; also when more is asked for.
        """
        held = 0

        def more(needed: int) -> None:
            nonlocal held
            if self._bytes > held and self._bytes + needed > self._max_bytes:
                why = "large requests in hand leave no memory for this one"
                raise Problem(503, "too-many-bytes", why, retry_after=1)
            held, self._bytes = held + needed, self._bytes + needed

        try:
            more(needed)
            yield more
        finally:
            self._bytes -= held
