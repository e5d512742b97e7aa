"""Event loop: uvloop, which accepts all the connections that wait and not one a turn.

libuv accepts one connection in each turn of its loop (since 1.45). In overload a turn takes tens of milliseconds: new
connections, health probes among them, then wait for seconds until they are accepted at all.
"""

import asyncio
import contextlib
import logging
import os
import socket
import ssl as tls
from collections.abc import Callable
from typing import Any

import uvloop

from myriad.serving.protocol import settings

ACCEPTS_A_TURN = 256
PAUSE_SECONDS = 0.1
"""How long nothing is accepted after that has failed, as it does where there are too many open files."""

log = logging.getLogger("myriad")


class Loop(uvloop.Loop):
    """uvloop with servers of its own."""

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *arguments: Any,
        backlog: int = 100,
        ssl: tls.SSLContext | None = None,
        **options: Any,
    ) -> "_Server":
        """As asyncio's, listening from the start."""
        bound = await super().create_server(
            protocol_factory, *arguments, backlog=backlog, ssl=ssl, start_serving=False, **options
        )
        server = _Server(self, bound, protocol_factory, ssl)
        server.listen(backlog)
        return server


class _Server:
    """Accepts connections on sockets that another server has bound."""

    def __init__(
        self,
        loop: Loop,
        bound: asyncio.AbstractServer,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        ssl: tls.SSLContext | None,
    ) -> None:
        self._loop, self._bound, self._factory, self._ssl = loop, bound, protocol_factory, ssl
        self._tasks: set[asyncio.Task[Any]] = set()
        self.sockets = [socket.socket(fileno=os.dup(one.fileno())) for one in bound.sockets]  # type: ignore[attr-defined]

    def listen(self, backlog: int) -> None:
        for listener in self.sockets:
            listener.setblocking(False)
            listener.listen(backlog)
            self._loop.add_reader(listener, self._accept, listener)

    def is_serving(self) -> bool:
        return bool(self.sockets)

    def close(self) -> None:
        for listener in self.sockets:
            self._loop.remove_reader(listener)
            listener.close()
        self.sockets = []
        self._bound.close()

    async def wait_closed(self) -> None:
        await self._bound.wait_closed()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                log.warning("no connection can be accepted for a while", extra={"error": str(exc)})
                self._loop.remove_reader(listener)
                self._loop.call_later(PAUSE_SECONDS, self._resume, listener)
                return
            if self._ssl and len(self._tasks) >= settings().max_connections:  # in their handshakes
                connection.close()
                continue
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # of a client that has gone, or does not speak TLS
            seconds = settings().header_seconds if self._ssl else None
            await self._loop.connect_accepted_socket(
                self._factory, connection, ssl=self._ssl, ssl_handshake_timeout=seconds
            )

    def _resume(self, listener: socket.socket) -> None:
        if listener in self.sockets:
            self._loop.add_reader(listener, self._accept, listener)
