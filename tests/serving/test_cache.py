"""The cache: bounded, one load however many ask, failures remembered for a while."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from myriad import adapters
from myriad.models.errors import LoadFailed, Unavailable
from myriad.serving.cache import ShardCache
from myriad.serving.metrics import Metrics
from myriad.storage.release import Artifact
from myriad.storage.shard import Shard, pack_shard
from tests.training.small import fitted

RAW = pack_shard(fitted())
SIZE = len(RAW)
WAIT = 5


def artifact(name: str) -> Artifact:
    """An artifact of that name."""
    return Artifact(name, SIZE, SIZE, 4, 8)


def shard(wanted: Artifact) -> Shard:
    """The shard in every artifact here."""
    return Shard(wanted.hash, RAW, adapters.get)


class Loads:
    """Loads shards, counting; waits at the gate, and fails while it is to."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failing = False
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, wanted: Artifact) -> Shard:
        with self._lock:
            self.names.append(wanted.hash)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert self.gate.wait(WAIT)
            if self.failing:
                raise Unavailable("s3://bucket", wanted.hash, "out of reach")
            return shard(wanted)
        finally:
            with self._lock:
                self.at_once -= 1


Make = Callable[..., ShardCache]


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make(loads: Loads, metrics: Metrics) -> Make:
    """Makes a cache, by default of five shards."""

    def cache(*, shards: float = 5, loads_at_once: int = 4, failure_seconds: float = 60) -> ShardCache:
        size = int(shards * SIZE)
        return ShardCache(loads, metrics, max_bytes=size, loads_at_once=loads_at_once, failure_seconds=failure_seconds)

    return cache


def got(cache: ShardCache, *names: str) -> list[Shard]:
    """The shards of these names, waited for one after the other."""
    outcomes = (cache.get(artifact(name)) for name in names)
    return [outcome.result(WAIT) if isinstance(outcome, Future) else outcome for outcome in outcomes]


def test_a_shard_is_loaded_once_and_then_there(make: Make, loads: Loads, metrics: Metrics) -> None:
    cache = make()
    (first,) = got(cache, "a")
    assert cache.get(artifact("a")) is first
    assert loads.names == ["a"]
    assert (count(metrics, "hits"), count(metrics, "misses")) == (1, 1)


def test_open_shards_never_take_more_bytes_than_allowed(make: Make, loads: Loads, metrics: Metrics) -> None:
    cache = make(shards=3.5)
    for name in "abcdefabcabcdd":
        got(cache, name)
        assert len(cache.opened()) <= 3
        assert metrics.registry.get_sample_value("myriad_cache_bytes") == len(cache.opened()) * SIZE
    assert count(metrics, "evictions") == len(loads.names) - len(cache.opened())


def test_what_comes_first_stays_and_what_is_seen_once_after_it_passes_through(make: Make) -> None:
    cache = make(shards=3)
    for name in "abcd":
        got(cache, name)
    assert cache.opened() == {"a", "b", "d"}
    got(cache, "e")
    assert cache.opened() == {"a", "b", "e"}


def test_what_is_used_steadily_outlasts_a_sweep(make: Make, loads: Loads) -> None:
    cache = make(shards=5)
    for i in range(20):
        got(cache, "steady-1", "steady-2", f"other-{i}", f"other-{i + 1}")
    loads.names.clear()
    for i in range(50):
        got(cache, f"sweep-{i}", "steady-1", f"sweep-{i}-too", "steady-2")
    assert not {"steady-1", "steady-2"} & set(loads.names)


def test_a_shard_that_is_too_large_alone_is_used_but_not_kept(make: Make, loads: Loads) -> None:
    cache = make(shards=0.9)
    assert [shard.name for shard in got(cache, "a", "a")] == ["a", "a"]
    assert (loads.names, cache.opened()) == (["a", "a"], frozenset())


def test_however_many_ask_at_once_there_is_one_load(make: Make, loads: Loads) -> None:
    cache, start = make(), threading.Barrier(32)
    outcomes: list[Shard] = []
    loads.gate.clear()

    def ask() -> None:
        start.wait()
        outcomes.extend(got(cache, "a"))

    asking = [threading.Thread(target=ask) for _ in range(32)]
    for thread in asking:
        thread.start()
    eventually(lambda: loads.names == ["a"])
    loads.gate.set()
    for thread in asking:
        thread.join(WAIT)
    assert loads.names == ["a"]
    assert len(outcomes) == 32
    assert len(set(map(id, outcomes))) == 1


def test_no_more_shards_are_loaded_at_once_than_allowed(make: Make, loads: Loads) -> None:
    cache = make(loads_at_once=2)
    loads.gate.clear()
    waiting = [cache.get(artifact(name)) for name in "abcdef"]
    eventually(lambda: loads.at_once == 2)
    loads.gate.set()
    assert all(isinstance(one, Future) and one.result(WAIT) for one in waiting)
    assert (loads.most_at_once, sorted(loads.names)) == (2, list("abcdef"))


def test_others_are_served_while_one_is_loaded(make: Make, loads: Loads) -> None:
    cache = make()
    (open_one,) = got(cache, "a")
    loads.gate.clear()
    waiting = cache.get(artifact("b"))
    assert cache.get(artifact("a")) is open_one
    loads.gate.set()
    assert isinstance(waiting, Future)
    assert waiting.result(WAIT).name == "b"


def test_a_failure_says_which_artifact_and_why_and_its_neighbours_are_there(make: Make, loads: Loads) -> None:
    cache = make()
    got(cache, "b")
    loads.failing = True
    with pytest.raises(LoadFailed, match=r"artifact a could not be loaded: s3://bucket/a: out of reach") as failed:
        got(cache, "a")
    assert isinstance(failed.value.__cause__, Unavailable)
    assert got(cache, "b")[0].name == "b"


def test_a_failure_is_remembered_for_a_while_and_then_tried_again(make: Make, loads: Loads, metrics: Metrics) -> None:
    cache = make(failure_seconds=0.2)
    loads.failing = True
    failed_at = time.monotonic()
    for _ in range(5):
        with pytest.raises(LoadFailed):
            got(cache, "a")
    assert time.monotonic() - failed_at < 0.2
    assert loads.names == ["a"]
    loads.failing = False
    time.sleep(0.25)
    assert got(cache, "a")[0].name == "a"
    assert metrics.registry.get_sample_value("myriad_loads_total", {"outcome": "failed"}) == 1
    assert metrics.registry.get_sample_value("myriad_loads_total", {"outcome": "ok"}) == 1


def test_a_failure_that_is_not_remembered_is_tried_again_at_once(make: Make, loads: Loads) -> None:
    cache = make(failure_seconds=0)
    loads.failing = True
    for _ in range(3):
        with pytest.raises(LoadFailed):
            got(cache, "a")
    assert loads.names == ["a"] * 3


def test_whatever_a_load_raises_is_a_failed_load(metrics: Metrics) -> None:
    def load(_: Artifact) -> Shard:
        raise ZeroDivisionError("by chance")

    cache = ShardCache(load, metrics, max_bytes=SIZE, loads_at_once=1, failure_seconds=1)
    with pytest.raises(LoadFailed, match="by chance"):
        got(cache, "a")


def test_only_what_is_retained_stays_open(make: Make, loads: Loads) -> None:
    cache = make()
    got(cache, "a", "b", "c")
    cache.retain(frozenset(("b", "z")))
    assert cache.opened() == {"b"}
    got(cache, "b", "a")
    assert loads.names == ["a", "b", "c", "a"]


def test_a_shard_that_is_dropped_is_loaded_again(make: Make, loads: Loads, metrics: Metrics) -> None:
    cache = make()
    first = got(cache, "a", "b", "c")
    cache.drop({"a", "c", "z"})
    assert cache.opened() == {"b"}
    assert metrics.registry.get_sample_value("myriad_cache_bytes") == SIZE
    again = got(cache, "a", "b")
    assert again[0] is not first[0]
    assert again[1] is first[1]
    assert loads.names == ["a", "b", "c", "a"]


def test_who_asks_a_closed_cache_does_not_wait_for_ever(make: Make, loads: Loads) -> None:
    cache = make(loads_at_once=1)
    loads.gate.clear()
    waiting = [cache.get(artifact(name)) for name in "ab"]
    eventually(lambda: loads.at_once == 1)
    cache.close()
    loads.gate.set()
    for _ in range(2):
        with pytest.raises(LoadFailed):
            got(cache, "c")
    under_way, queued = waiting
    assert isinstance(under_way, Future)
    assert under_way.result(WAIT).name == "a"
    assert isinstance(queued, Future)
    with pytest.raises(LoadFailed):
        queued.result(1)


def count(metrics: Metrics, name: str) -> float | None:
    """The value of one of the cache's counters."""
    return metrics.registry.get_sample_value(f"myriad_cache_{name}_total")


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
