"""Hot swap: a server takes up a new release by itself, between requests."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from myriad.models.key import Series
from myriad.serving.predictor import Predictor
from myriad.storage.release import Manifest, Releases
from myriad.storage.url import open_store
from myriad.training.fleets.synthetic import DAY
from myriad.training.run import run
from tests.conftest import END, Published, Server, job_of
from tests.serving.test_app_s3_faults import answer, until

SERIES = Series("us-east-1", "web-000", "cpu_util")


@pytest.fixture
def store(published: Published, tmp_path: Path) -> str:
    """A copy of the published store, to publish more to."""
    shutil.copytree(published.url.removeprefix("file://"), tmp_path / "store")
    return f"file://{tmp_path / 'store'}"


def retrained(published: Published, store: str, regions: tuple[str, ...]) -> Manifest:
    """A release in which the series of some regions were fitted anew, to less history."""
    history = published.fleet.table(END - 8 * DAY, END - DAY)
    chosen = history.filter([row in regions for row in history["region"].to_pylist()])
    with TemporaryDirectory() as root:
        return run(job_of(Path(root), chosen, store=store), Path(root) / "work", update=True).manifest


def served(client: httpx.Client) -> str:
    return str(client.get("/releases/current").json()["id"])


def test_a_new_release_is_taken_up_and_rolled_back_while_requests_run(
    published: Published, store: str, serve: Callable[..., Server]
) -> None:
    server = serve(store, MYRIAD_POLL_SECONDS="0.2")
    client, first = server.client, served(server.client)
    seen: list[tuple[str, ...]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=client.base_url, trust_env=False) as mine:
            while not stop.is_set():
                body = answer(mine, SERIES)
                assert body["status"] == "ok"
                seen.append(tuple({model["release"] for model in body["models"]}))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        second = retrained(published, store, ("us-east-1", "eu-west-1")).id
        until(lambda: served(client) == second)
        Releases(open_store(store)).rollback(first)
        until(lambda: served(client) == first)
    finally:
        stop.set()
        asking.join()
    assert not asking.is_alive()
    assert all(len(releases) == 1 for releases in seen)
    assert {releases[0] for releases in seen} == {first, second}


def test_what_takes_the_place_of_open_shards_is_open_before_the_switch(published: Published, store: str) -> None:
    predictor = Predictor.open(store)
    assert predictor.locate(SERIES)
    misses = predictor.metrics.registry.get_sample_value("myriad_cache_misses_total")
    second = retrained(published, store, ("us-east-1",))
    assert predictor.refresh()
    after = predictor.metrics.registry.get_sample_value("myriad_cache_misses_total")
    place = predictor.locate(SERIES)
    assert place
    assert place.shard
    assert place.shard.name in {artifact.hash for artifact in second.artifacts}
    assert after == (misses or 0) + 1
    assert predictor.metrics.registry.get_sample_value("myriad_cache_misses_total") == after


def test_updating_one_region_writes_its_shards_alone(published: Published, store: str) -> None:
    second = retrained(published, store, ("us-east-1",))
    for region, artifacts in published.manifest.regions.items():
        same = second.regions[region] == artifacts
        assert same == (region != "us-east-1")


def test_a_release_that_cannot_be_loaded_is_not_taken_up(published: Published, store: str) -> None:
    predictor = Predictor.open(store)
    first = predictor.manifest.id
    assert predictor.locate(SERIES)
    second = retrained(published, store, ("us-east-1",))
    changed = second.artifact(SERIES.region, SERIES.host_hash)
    assert changed
    (Path(store.removeprefix("file://")) / f"artifacts/{changed.hash}.st.zst").write_bytes(b"not it")
    with pytest.raises(Exception, match=changed.hash):
        predictor.refresh()
    assert predictor.manifest.id == first
    assert predictor.locate(SERIES)
