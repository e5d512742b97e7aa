"""Bodies are read whole, within a bound and a time that is each request's own."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from myriad.serving.bodies import BodyReader
from myriad.serving.problems import Problem

SECONDS = 0.2


class Client:
    """Sends its pieces with pauses between them; after a None it is gone."""

    def __init__(self, *pieces: bytes | None, pause: float = 0) -> None:
        self.pieces, self.pause = list(pieces), pause

    async def receive(self) -> dict[str, Any]:
        """As ASGI's."""
        if self.pause:
            await asyncio.sleep(self.pause)
        piece = self.pieces.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}


def read(clients: Sequence[Client], apart: float = 0, max_bytes: int = 10) -> list[bytes | BaseException | None]:
    """What is read of clients that begin so many seconds apart."""

    async def together() -> list[bytes | BaseException | None]:
        bodies, tasks = BodyReader(max_bytes, SECONDS), []
        for client in clients:
            tasks.append(asyncio.ensure_future(bodies.read(b"", client.receive)))
            await asyncio.sleep(apart)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(together())


def test_a_body_is_the_pieces_it_comes_in() -> None:
    assert read([Client(b"ab"), Client(b"a", b"", b"b", pause=0.01), Client(b"")]) == [b"ab", b"ab", b""]


def test_there_is_none_where_the_client_goes_away() -> None:
    assert read([Client(b"a", None)]) == [None]


def test_more_than_allowed_is_refused_as_soon_as_it_is_known() -> None:
    client = Client(b"123456", b"78901", b"never asked for")
    (refused,) = read([client])
    assert isinstance(refused, Problem)
    assert (refused.status, client.pieces) == (413, [b"never asked for"])


def test_each_has_a_time_of_its_own() -> None:
    slow = [Client(b"a", b"b", pause=0.75 * SECONDS) for _ in range(3)]
    got = read([*slow, Client(b"quick"), Client(b"a", b"b", pause=0.25 * SECONDS)], apart=0.3 * SECONDS)
    assert [one.status for one in got[:3] if isinstance(one, Problem)] == [408, 408, 408]
    assert got[3:] == [b"quick", b"ab"]


def test_the_time_of_later_ones_runs_after_a_while_without_any() -> None:
    async def one_after_another() -> list[int]:
        bodies, found = BodyReader(10, SECONDS), []
        for _ in range(2):
            await bodies.read(b"", Client(b"quick").receive)
            await asyncio.sleep(1.5 * SECONDS)
            with pytest.raises(Problem) as refused:
                await bodies.read(b"", Client(b"late", pause=5).receive)
            found.append(refused.value.status)
        return found

    assert asyncio.run(one_after_another()) == [408, 408]


def test_who_cancels_a_request_is_not_told_it_was_slow() -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(BodyReader(10, SECONDS).read(b"", Client(b"late", pause=5).receive))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
