"""Bodies: what clients send, read within a limit of bytes and a timeout.

All requests share one timer. Nearly every body has arrived before it is read, so a timer a request would cost more than
the reading.
"""

import asyncio
import time

from starlette.types import Receive

from myriad.serving.problems import Problem


class BodyReader:
    """Reads the bodies of one event loop's requests."""

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._max_bytes, self._seconds = max_bytes, seconds
        self._deadlines: dict[asyncio.Task[object], float] = {}
        """When each request being read is overdue, soonest first."""
        self._overdue: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, length: bytes, receive: Receive) -> bytes | None:
        """A body as it was sent; None where the client went away.

        Args:
            length: the `Content-Length`, empty where there is none.
            receive: ASGI's.

        Raises:
            Problem: it is too large, or took too long.
        """
        if length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()
        if (task := asyncio.current_task()) is None:
            raise RuntimeError("a body is read in a task")
        self._deadlines[task] = time.monotonic() + self._seconds
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._cancel_overdue)
        try:
            return await self._read_chunks(receive)
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise Problem(408, "timeout", f"the body took more than {self._seconds:g} seconds") from None
        finally:
            del self._deadlines[task]
            self._overdue.discard(task)

    async def _read_chunks(self, receive: Receive) -> bytes | None:
        chunks, size, more = list[bytes](), 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            more, size = message.get("more_body", False), size + len(chunks[-1])
            if size > self._max_bytes:
                raise self._too_large()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> Problem:
        return Problem(413, "too-large", f"the body has more than the {self._max_bytes} bytes allowed")

    def _cancel_overdue(self) -> None:
        self._timer, now = None, time.monotonic()
        for task, deadline in self._deadlines.items():
            if deadline > now:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(deadline - now, self._cancel_overdue)
                break
            self._overdue.add(task)
            task.cancel()
