"""Resolution: which shard has the models of a series, and what of that is cached."""

import dataclasses

import pytest

from myriad import adapters
from myriad.models.errors import LoadFailed
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.serving import resolution as resolution_module
from myriad.serving.resolution import NOT_FOUND, Get, KnownTable, KnownTables, Resolution, resolve
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


def test_there_is_no_resolution_while_a_shard_is_being_loaded(releases: Releases) -> None:
    manifest = releases.manifest(releases.head().release)
    series = Series.parse(OWN)
    assert resolve(manifest, Names.of([series]), lambda _: None) is None


def test_what_is_known_of_a_table_is_of_one_release_and_whole(releases: Releases) -> None:
    resolution = resolved(releases, OWN)[0]
    known = KnownTable(Names.of([Series.parse(OWN)]))
    known.remember("release", dataclasses.replace(resolution, failed={0: LoadFailed("artifact", "broken")}))
    assert known.resolution("release") is None
    known.remember("release", resolution)
    assert known.resolution("release") is resolution
    assert known.resolution("another") is None


def test_lines_are_drawn_once_and_forgotten_with_the_release(releases: Releases) -> None:
    resolution, drawn = resolved(releases, OWN)[0], list[int]()
    known = KnownTable(Names.of([Series.parse(OWN)]))
    known.remember("release", resolution)

    def draw() -> None:
        drawn.append(1)

    for asked in (0, 0, 900, 900, 0):
        known.lines("release", asked, draw)
    assert len(drawn) == 3
    known.remember("another", resolution)
    known.lines("another", 0, draw)
    assert len(drawn) == 4


def test_a_table_with_the_same_labels_in_the_same_order_is_known() -> None:
    tables, series = KnownTables(), [Series.parse(name) for name in (OWN, OTHER_REGION, OWN)]
    table = tables.of(Names.of(series))
    assert [str(one) for one in table.grouping.names.series] == [OWN, OTHER_REGION]
    assert not table.grouping.is_in_order
    assert tables.of(Names.of(series)) is table
    assert tables.of(Names.of(series[:2])) is not table
    assert tables.of(Names.of(series[::-1][:2])).grouping.is_in_order
    bad = [Series("", "h", "m")]
    assert tables.of(Names.of(bad)) is not tables.of(Names.of(bad))


def test_only_the_latest_tables_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolution_module, "MAX_KNOWN_TABLES", 2)
    tables, names = KnownTables(), [Names.of([Series("r", host, "m")]) for host in "abc"]
    a, b = tables.of(names[0]), tables.of(names[1])
    assert tables.of(names[0]) is a
    tables.of(names[2])
    assert tables.of(names[0]) is a
    assert tables.of(names[1]) is not b
    monkeypatch.setattr(resolution_module, "MAX_KNOWN_BYTES", 0)
    assert tables.of(names[0]) is a
    assert tables.of(names[0]) is not a
