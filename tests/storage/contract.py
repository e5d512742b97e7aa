"""What every store does, as checks: a test class with a fixture `store` inherits them."""

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from myriad.models.errors import Conflict, NotFound, StoreError, Unavailable
from myriad.storage.base import ObjectStore

LIMIT = 1 << 20
T = TypeVar("T")
BAD_NAMES = [
    "",
    "/",
    "/absolute",
    "..",
    "../outside",
    "a/../b",
    "a/..",
    ".",
    "./a",
    ".hidden",
    "a/.hidden",
    "a//b",
    "a/",
    "a\\b",
    "..\\a",
    "a b",
    "a\n",
    "a\0b",
    "ä",
    "a" * 513,
    "a/" * 256 + "a",
]
USES: dict[str, Callable[[ObjectStore, str], object]] = {
    "get": lambda store, name: store.get(name, LIMIT),
    "create": lambda store, name: store.create(name, b"data"),
    "swap": lambda store, name: store.swap(name, b"data", None),
    "delete": lambda store, name: store.delete(name),
}


class Contract:
    """The checks; a store is empty at first."""

    def test_what_was_created_is_got(self, store: ObjectStore) -> None:
        assert store.create("artifacts/ab12.st.zst", b"data") is True
        assert store.get("artifacts/ab12.st.zst", LIMIT).data == b"data"

    @pytest.mark.parametrize("data", [b"", bytes(range(256)) * 1000])
    def test_any_bytes_can_be_kept(self, store: ObjectStore, data: bytes) -> None:
        store.create("object", data)
        assert store.get("object", len(data)).data == data

    def test_an_object_is_created_once_and_the_first_is_kept(self, store: ObjectStore) -> None:
        assert [store.create("object", data) for data in (b"first", b"second", b"first")] == [True, False, False]
        assert store.get("object", LIMIT).data == b"first"

    def test_of_many_who_create_at_once_exactly_one_does(self, store: ObjectStore) -> None:
        for attempt in range(3):
            name = f"object-{attempt}"
            created = together(8, functools.partial(_created, store, name))
            assert sorted(created) == [False] * 7 + [True]
            assert store.get(name, LIMIT).data == b"%d" % created.index(True)

    def test_what_is_not_there_is_not_found(self, store: ObjectStore) -> None:
        store.create("a/b", b"data")
        for name in ("object", "a/c", "a"):
            with pytest.raises(NotFound, match=name):
                store.get(name, LIMIT)

    def test_nothing_larger_than_the_limit_is_got(self, store: ObjectStore) -> None:
        store.create("object", b"data")
        assert store.get("object", 4).data == b"data"
        with pytest.raises(StoreError, match="4 bytes, more than the 3") as refused:
            store.get("object", 3)
        assert type(refused.value) is StoreError

    def test_a_swap_from_nothing_writes_the_first(self, store: ObjectStore) -> None:
        tag = store.swap("CURRENT", b"one", None)
        assert store.get("CURRENT", LIMIT) == (b"one", tag)

    def test_a_swap_replaces_the_object_of_its_tag(self, store: ObjectStore) -> None:
        first = store.swap("CURRENT", b"one", None)
        second = store.swap("CURRENT", b"two", first)
        assert first != second
        assert store.get("CURRENT", LIMIT) == (b"two", second)
        assert store.swap("CURRENT", b"three", store.get("CURRENT", LIMIT).tag) not in (first, second)

    def test_a_swap_of_another_tag_conflicts_and_changes_nothing(self, store: ObjectStore) -> None:
        stale = store.swap("CURRENT", b"one", None)
        tag = store.swap("CURRENT", b"two", stale)
        for wrong in (stale, None, '"0123456789abcdef0123456789abcdef"'):
            with pytest.raises(Conflict, match="CURRENT"):
                store.swap("CURRENT", b"three", wrong)
        assert store.get("CURRENT", LIMIT) == (b"two", tag)

    def test_a_swap_of_an_object_that_is_gone_conflicts(self, store: ObjectStore) -> None:
        tag = store.swap("CURRENT", b"one", None)
        store.delete("CURRENT")
        with pytest.raises(Conflict):
            store.swap("CURRENT", b"two", tag)
        with pytest.raises(NotFound):
            store.get("CURRENT", LIMIT)

    def test_of_many_who_swap_at_once_exactly_one_wins_each_round(self, store: ObjectStore) -> None:
        tag: str | None = None
        for attempt in range(5):
            won = together(8, functools.partial(_swapped, store, attempt, tag))
            (winner,) = (i for i, new in enumerate(won) if new)
            assert store.get("CURRENT", LIMIT) == (b"%d-%d" % (attempt, winner), won[winner])
            tag = won[winner]

    def test_objects_are_listed_by_prefix_in_order_of_name_with_their_sizes(self, store: ObjectStore) -> None:
        names = ["a-b/d", "a/b-c", "a/b/c", "aa", "b", "z/y/x"]
        for name in reversed(names):
            store.create(name, name.encode())
        assert [(stored.name, stored.size) for stored in store.list("")] == [(name, len(name)) for name in names]
        assert [stored.name for stored in store.list("a/")] == ["a/b-c", "a/b/c"]
        assert [stored.name for stored in store.list("a")] == ["a-b/d", "a/b-c", "a/b/c", "aa"]
        assert list(store.list("nothing")) == []

    def test_an_empty_store_lists_nothing(self, store: ObjectStore) -> None:
        assert list(store.list("")) == []

    def test_a_listing_says_when_an_object_was_written(self, store: ObjectStore) -> None:
        before = time.time()
        store.create("object", b"data")
        (stored,) = store.list("object")
        assert before - 2 <= stored.modified <= time.time() + 2

    def test_what_was_deleted_is_gone_and_may_be_deleted_again(self, store: ObjectStore) -> None:
        store.create("a/b", b"data")
        for _ in range(2):
            store.delete("a/b")
        store.delete("a/never")
        with pytest.raises(NotFound):
            store.get("a/b", LIMIT)
        assert list(store.list("")) == []
        assert store.create("a/b", b"again") is True

    @pytest.mark.parametrize("use", USES)
    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_a_name_that_could_leave_the_prefix_is_refused(self, store: ObjectStore, use: str, name: str) -> None:
        with pytest.raises(StoreError, match="not a name") as refused:
            USES[use](store, name)
        assert not isinstance(refused.value, Unavailable | NotFound | Conflict)

    @pytest.mark.parametrize("name", ["a", "a.b", "a=b/c-d_e.f", "a" * 200, "/".join(["part"] * 100), "-", "a.."])
    def test_a_name_of_allowed_parts_is_one(self, store: ObjectStore, name: str) -> None:
        assert store.create(name, b"data")
        assert store.swap(name, b"more", store.get(name, LIMIT).tag)
        assert [stored.name for stored in store.list("")] == [name]


def together(count: int, act: Callable[[int], T]) -> list[T]:
    """What `act(0)`, `act(1)`... give when they begin at the same moment, a thread each."""
    start = threading.Barrier(count)

    def begin(i: int) -> T:
        start.wait()
        return act(i)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count)))


def _created(store: ObjectStore, name: str, i: int) -> bool:
    return store.create(name, b"%d" % i)


def _swapped(store: ObjectStore, attempt: int, tag: str | None, i: int) -> str | None:
    try:
        return store.swap("CURRENT", b"%d-%d" % (attempt, i), tag)
    except Conflict:
        return None
