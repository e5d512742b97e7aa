"""Bodies: what clients send, read within limits of bytes and of time.

A body has to arrive at a least rate, and the bodies that are being read are bounded together. All requests share one
timer. Nearly every body has arrived before it is read, so a timer a request would cost more than the reading.
"""

import asyncio
import time
from dataclasses import dataclass

from starlette.types import Receive

from myriad.serving.problems import Problem

GRACE_SECONDS = 5.0
"""A body may take so long whatever its rate."""
LOOK_SECONDS = 1.0
"""How often rates are looked at."""


@dataclass(slots=True, eq=False)
class _Reading:
    """A body that is being read."""

    task: "asyncio.Task[object]"
    since: float
    received: int = 0
    overdue: bool = False


class BodyReader:
    """Reads the bodies of one event loop's requests."""

    def __init__(self, max_bytes: int, max_bytes_together: int, seconds: float, min_rate: float) -> None:
        """A reader.

        Args:
            max_bytes: of one body.
            max_bytes_together: of all that are being read at the same time.
            seconds: that a body may take.
            min_rate: bytes a second, on average, after a few seconds' grace.
        """
        self._max_bytes, self._max_together = max_bytes, max_bytes_together
        self._seconds, self._min_rate = seconds, min_rate
        self._readings: dict[_Reading, None] = {}
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, length: bytes, receive: Receive) -> bytes | None:
        """A body as it was sent; None where the client went away.

        Args:
            length: the `Content-Length`, empty where there is none.
            receive: ASGI's.

        Raises:
            Problem: it is too large, too many bytes are being read, or it arrives too slowly.
        """
        if length.isdigit() and int(length[:20]) > self._max_bytes:
            raise self._too_large()
        if (task := asyncio.current_task()) is None:
            raise RuntimeError("a body is read in a task")
        reading = _Reading(task, time.monotonic())
        self._readings[reading] = None
        if self._timer is None:
            self._look_again()
        try:
            return await self._read_chunks(receive, reading)
        except asyncio.CancelledError:
            if not reading.overdue:
                raise
            task.uncancel()
            raise Problem(408, "timeout", self._why_slow(reading), close=True) from None
        finally:
            del self._readings[reading]
            self._bytes -= reading.received

    async def _read_chunks(self, receive: Receive, reading: _Reading) -> bytes | None:
        chunks, more = list[bytes](), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
            reading.received += len(chunks[-1])
            self._bytes += len(chunks[-1])
            if reading.received > self._max_bytes:
                raise self._too_large()
            if self._bytes > self._max_together:
                detail = f"the bodies being received have more than {self._max_together} bytes together; try again"
                raise Problem(503, "too-many-bytes", detail, retry_after=1, close=True)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> Problem:
        return Problem(413, "too-large", f"the body has more than the {self._max_bytes} bytes allowed", close=True)

    def _why_slow(self, reading: _Reading) -> str:
        seconds = time.monotonic() - reading.since
        if seconds >= self._seconds:
            return f"the body took more than {self._seconds:g} seconds"
        return f"the body came with less than {self._min_rate:g} bytes a second"

    def _look_again(self) -> None:
        """Look at rates in a while, or at the first deadline if that is sooner: readings are in order of time."""
        self._timer = None
        if first := next(iter(self._readings), None):
            seconds = min(LOOK_SECONDS, max(0.0, first.since + self._seconds - time.monotonic()))
            self._timer = asyncio.get_running_loop().call_later(seconds, self._cancel_slow)

    def _cancel_slow(self) -> None:
        now = time.monotonic()
        for reading in self._readings:
            seconds = now - reading.since
            too_slow = seconds > GRACE_SECONDS and reading.received < self._min_rate * seconds
            if not reading.overdue and (too_slow or seconds >= self._seconds):
                reading.overdue = True
                reading.task.cancel()
        self._look_again()
