"""Counters: rates a second, across restarts too, and which series look like them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad.models.counters import LEAST_RISES, RISES_A_FALL, as_rates, look_like_counters
from myriad.models.points import Points

Posted = list[tuple[int, float]]
POSTED = st.lists(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50).map(float)), max_size=12, unique_by=lambda p: p[0]).map(
        sorted
    ),
    max_size=4,
)


def points(*series: Posted) -> Points:
    return Points.of(*(([t for t, _ in one], [v for _, v in one]) for one in series))


def listed(some: Points) -> list[Posted]:
    return [list(zip(*(array.tolist() for array in some.series(i)), strict=True)) for i in range(len(some))]


def looks(*values: NDArray[np.float64] | list[float]) -> list[bool]:
    """Whether each series of values, a minute apart, looks like a counter."""
    given = Points.of(*((60 * np.arange(len(one)), one) for one in values))
    return [*look_like_counters(given).tolist()]


def test_a_counter_becomes_its_rate_a_second_and_loses_its_first_point() -> None:
    rates, kept = as_rates(points([(0, 5), (60, 65), (90, 65), (100, 75)]), np.array([True]))
    assert listed(rates) == [[(60, 1.0), (90, 0.0), (100, 1.0)]]
    assert kept.tolist() == [False, True, True, True]


def test_a_counter_that_falls_has_started_again_at_0() -> None:
    rates, _ = as_rates(points([(0, 1000), (60, 1060), (120, 30), (180, 90)]), np.array([True]))
    assert listed(rates) == [[(60, 1.0), (120, 0.5), (180, 1.0)]]


def test_series_that_are_no_counters_stay_as_they_are_beside_those_that_are() -> None:
    gauge = [(0, 7.0), (60, 3.0)]
    given = points([(0, 1), (60, 61)], gauge, [], [(30, 5)], [(30, 0), (60, 30)])
    rates, kept = as_rates(given, np.array([True, False, True, True, True]))
    assert listed(rates) == [[(60, 1.0)], gauge, [], [], [(60, 1.0)]]
    assert kept.tolist() == [False, True, True, True, False, False, True]


def test_without_counters_nothing_changes() -> None:
    given = points([(0, 1), (60, 61)], [(0, 7)])
    rates, kept = as_rates(given, np.zeros(2, bool))
    assert listed(rates) == listed(given)
    assert kept.all()
    assert len(as_rates(points(), np.zeros(0, bool))[0]) == 0


@given(POSTED, st.data())
def test_the_rates_of_a_series_do_not_depend_on_its_neighbours(posted: list[Posted], data: st.DataObject) -> None:
    counted = data.draw(st.lists(st.booleans(), min_size=len(posted), max_size=len(posted)))
    rates, kept = as_rates(points(*posted), np.array(counted, bool))
    expected = []
    for one, is_counter in zip(posted, counted, strict=True):
        steps = pairwise(one)
        rate = [(t, (v if v < before else v - before) / (t - since)) for (since, before), (t, v) in steps]
        expected.append(rate if is_counter else one)
    assert listed(rates) == expected
    assert int(kept.sum()) == sum(map(len, expected))


def test_what_only_counts_up_looks_like_a_counter() -> None:
    steadily = np.arange(100.0)
    rarely = np.repeat(np.arange(LEAST_RISES + 1.0), 50)
    restarted = np.concatenate([np.arange(1000.0), np.arange(20.0), np.arange(500.0)])
    assert looks(steadily, rarely, restarted) == [True, True, True]


@pytest.mark.parametrize(
    "values",
    [
        np.full(100, 5.0),
        np.arange(100.0)[::-1],
        np.random.default_rng(0).normal(100, 1, 1000),
        np.tile([0.0, 1.0], 500),
        np.arange(float(LEAST_RISES)),
        np.append(np.arange(1000.0), 900.0),
        np.tile(np.arange(RISES_A_FALL - 1.0), 50),
        [],
        [1.0],
    ],
    ids=["constant", "falling", "noise", "switch", "few", "falls a little", "falls often", "nothing", "one point"],
)
def test_what_falls_otherwise_or_hardly_rises_does_not(values: list[float]) -> None:
    up = np.arange(100.0)
    assert looks(values) == [False]
    assert looks(up, values, up) == [True, False, True]


def test_what_was_before_the_first_point_of_a_series_is_anothers() -> None:
    assert looks(np.arange(100.0) + 1000, np.arange(100.0) + 500, np.arange(100.0) + 900) == [True] * 3
