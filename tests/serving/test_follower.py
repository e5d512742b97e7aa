"""Follower: what is served is known to be stale as soon as the store is not heard of."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from myriad.serving.follower import Follower
from myriad.serving.predictor import Predictor
from myriad.storage.base import Blob
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from tests.training.small import fitted, released


class Slow(MemoryStore):
    """A store that can be made to hang when another thread asks it for what begins with `hanging`."""

    def __init__(self) -> None:
        super().__init__()
        self.hanging, self.asked, self.let_go = "", threading.Event(), threading.Event()
        self._maker = threading.get_ident()

    def get(self, name: str, limit: int) -> Blob:
        if self.hanging and name.startswith(self.hanging) and threading.get_ident() != self._maker:
            self.asked.set()
            self.let_go.wait(60)
        return super().get(name, limit)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something, and not for ever."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def followed(test: Callable[[Slow, Predictor, Follower], Awaitable[None]]) -> None:
    """Run a test beside a follower that looks ten times a second."""
    store = Slow()
    released(Releases(store), fitted())
    predictor = Predictor(store)
    follower = Follower(predictor, 0.1, warm=False)

    async def run() -> None:
        following = asyncio.create_task(follower.run())
        try:
            await until(lambda: follower.checked is not None)
            await test(store, predictor, follower)
        finally:
            store.let_go.set()
            following.cancel()

    asyncio.run(run())


def test_a_store_that_hangs_is_told_of_within_the_interval_and_forgotten_when_it_answers() -> None:
    async def test(store: Slow, predictor: Predictor, follower: Follower) -> None:
        assert not predictor.stale
        store.hanging = "CURRENT"
        await until(lambda: predictor.stale)
        assert follower.problem == "the store has not answered for 0.1 seconds"
        store.hanging = ""
        store.let_go.set()
        await until(lambda: not predictor.stale)
        assert follower.problem == ""

    followed(test)


def test_what_is_served_while_a_new_release_is_taken_up_is_not_stale() -> None:
    async def test(store: Slow, predictor: Predictor, follower: Follower) -> None:
        store.hanging = "releases/"
        second = released(predictor.releases, fitted(seed=1), predictor.releases.head())
        assert await asyncio.to_thread(store.asked.wait, 30)
        await asyncio.sleep(0.5)  # five times as long as a store may take to answer
        assert predictor.manifest.id != second.id
        assert not predictor.stale
        store.let_go.set()
        await until(lambda: predictor.manifest.id == second.id)
        assert follower.problem == ""

    followed(test)


def test_a_new_release_is_taken_up_and_one_that_is_broken_is_not() -> None:
    async def test(store: Slow, predictor: Predictor, follower: Follower) -> None:
        releases = predictor.releases
        second = released(releases, fitted(seed=1), releases.head())
        await until(lambda: predictor.manifest.id == second.id)
        head = releases.head()
        releases.store.swap("CURRENT", b"nothing\n", head.tag)
        await until(lambda: predictor.stale)
        assert "releases/nothing.json" in follower.problem
        assert predictor.manifest.id == second.id

    followed(test)
