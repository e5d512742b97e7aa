"""Bodies: what clients send, read within a bound and a time.

Nearly every body is there before it is asked for, and a timer a request would cost more than reading it does: so one
timer looks after all of them.
"""

import asyncio
import time

from starlette.types import Receive

from myriad.serving.problems import Problem


class Bodies:
    """Reads the bodies of one event loop's requests."""

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._max_bytes, self._seconds = max_bytes, seconds
        self._until: dict[asyncio.Task[object], float] = {}
        """The requests being read, in the order of their deadlines."""
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
        self._until[task] = time.monotonic() + self._seconds
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._give_up_on_the_slow)
        try:
            return await self._whole(receive)
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise Problem(408, "timeout", f"the body took more than {self._seconds:g} seconds") from None
        finally:
            del self._until[task]
            self._overdue.discard(task)

    async def _whole(self, receive: Receive) -> bytes | None:
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

    def _give_up_on_the_slow(self) -> None:
        self._timer, now = None, time.monotonic()
        for task, until in self._until.items():
            if until > now:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(until - now, self._give_up_on_the_slow)
                break
            self._overdue.add(task)
            task.cancel()
