"""Clocks in manifests: read as they were written, and refused where they are none."""

import re

import msgspec
import numpy as np
import pytest

from myriad.models.clock import Clock
from myriad.models.errors import ArtifactCorrupt
from myriad.storage.clocks import MAX_CLOCK_CHANGES, MAX_SHIFT, RegionClock
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from tests.training.small import fitted, released

BERLIN = RegionClock("Europe/Berlin", 3600, ((1_743_296_400, 7200), (1_761_440_400, 3600)))


def test_clocks_are_read_as_they_were_written_and_that_of_all_regions_stands_for_those_without() -> None:
    releases = Releases(MemoryStore())
    plain = released(releases, fitted())
    utc = RegionClock("UTC", 0, ())
    clocked = msgspec.structs.replace(plain, id="20990101T000000Z-00000001", clocks={"*": BERLIN, "us": utc})
    releases.publish(clocked, releases.head())
    read = releases.manifest(clocked.id)
    assert [read.clock_of(region) for region in ("eu", "*", "us")] == [BERLIN, BERLIN, utc]
    assert RegionClock.of("Europe/Berlin", BERLIN.clock) == BERLIN
    without = msgspec.structs.replace(clocked, clocks={"us": BERLIN})
    assert (without.clock_of("eu"), without.clock_of("us"), plain.clock_of("us")) == (None, BERLIN, None)


def test_a_manifest_without_clocks_does_not_speak_of_them() -> None:
    releases = Releases(MemoryStore())
    manifest = released(releases, fitted())
    assert b"clocks" not in releases.store.get(f"releases/{manifest.id}.json", 1 << 20).data


@pytest.mark.parametrize(
    "clock",
    [
        RegionClock("Europe/Berlin", 0, ((200, 0), (100, 0))),
        RegionClock("Europe/Berlin", 0, ((100, 0), (100, 60))),
        RegionClock("Europe/Berlin", 0, ((1 << 62, 0),)),
        RegionClock("Europe/Berlin", MAX_SHIFT + 1, ()),
        RegionClock("Europe/Berlin", 0, ((100, -MAX_SHIFT - 1),)),
        RegionClock("Europe/Berlin", 0, tuple((i, 0) for i in range(MAX_CLOCK_CHANGES + 1))),
    ],
)
def test_a_clock_that_is_none_makes_a_manifest_corrupt(clock: RegionClock) -> None:
    releases = Releases(MemoryStore())
    plain = released(releases, fitted())
    manifest = msgspec.structs.replace(plain, id="20990101T000000Z-00000001", clocks={"eu": clock})
    releases.publish(manifest, releases.head())
    with pytest.raises(ArtifactCorrupt, match="the clock of eu is not valid"):
        releases.manifest(manifest.id)


@pytest.mark.parametrize("text", ["[[1.5, 0]]", '[["1", 0]]', "[[1, 0, 2]]", "[[99999999999999999999, 0]]", "null"])
def test_changes_that_are_no_whole_numbers_make_a_manifest_corrupt(text: str) -> None:
    releases = Releases(MemoryStore())
    manifest = msgspec.structs.replace(released(releases, fitted()), clocks={"eu": BERLIN})
    data = re.sub(rb'"changes":\[\[.*\]\]', b'"changes":' + text.encode(), msgspec.json.encode(manifest))
    name = f"releases/{manifest.id}.json"
    releases.store.swap(name, data, releases.store.get(name, 1 << 20).tag)
    with pytest.raises(ArtifactCorrupt):
        releases.manifest(manifest.id)


def test_a_clock_of_a_manifest_tells_what_it_was_made_of() -> None:
    made = Clock(np.array([10, 20]), np.array([60, 120, 60]))
    assert RegionClock.of("x", made).clock.local(np.array([0, 10, 20])).tolist() == [60, 130, 80]
