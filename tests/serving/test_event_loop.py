"""The event loop accepts all the connections that wait, not one a turn."""

import asyncio
import contextlib
import socket
import time

import pytest

from myriad.serving.event_loop import Loop

CLIENTS = 100


class Counting(asyncio.Protocol):
    """Counts connections."""

    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Counting.made += 1
        transport.close()


def turns_until_all_are_accepted(loop: asyncio.AbstractEventLoop) -> int:
    """How many turns it takes to accept clients that have connected while the loop was busy."""
    Counting.made = 0

    async def count() -> int:
        server = await loop.create_server(Counting, "127.0.0.1", 0, backlog=CLIENTS)
        address = server.sockets[0].getsockname()
        with contextlib.ExitStack() as clients:
            for _ in range(CLIENTS):
                clients.enter_context(contextlib.closing(socket.create_connection(address)))
            turns = 0
            while Counting.made < CLIENTS:
                await asyncio.sleep(0)
                turns += 1
                assert turns < 10_000
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)  # connections close
        return turns

    try:
        return loop.run_until_complete(count())
    finally:
        loop.close()


def test_all_that_wait_are_accepted_in_a_few_turns() -> None:
    assert turns_until_all_are_accepted(Loop()) < 20


def test_it_listens_no_more_once_it_is_closed() -> None:
    loop = Loop()

    async def closed() -> None:
        server = await loop.create_server(Counting, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        assert server.is_serving()
        server.close()
        await server.wait_closed()
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    loop.run_until_complete(closed())
    loop.close()


def test_it_accepts_again_after_it_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, failed = Loop(), list[float]()

    class Full:
        """A listener that has no file descriptor left, once."""

        def __init__(self, real: socket.socket) -> None:
            self._real = real

        def accept(self) -> object:
            if not failed:
                failed.append(time.monotonic())
                raise OSError(24, "Too many open files")
            return self._real.accept()

        def fileno(self) -> int:
            return self._real.fileno()

    async def accepting() -> None:
        server = await loop.create_server(Counting, "127.0.0.1", 0)
        (listener,) = server.sockets
        loop.remove_reader(listener)
        full = Full(listener)
        server.sockets = [full]  # type: ignore[list-item]
        loop.add_reader(full, server._accept, full)
        Counting.made = 0
        with contextlib.closing(socket.create_connection(listener.getsockname())):
            while not Counting.made:
                await asyncio.sleep(0.01)
        server.sockets = [listener]
        server.close()
        await asyncio.sleep(0.01)

    loop.run_until_complete(asyncio.wait_for(accepting(), 30))
    loop.close()
    assert failed
