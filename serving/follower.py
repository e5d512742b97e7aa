"""Follower: keeps a predictor on the store's current release, and knows whether it is."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from functools import partial

from fastapi.concurrency import run_in_threadpool

from myriad.serving.predictor import Predictor

FIRST_RETRY_SECONDS = 0.5
WATCH_SECONDS = 1.0

log = logging.getLogger("myriad")


class Follower:
    """Asks the store from time to time which release is current.

    Attributes:
        checked: when the store last said, in epoch seconds, None where it never did.
        problem: why it could not be asked since, or its release not be taken up; empty where all is well.
    """

    def __init__(self, predictor: Predictor, poll_seconds: float, *, warm: bool) -> None:
        self._predictor, self._poll_seconds, self._warm = predictor, poll_seconds, warm
        self._failures, self._warmed_release = 0, ""
        self.checked: float | None = None
        self.problem = ""

    async def run(self) -> None:
        """Take up new releases, every `poll_seconds`; after failures with exponential backoff up to that."""
        while True:
            told = asyncio.Event()
            look = asyncio.create_task(
                run_in_threadpool(self._look, partial(asyncio.get_running_loop().call_soon_threadsafe, told.set))
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), self._poll_seconds)
            if not (told.is_set() or self._failures):
                self._failed(f"the store has not answered for {self._poll_seconds:g} seconds")
            await self._note(look)
            seconds = self._poll_seconds
            if self._failures:
                seconds = min(seconds, FIRST_RETRY_SECONDS * 2 ** min(self._failures - 1, 20))
            await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311  jitter, so that servers do not ask all at once

    async def watch(self) -> None:
        """Close shards whose local files somebody changes."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await run_in_threadpool(self._predictor.drop_changed)
            except Exception:
                log.exception("the local files could not be watched")

    def _look(self, told: Callable[[], object]) -> bool:
        try:
            changed = self._predictor.refresh(told)
        finally:  # where it failed, that is an answer too
            told()
        manifest = self._predictor.manifest
        if self._warm and self._warmed_release != manifest.id:
            self._predictor.warm(manifest.artifacts, lambda _: None)
            self._warmed_release = manifest.id
        return changed

    async def _note(self, look: "asyncio.Task[bool]") -> None:
        try:
            if await look or self._failures:
                log.info("serving a release", extra={"release": self._predictor.manifest.id})
            self.checked, self._failures, self.problem = time.time(), 0, ""
            self._predictor.stale = False
        except Exception as exc:  # noqa: BLE001  whatever happened, the old release is served and polling goes on
            self._failed(str(exc))

    def _failed(self, why: str) -> None:
        self._failures, self.problem = self._failures + 1, why
        self._predictor.stale = True
        self._predictor.metrics.release_failures.inc()
        level = logging.WARNING if self._failures == 1 else logging.DEBUG  # logged once, not at every retry
        log.log(level, "the current release cannot be had", extra={"error": why[:500]})
