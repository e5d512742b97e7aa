"""Pruning mark: a pruning that goes on is waited for, one that was killed is not."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from myriad.models.errors import Conflict
from myriad.storage import pruning
from myriad.storage.base import ObjectStore, Stored
from myriad.storage.memory import MemoryStore
from myriad.storage.pruning import PRUNING, PruningMark
from myriad.storage.release import Releases
from tests.training.small import fitted, released

KILLED = {
    "of another version": b"1893456000 0a0b",
    "of a clock that is ahead": b"99999999999 0a0b",
    "garbage": b"\xff\xfe not a time",
    "long": b"x" * 10_000,
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(pruning, "STALE_SECONDS", 1.0)
    monkeypatch.setattr(pruning, "LOOK_SECONDS", 0.02)


@pytest.fixture
def releases() -> Releases:
    return Releases(MemoryStore())


@contextmanager
def alive(store: ObjectStore) -> Iterator[threading.Event]:
    """Another pruning that goes on until the event is set."""
    mark, stop = PruningMark(store), threading.Event()
    mark.begin()

    def go_on() -> None:
        for _ in mark.held_during(iter(lambda: stop.wait(0.02), True)):
            pass
        mark.end()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("left", KILLED.values(), ids=KILLED)
def test_what_a_killed_pruning_left_is_taken_away_and_said(
    releases: Releases, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first = released(releases, fitted())
    for act in (
        lambda: released(releases, fitted(seed=1), releases.head()),
        lambda: releases.rollback(first.id),
        lambda: releases.prune(keep=1),
    ):
        found = [stored.name for stored in releases.store.list(PRUNING)]
        tag = releases.store.get(PRUNING, 1 << 20).tag if found else None
        releases.store.swap(PRUNING, left, tag)
        with caplog.at_level(logging.WARNING):
            act()
        assert releases.store.get(PRUNING, 1 << 20).data == b""
    assert [record.getMessage() for record in caplog.records] == ["a pruning that was killed is taken for ended"] * 3


def test_a_publish_waits_for_a_pruning_that_goes_on(releases: Releases) -> None:
    released(releases, fitted())
    with alive(releases.store) as stop:
        threading.Timer(1.5, stop.set).start()
        started = time.monotonic()
        released(releases, fitted(seed=1), releases.head())
        assert time.monotonic() - started > 1.4


def test_of_two_prunings_the_second_hears_of_the_first(releases: Releases) -> None:
    released(releases, fitted())
    with alive(releases.store), pytest.raises(Conflict, match=PRUNING):
        releases.prune(keep=1)


def test_a_publish_gives_up_on_a_pruning_that_never_ends(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    released(releases, fitted())
    monkeypatch.setattr(pruning, "WAIT_SECONDS", 0.3)
    with alive(releases.store), pytest.raises(Conflict, match=PRUNING):
        released(releases, fitted(seed=1), releases.head())


def test_a_pruning_that_was_taken_for_dead_deletes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    for name in "abc":
        store.create(name, b"")
    mark = PruningMark(store)
    mark.begin()
    names = mark.held_during("abc")
    store.delete(next(names))
    store.swap(PRUNING, b"", store.get(PRUNING, 100).tag)
    time.sleep(0.06)
    with pytest.raises(Conflict):
        next(names)
    assert [stored.name for stored in store.list("")] == [PRUNING, "b", "c"]
    mark.end()
    assert store.get(PRUNING, 100).data == b""


class Behind(MemoryStore):
    """A store whose clock is a day behind that of whoever prunes."""

    def list(self, prefix: str) -> Iterator[Stored]:
        return (stored._replace(modified=stored.modified - 86_400) for stored in super().list(prefix))


def test_an_objects_age_is_told_by_the_stores_clock() -> None:
    releases = Releases(Behind())
    for seed in range(3):
        released(releases, fitted(seed=seed), releases.head_or_none())
    assert releases.prune(keep=1, grace_seconds=3600).artifacts == 0
    assert releases.prune(keep=1, grace_seconds=-60).artifacts > 0
