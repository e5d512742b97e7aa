"""Local time of a query: by the clock of each series' region."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myriad.models.clock import Clock
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.serving.local_time import local_times
from myriad.storage.clocks import RegionClock
from myriad.storage.release import Manifest
from tests.training.tables import manifest

END = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
CLOCKS = {
    region: RegionClock.of(zone, Clock.of_zone(ZoneInfo(zone), END))
    for region, zone in {"eu": "Europe/Berlin", "eu-2": "Europe/Berlin", "us": "America/New_York"}.items()
}
UTC_CLOCK = RegionClock("UTC", 0, ())


def with_clocks(**clocks: RegionClock) -> Manifest:
    """A manifest with these."""
    return Manifest(**{name: getattr(manifest(), name) for name in Manifest.__struct_fields__} | {"clocks": clocks})


def test_a_release_without_clocks_has_no_local_times() -> None:
    names, points = Names.of([Series("eu", "a", "cpu")]), Points.of(([1, 2], [1, 2]))
    assert local_times(manifest(), names, points) is None


@pytest.mark.parametrize("of_all", [None, UTC_CLOCK, CLOCKS["us"]])
@given(
    regions=st.lists(st.sampled_from(["eu", "eu-2", "us", "elsewhere"]), max_size=6),
    lengths=st.lists(st.integers(0, 5), min_size=6, max_size=6),
    seed=st.integers(0, 1000),
)
def test_each_point_is_told_by_the_clock_of_its_region(
    of_all: RegionClock | None, regions: list[str], lengths: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    some = [np.sort(rng.integers(END - 400 * 86_400, END, n)) for n in lengths[: len(regions)]]
    points = Points.of(*((one, np.zeros(len(one))) for one in some))
    names = Names.of([Series(region, f"h{i}", "cpu") for i, region in enumerate(regions)])
    release = with_clocks(**CLOCKS, **({"*": of_all} if of_all else {}))
    expected = []
    for region, one in zip(regions, some, strict=True):
        clock = CLOCKS.get(region, of_all)
        expected += (clock.clock.local(one) if clock else one).tolist()
    found = local_times(release, names, points)
    assert found is not None
    assert found.tolist() == expected
