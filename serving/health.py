"""Health checks on a port of their own, from a thread of their own: they are answered however busy the service is."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from myriad.serving.problems import Problem

READ_SECONDS = 2.0
MAX_CONNECTIONS = 64

Check = Callable[[], Mapping[str, object]]
"""Gives the answer of a check, or raises the problem that it is."""


class HealthListener:
    """Answers `/health/live` and `/health/ready` and nothing else; each worker listens on the same port."""

    def __init__(self, host: str, port: int, checks: Mapping[str, Check]) -> None:
        """Listen, and answer from now on.

        Args:
            host: to listen on.
            port: the same for all workers: the kernel divides connections among them.
            checks: by path.

        Raises:
            OSError: the port cannot be had.
        """
        self._checks = checks
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, reuse_port=True)
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._stop: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no longer."""
        self._stop.result(READ_SECONDS)()
        self._thread.join(READ_SECONDS)

    async def _listen(self) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        async with await asyncio.start_server(self._serve, sock=self._socket):
            self._stop.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
            await stopped.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:  # the one that has said nothing for longest makes room
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(READ_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self._open.pop(writer, None)
            with contextlib.suppress(ConnectionError):
                writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        if method not in (b"GET", b"HEAD") or path not in self._checks:
            return _response(404, {"status": 404, "title": "not found"})
        try:
            return _response(200, self._checks[path]())
        except Problem as problem:
            return _response(problem.status, {"status": problem.status, "title": problem.kind.replace("-", " ")})


def _response(status: int, content: Mapping[str, object]) -> bytes:
    body = json.dumps(content).encode()
    kind = "application/json" if status == 200 else "application/problem+json"
    head = f"HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body
