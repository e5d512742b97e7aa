"""Follower: what is served is known to be stale as soon as the store is not heard of."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from myriad.serving.follower import Follower
from myriad.serving.predictor import Predictor
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from tests.training.small import fitted, released


class Slow(Predictor):
    """A predictor whose store can be made to hang."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.hanging, self.let_go = threading.Event(), threading.Event()

    def refresh(self) -> bool:
        if self.hanging.is_set():
            self.let_go.wait(60)
        return super().refresh()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something, and not for ever."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def followed(test: Callable[[Slow, Follower], Awaitable[None]]) -> None:
    """Run a test beside a follower that looks ten times a second."""
    store = MemoryStore()
    released(Releases(store), fitted())
    predictor = Slow(store)
    follower = Follower(predictor, 0.1, warm=False)

    async def run() -> None:
        following = asyncio.create_task(follower.run())
        try:
            await until(lambda: follower.checked is not None)
            await test(predictor, follower)
        finally:
            predictor.let_go.set()
            following.cancel()

    asyncio.run(run())


def test_a_store_that_hangs_is_told_of_within_the_interval_and_forgotten_when_it_answers() -> None:
    async def test(predictor: Slow, follower: Follower) -> None:
        assert not predictor.stale
        predictor.hanging.set()
        await until(lambda: predictor.stale)
        assert follower.problem == "the store has not answered for 0.1 seconds"
        predictor.hanging.clear()
        predictor.let_go.set()
        await until(lambda: not predictor.stale)
        assert follower.problem == ""

    followed(test)


def test_a_new_release_is_taken_up_and_one_that_is_broken_is_not() -> None:
    async def test(predictor: Slow, follower: Follower) -> None:
        releases = predictor.releases
        second = released(releases, fitted(seed=1), releases.head())
        await until(lambda: predictor.manifest.id == second.id)
        head = releases.head()
        releases.store.swap("CURRENT", b"nothing\n", head.tag)
        await until(lambda: predictor.stale)
        assert "releases/nothing.json" in follower.problem
        assert predictor.manifest.id == second.id

    followed(test)
