"""Resolution: which shard has the models of a series, and what of that is cached."""

import dataclasses

import pytest

from myriad import adapters
from myriad.models.errors import LoadFailed
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.serving import resolution as resolution_module
from myriad.serving.resolution import NOT_FOUND, CachedModels, OpenedShards, Resolution, ResolutionCache, resolve
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


def resolved(releases: Releases, *names: str, broken: str = "") -> tuple[Resolution, OpenedShards]:
    """The resolution of series, where the artifacts of the region `broken` cannot be opened."""
    manifest = releases.manifest(releases.head().release)
    lost = {artifact.hash for artifact in manifest.regions.get(broken, ()) if artifact}

    def opened(artifact: Artifact) -> Shard | LoadFailed:
        if artifact.hash in lost:
            return LoadFailed(artifact.hash, "broken")
        return Shard(artifact.hash, releases.get_artifact(artifact), adapters.get)

    steps = resolve(manifest, Names.of([Series.parse(name) for name in names]))
    try:
        needed = next(steps)
        while True:
            needed = steps.send({artifact.hash: opened(artifact) for artifact in needed})
    except StopIteration as done:
        result: tuple[Resolution, OpenedShards] = done.value
        return result


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


def models_of(releases: Releases, *names: str) -> list[CachedModels]:
    """The models of some series."""
    resolution, opened = resolved(releases, *names)
    models = []
    for at, position, level in zip(resolution.artifact, resolution.position, resolution.level, strict=True):
        artifact = resolution.artifacts[at]
        shard = opened[artifact.hash]
        assert isinstance(shard, Shard)
        models.append(CachedModels.of(artifact, shard, int(position), int(level)))
    return models


def test_the_resolution_of_cached_models_is_that_of_their_series(releases: Releases) -> None:
    names = (OWN, "r/new/cpu", OTHER_REGION, OWN)
    resolution, of_cached = resolved(releases, *names)[0], Resolution.of(models_of(releases, *names))
    for i in range(len(names)):
        assert of_cached.artifacts[of_cached.artifact[i]] == resolution.artifacts[resolution.artifact[i]]
    assert of_cached.position.tolist() == resolution.position.tolist()
    assert of_cached.level.tolist() == resolution.level.tolist()
    assert set(of_cached.opened) == set(of_cached.members)


def test_models_are_cached_by_release_and_given_only_for_all_series_asked_for(releases: Releases) -> None:
    cache = ResolutionCache()
    first, second = Series.parse(OWN), Series.parse(OTHER_REGION)
    (models,) = models_of(releases, OWN)
    cache.put_models("release", {first: models})
    assert cache.get_models("release", [first, first]) == [models, models]
    assert cache.get_models("release", [first, second]) is None
    assert cache.get_models("another", [first]) is None


def test_the_least_recently_used_models_are_dropped(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolution_module, "MAX_CACHED_SERIES", 2)
    cache, (models,) = ResolutionCache(), models_of(releases, OWN)
    a, b, c = (Series("r", host, "cpu") for host in "abc")
    cache.put_models("release", {a: models, b: models})
    assert cache.get_models("release", [a])
    cache.put_models("release", {c: models})
    assert [cache.get_models("release", [one]) is not None for one in (a, b, c)] == [True, False, True]


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
