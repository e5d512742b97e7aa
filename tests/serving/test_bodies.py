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
        bodies, tasks = BodyReader(max_bytes, 10 * max_bytes, SECONDS, 0.0), []
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
        bodies, found = BodyReader(10, 100, SECONDS, 0.0), []
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
        task = asyncio.ensure_future(BodyReader(10, 100, SECONDS, 0.0).read(b"", Client(b"late", pause=5).receive))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_bodies_that_are_being_received_are_bounded_together() -> None:
    async def together() -> list[object]:
        reader, slow = BodyReader(10, 25, 5.0, 0.0), [Client(b"12345678", b"9", pause=0.05) for _ in range(4)]
        outcomes = await asyncio.gather(*(reader.read(b"", one.receive) for one in slow), return_exceptions=True)
        return [*outcomes, await reader.read(b"", Client(b"1234567890").receive)]

    *outcomes, later = asyncio.run(together())
    refused = [one for one in outcomes if isinstance(one, Problem)]
    assert [one.status for one in refused] == [503]
    assert outcomes.count(b"123456789") == 3
    assert later == b"1234567890", "what was received before is not counted any more"


def test_a_body_has_to_come_at_a_least_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myriad.serving.bodies.GRACE_SECONDS", 0.2)
    monkeypatch.setattr("myriad.serving.bodies.LOOK_SECONDS", 0.05)

    async def outcomes() -> list[object]:
        reader = BodyReader(1000, 10_000, 60.0, 100.0)
        trickle, steady = Client(*[b"x"] * 100, pause=0.05), Client(*[b"x" * 20] * 20, pause=0.05)
        return list(
            await asyncio.gather(*(reader.read(b"", one.receive) for one in (trickle, steady)), return_exceptions=True)
        )

    slow, steady = asyncio.run(outcomes())
    assert isinstance(slow, Problem)
    assert (slow.status, slow.detail) == (408, "the body came with less than 100 bytes a second")
    assert steady == b"x" * 400
