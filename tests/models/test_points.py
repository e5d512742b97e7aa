from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from myriad.models.errors import InvalidPoints
from myriad.models.points import Points, magnitudes, ranges, without_wild

Posted = list[list[tuple[int, float]]]
POSTED = st.lists(st.lists(st.tuples(st.integers(0, 20), st.floats(-1e150, 1e150)), max_size=30), max_size=5)


def points(posted: Posted) -> Points:
    return Points.of(*(([t for t, _ in one], [v for _, v in one]) for one in posted))


def of_values(*series: ArrayLike) -> Points:
    """Series of these values, a second apart."""
    return Points.of(*((np.arange(np.size(one)), one) for one in series))


def listed(some: Points) -> Posted:
    return [list(zip(*(array.tolist() for array in some.series(i)), strict=True)) for i in range(len(some))]


def test_points_know_whose_they_are() -> None:
    some = points([[(1, 10), (2, 20)], [], [(1, 30)]])
    assert len(some) == 3
    assert some.lengths.tolist() == [2, 0, 1]
    assert some.owner.tolist() == [0, 0, 2]
    assert listed(some) == [[(1, 10), (2, 20)], [], [(1, 30)]]


def test_there_may_be_no_series() -> None:
    none = Points.of()
    assert len(none) == 0
    assert none.timestamps.dtype == np.int64
    assert len(none.tidied().points) == 0


def test_a_series_has_as_many_values_as_timestamps() -> None:
    with pytest.raises(InvalidPoints, match="not as many values as timestamps"):
        Points.of(([1, 2], [1.0]))


def test_series_are_taken_in_the_order_asked_for_even_twice() -> None:
    some = points([[(1, 10)], [], [(3, 30), (4, 40)]])
    assert listed(some.take([2, 0, 1, 2])) == [[(3, 30), (4, 40)], [(1, 10)], [], [(3, 30), (4, 40)]]
    assert len(some.take([])) == 0


def test_a_series_stays_when_none_of_its_points_does() -> None:
    some = points([[(1, 10), (2, 20)], [(1, 30)]])
    assert listed(some.where(np.array([False, True, False]))) == [[(2, 20)], []]


@given(POSTED)
def test_of_points_with_one_timestamp_the_last_posted_wins(posted: Posted) -> None:
    assert listed(points(posted).tidied().points) == [sorted(dict(one).items()) for one in posted]


@given(POSTED)
def test_tidying_counts_the_duplicates_of_each_series(posted: Posted) -> None:
    duplicates = points(posted).tidied().duplicates
    assert duplicates.tolist() == [len(one) - len(dict(one)) for one in posted]


@given(POSTED)
def test_tidying_says_where_each_posted_point_went(posted: Posted) -> None:
    some = points(posted)
    tidy, _, place = some.tidied()
    assert np.array_equal(tidy.timestamps[place], some.timestamps)
    assert np.array_equal(tidy.owner[place], some.owner)


@given(POSTED)
def test_tidy_points_stay_as_they_are(posted: Posted) -> None:
    tidy = points(posted).tidied().points
    again = tidy.tidied()
    assert again.points is tidy
    assert not again.duplicates.any()
    assert again.place.tolist() == list(range(len(tidy.values)))


def test_magnitudes_are_largest_absolute_values_and_1_where_there_is_none() -> None:
    some = points([[(1, -5.0), (2, 3.0)], [(1, 0.0)], [], [(1, float("nan")), (2, 1e-200)], [(1, 1e-300)]])
    assert magnitudes(some).tolist() == [5.0, 1.0, 1.0, 1e-200, 1.0]
    assert some.usual_largest.tolist() == [5.0, 0.0, 0.0, 1e-200, 1e-300]


@pytest.mark.parametrize(
    ("count", "largest"), [(29, 29), (30, 29), (999, 998), (1999, 1998), (2000, 1998), (5000, 4995)]
)
def test_the_usual_largest_value_is_that_of_all_but_a_thousandth_and_one_at_least(count: int, largest: int) -> None:
    draw = np.random.default_rng(0)
    values = draw.permutation(np.arange(1.0, count + 1)) * draw.choice([-1, 1], count)
    gappy = np.insert(values, 3, [np.nan] * 50)
    assert of_values(values, gappy).usual_largest.tolist() == [largest, largest]


def test_where_all_others_are_0_the_largest_value_is_the_usual_one() -> None:
    assert of_values([*[0.0] * 5000, -7.0]).usual_largest.tolist() == [7.0]


def test_a_counter_that_overflowed_once_is_not_what_all_else_is_measured_by() -> None:
    values = np.full(20_000, 100.0)
    values[12_345] = 2.0**64
    assert magnitudes(of_values(values)).tolist() == [100.0]


def test_samples_that_nothing_real_can_be_are_dropped_in_their_series_alone() -> None:
    times, usual = np.arange(3000), 100 + np.sin(np.arange(3000.0))
    wild = usual.copy()
    wild[[7, 2000]] = 2.0**64, -1e6
    left = without_wild(Points.of((times, wild), (times, usual), ([], [])))
    assert left.lengths.tolist() == [2998, 3000, 0]
    assert left.series(0)[0].tolist() == np.delete(times, [7, 2000]).tolist()
    assert left.series(0)[1].tolist() == np.delete(usual, [7, 2000]).tolist()


def test_what_happens_more_often_or_is_not_so_far_away_is_no_wild_sample() -> None:
    usual = 100 + np.sin(np.arange(3000.0))
    often, near, few, constant = usual.copy(), usual.copy(), usual[:29].copy(), np.full(3000, 5.0)
    often[::500] = 2.0**64
    near[7] = 100 + 90
    few[7] = 2.0**64
    constant[7] = 2.0**64
    given = of_values(often, near, few, constant)
    assert without_wild(given) is given


@given(POSTED)
def test_points_without_wild_ones_are_some_of_them_in_their_order(posted: Posted) -> None:
    tidy = points(posted).tidied().points
    left = without_wild(tidy)
    for i in range(len(tidy)):
        times = left.series(i)[0].tolist()
        assert times == [time for time in tidy.series(i)[0].tolist() if time in times]
        assert len(times) >= min(tidy.lengths[i], 29)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5)), max_size=10))
def test_ranges_follow_one_another(spans: list[tuple[int, int]]) -> None:
    starts, lengths = np.array(spans, np.int64).reshape(-1, 2).T
    assert ranges(starts, lengths).tolist() == [i for start, n in spans for i in range(start, start + n)]


@given(POSTED, st.data())
def test_points_carry_their_clock_along(posted: Posted, data: st.DataObject) -> None:
    """Its local times are made of timestamps and values, so that each is still known whatever became of the points."""

    def clocked(some: Points) -> Points:
        return some.with_clock(some.timestamps * 1000 + (np.abs(some.values) % 1000).astype(np.int64))

    some = points(posted)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(some.values), max_size=len(some.values))), bool)
    chosen = data.draw(st.lists(st.integers(0, len(some) - 1), max_size=6)) if len(some) else []
    middle = some.offsets[:-1] + some.lengths // 2
    changes: list[Callable[[Points], Points]] = [
        lambda one: one.take(chosen),
        lambda one: one.where(keep),
        lambda one: one.latest(3),
        lambda one: one.between(one.offsets[:-1], middle),
        lambda one: one.concatenated(one),
        lambda one: one.tidied().points,
    ]
    for change in changes:
        changed = change(clocked(some))
        assert changed.local.tolist() == clocked(change(some)).local.tolist()
        assert listed(changed) == listed(change(some))


def test_points_without_a_clock_have_local_times_that_are_their_timestamps() -> None:
    some = points([[(1, 10), (2, 20)]])
    assert some.local is some.timestamps
    assert some.concatenated(some.with_clock(some.timestamps + 5)).local.tolist() == [1, 2, 6, 7]
    assert some.with_clock(some.timestamps + 5).with_values(np.zeros(2)).local.tolist() == [6, 7]
