"""Resolution: which shard has the models of a series, and what of that is cached."""

import dataclasses

import pytest

from myriad import adapters
from myriad.models.errors import LoadFailed
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.serving.resolution import NOT_FOUND, Get, Resolution, ResolutionCache, place_of, resolve
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Artifact, Releases
from myriad.storage.shard import Shard
from tests.training.small import fitted, released

OWN, OTHER_REGION, REGION, ANY_REGION, NOBODY = "r/a/cpu", "s/a/cpu", "r/*/cpu", "*/*/cpu", "r/a/gpu"


@pytest.fixture(scope="module")
def releases() -> Releases:
    """A release with models of two hosts, of a region and of all regions."""
    releases = Releases(MemoryStore())
    released(releases, fitted(OWN, OTHER_REGION, REGION, ANY_REGION))
    return releases


Opened = dict[str, Shard | LoadFailed]


def getter(releases: Releases, opened: Opened, broken: str = "") -> Get:
    """Opens shards; those of the region `broken` cannot be opened."""
    manifest = releases.manifest(releases.head().release)
    lost = {artifact.hash for artifact in manifest.regions.get(broken, ()) if artifact}

    def get(artifact: Artifact) -> Shard | LoadFailed:
        if artifact.hash in lost:
            return LoadFailed(artifact.hash, "broken")
        if artifact.hash not in opened:
            opened[artifact.hash] = Shard(artifact.hash, releases.get_artifact(artifact), adapters.get)
        return opened[artifact.hash]

    return get


def resolved(releases: Releases, *names: str, broken: str = "") -> tuple[Resolution, Opened]:
    """The resolution of series, and the shards that were opened for it."""
    opened: Opened = {}
    manifest = releases.manifest(releases.head().release)
    resolution = resolve(manifest, Names.of([Series.parse(name) for name in names]), getter(releases, opened, broken))
    assert resolution
    return resolution, opened


def test_a_series_without_models_of_its_own_has_its_regions_then_those_of_all_regions(releases: Releases) -> None:
    resolution, _ = resolved(releases, OWN, "r/new/cpu", "new/new/cpu", NOBODY)
    assert resolution.level.tolist() == [0, 1, 2, 0]
    assert (resolution.artifact == NOT_FOUND).tolist() == [False, False, False, True]
    assert (resolution.position == NOT_FOUND).tolist() == [False, False, False, True]


def test_positions_are_those_of_the_series_in_the_shards_opened(releases: Releases) -> None:
    names = [OTHER_REGION, OWN, OTHER_REGION]
    resolution, opened = resolved(releases, *names)
    for i, name in enumerate(names):
        shard = opened[resolution.artifacts[resolution.artifact[i]].hash]
        assert isinstance(shard, Shard)
        assert shard.find(Names.of([Series.parse(name)])).tolist() == [resolution.position[i]]
    assert sorted(i for members in resolution.members.values() for i in members) == [0, 1, 2]


def test_a_series_whose_shard_cannot_be_opened_has_no_fallback(releases: Releases) -> None:
    resolution, _ = resolved(releases, OWN, OTHER_REGION, broken="r")
    assert resolution.position[0] == NOT_FOUND
    assert resolution.artifact[0] != NOT_FOUND
    assert isinstance(resolution.failed[int(resolution.artifact[0])], LoadFailed)
    assert resolution.position[1] != NOT_FOUND


def test_more_failures_take_the_series_of_their_artifacts_out(releases: Releases) -> None:
    resolution, _ = resolved(releases, OWN, OTHER_REGION)
    lost = int(resolution.artifact[0])
    without = resolution.with_failures({lost: LoadFailed("artifact", "broken")})
    assert (without.position == NOT_FOUND).tolist() == [True, False]
    assert list(without.failed) == [lost]
    assert list(without.opened) == [int(resolution.artifact[1])]


@pytest.mark.parametrize("name", [OWN, OTHER_REGION, "r/new/cpu", "new/new/cpu", NOBODY])
@pytest.mark.parametrize("broken", ["", "r", "*"])
def test_one_series_is_found_where_it_is_among_others(releases: Releases, name: str, broken: str) -> None:
    resolution, opened = resolved(releases, name, broken=broken)
    place = place_of(releases.manifest(releases.head().release), Series.parse(name), getter(releases, opened, broken))
    assert place
    assert (place.position, place.level) == (resolution.position[0], resolution.level[0])
    if place.shard:
        assert place.shard is opened[resolution.artifacts[resolution.artifact[0]].hash]
    assert (place.failure is None) == (not resolution.failed)


def test_there_is_no_resolution_while_a_shard_is_being_loaded(releases: Releases) -> None:
    manifest = releases.manifest(releases.head().release)
    series = Series.parse(OWN)
    assert resolve(manifest, Names.of([series]), lambda _: None) is None
    assert place_of(manifest, series, lambda _: None) is None


def test_tables_are_cached_by_release_unless_a_shard_could_not_be_opened(releases: Releases) -> None:
    cache, resolution = ResolutionCache(), resolved(releases, OWN)[0]
    cache.put_table("release", b"failed", dataclasses.replace(resolution, failed={0: LoadFailed("artifact", "broken")}))
    cache.put_table("release", b"table", resolution)
    assert cache.get_table("release", b"failed") is None
    assert cache.get_table("release", b"table") is resolution
    assert cache.get_table("another", b"table") is None


def test_the_same_labels_have_the_same_cached_grouping() -> None:
    cache, series = ResolutionCache(), [Series.parse(name) for name in (OWN, OTHER_REGION, OWN)]
    key, grouping = cache.grouping(Names.of(series))
    assert [str(one) for one in grouping.names.series] == [OWN, OTHER_REGION]
    assert cache.grouping(Names.of(series)) == (key, grouping)
    assert cache.grouping(Names.of(series))[1] is grouping
    assert cache.grouping(Names.of(series[:2]))[0] != key
