"""Publishing: a fleet as shards, and a part of it anew."""

import pytest

from myriad import adapters
from myriad.models.errors import Conflict, InvalidPoints
from myriad.models.key import Series, shard_of
from myriad.models.names import Names
from myriad.models.windows import Window
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Manifest, Releases
from myriad.storage.shard import Shard
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.publish import publish
from tests.training.small import NAMES, PLAN, fitted, released

HOSTS = tuple(f"r/host-{i}/cpu" for i in range(24))


@pytest.fixture
def releases() -> Releases:
    return Releases(MemoryStore())


def names(releases: Releases, manifest: Manifest) -> list[str]:
    """Every series of a release."""
    shards = [Shard(a.hash, releases.get_artifact(a), adapters.get) for a in manifest.artifacts]
    return sorted(str(shard.name_of(at)) for shard in shards for at in range(len(shard)))


def level(releases: Releases, manifest: Manifest, name: str) -> float:
    """A parameter of a series."""
    series = Series.parse(name)
    artifact = manifest.artifact(series.region, series.host_hash)
    assert artifact
    shard = Shard(artifact.hash, releases.get_artifact(artifact), adapters.get)
    (at,) = shard.find(Names.of([series])).tolist()
    return float(shard.models[0, 0].arrays["level"][shard.row[at, 0]])


def test_a_release_says_what_is_in_it(releases: Releases) -> None:
    manifest = publish(releases, fitted(), PLAN, None, {"files": "a.csv"})
    assert (manifest.windows, manifest.weights) == (("1m", "5m"), (1.0, 2.0))
    assert (manifest.rate, manifest.coverage) == (PLAN.rate, PLAN.coverage)
    assert manifest.adapters == {"ewma": 1, "seasonal": 1}
    assert manifest.provenance == {"files": "a.csv"}
    assert [artifact.series for artifact in manifest.artifacts] == [3, 1]
    assert names(releases, manifest) == sorted(NAMES)
    for artifact in manifest.artifacts:
        raw = releases.get_artifact(artifact)
        stored = next(s for s in releases.store.list("artifacts/") if artifact.hash in s.name)
        assert (artifact.bytes, artifact.raw_bytes) == (stored.size, len(raw))


def test_a_large_region_has_several_shards_and_each_host_lies_in_its_own(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myriad.training.publish.SHARD_RAW_BYTES", 4000)
    manifest = released(releases, fitted(*HOSTS))
    shards = manifest.regions["r"]
    assert len(shards) > 3
    assert names(releases, manifest) == sorted(HOSTS)
    for position, artifact in enumerate(shards):
        there = Shard("x", releases.get_artifact(artifact), adapters.get) if artifact else ()
        for at in range(len(there)):
            assert isinstance(there, Shard)
            assert shard_of(there.name_of(at).host_hash, len(shards)) == position


def test_an_update_keeps_the_rest_of_the_release(releases: Releases) -> None:
    before = released(releases, fitted())
    new = fitted("r/b/cpu", "r/c/cpu", seed=7)
    after = publish(releases, new, PLAN, releases.head(), {}, before)
    assert names(releases, after) == sorted([*NAMES, "r/c/cpu"])
    assert after.regions["s"] == before.regions["s"]
    assert level(releases, after, "r/b/cpu") == float(new.models[0, 0].arrays["level"][0])
    for kept in ("r/a/cpu", "s/a/cpu"):
        assert level(releases, after, kept) == level(releases, before, kept)


def test_an_update_with_other_windows_is_refused(releases: Releases) -> None:
    before = released(releases, fitted())
    plan = Plan(windows=(Window(60),), candidates=only("ewma"), weights=(1.0,))
    with pytest.raises(InvalidPoints, match="windows 1m, 5m"):
        publish(releases, fitted(plan=plan), plan, releases.head(), {}, before)
    assert releases.head().release == before.id


def test_who_was_too_late_hears_of_it_and_changes_nothing(releases: Releases) -> None:
    current = released(releases, fitted())
    with pytest.raises(Conflict):
        publish(releases, fitted(seed=1), PLAN, None, {})
    assert releases.head().release == current.id
