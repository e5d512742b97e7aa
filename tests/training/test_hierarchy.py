"""Hierarchy: what fills up a short history, and at which level."""

import numpy as np
import pytest

from myriad.models.key import ANY, Series
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from myriad.training.hierarchy import LEAST_POINTS, SHORT_SECONDS, WEEK, Reference, backfilled, pools, references
from tests.conftest import END, history

NEW = Series("r", "new", "cpu")
REGION, FLEET = Series("r", ANY, "cpu"), Series(ANY, ANY, "cpu")
PAST = history(10, step=300)
SHORT = history(1, step=300, seed=1).with_values(1000 + 5 * history(1, step=300, seed=1).values)


@pytest.fixture(scope="module")
def given() -> dict[tuple[str, str], Reference]:
    """The reference of a region's metric."""
    return references({REGION: PAST})


def test_pools_are_of_one_metric_by_region_and_of_everything() -> None:
    series = [Series("r", "a", "cpu"), Series("s", "a", "cpu"), Series("r", "a", "mem")]
    found = pools(series, ["region", "global"])
    assert {str(one): some.tolist() for one, some in found.items()} == {
        "r/*/cpu": [0], "s/*/cpu": [1], "*/*/cpu": [0, 1], "r/*/mem": [2], "*/*/mem": [2],
    }  # fmt: skip


def test_a_reference_is_the_longest_of_a_pool_around_0_in_its_own_spread() -> None:
    pool = Points.of(history(4, step=300).series(0), PAST.series(0))
    ((_, reference),) = references({REGION: pool}).items()
    assert len(reference.timestamps) == len(PAST.values)
    assert np.median(reference.values) == pytest.approx(0)
    assert 1.4826 * np.median(np.abs(reference.values)) == pytest.approx(1)


def test_a_pool_of_short_histories_has_no_reference() -> None:
    assert references({REGION: SHORT}) == {}


def test_a_short_history_is_filled_up_before_it_at_its_own_level(given: dict[tuple[str, str], Reference]) -> None:
    points, (borrowed,) = backfilled([NEW], SHORT, given)
    times, values = points.series(0)
    assert borrowed == len(PAST.values)
    assert (np.diff(times) > 0).all()
    assert np.array_equal(values[borrowed:], SHORT.values)
    assert np.median(values[:borrowed]) == pytest.approx(np.median(SHORT.values))
    assert values[:borrowed].std() == pytest.approx(SHORT.values.std(), rel=0.2)


def test_what_is_borrowed_is_whole_weeks_earlier(given: dict[tuple[str, str], Reference]) -> None:
    """So that an hour of the week stays one."""
    points, (borrowed,) = backfilled([NEW], SHORT, given)
    earlier = np.unique(PAST.timestamps - points.timestamps[:borrowed])
    assert earlier.tolist() == [WEEK]


def test_the_regions_reference_is_taken_before_that_of_everything() -> None:
    other = references({FLEET: history(20, step=300)})
    both = references({REGION: PAST}) | other
    for given, expected in ((both, len(PAST.values)), (other, 20 * DAY // 300), ({}, 0)):
        assert backfilled([NEW], SHORT, given)[1].tolist() == [expected]


@pytest.mark.parametrize(
    "own",
    [history(SHORT_SECONDS / DAY + 0.1, step=300), SHORT.where(np.arange(len(SHORT.values)) < LEAST_POINTS - 1)],
    ids=["long enough", "too short to know its level"],
)
def test_other_histories_stay_as_they_are(own: Points, given: dict[tuple[str, str], Reference]) -> None:
    points, borrowed = backfilled([NEW], own, given)
    assert borrowed.tolist() == [0]
    assert points is own


def test_only_the_short_ones_of_several_are_filled_up(given: dict[tuple[str, str], Reference]) -> None:
    several = Points.of(PAST.series(0), SHORT.series(0))
    points, borrowed = backfilled([Series("r", "old", "cpu"), NEW], several, given)
    assert borrowed.tolist() == [0, len(PAST.values)]
    assert np.array_equal(points.series(0)[1], PAST.values)
    assert points.timestamps.max() < END
