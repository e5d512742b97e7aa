import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad.kernels.profiles import period_maxima
from myriad.models.arrays import Vector
from myriad.models.calibration import (
    DAY,
    EFFECT_SHARE,
    EXPECTED_BEYOND,
    HOLDOUT,
    MIN_EFFECT,
    TAIL,
    effect_floor,
    held_out,
    recurring,
    threshold,
)
from myriad.models.points import Points


def test_a_sample_that_reaches_far_enough_gives_its_own_quantile() -> None:
    deviations = np.random.default_rng(0).normal(size=100_000) ** 2
    assert threshold(deviations, 1e-3) == np.quantile(deviations, 1 - 1e-3)


def test_the_sample_reaches_far_enough_with_ten_points_expected_beyond() -> None:
    rare, n = 1e-3, int(EXPECTED_BEYOND / 1e-3)
    even = np.linspace(0, 1, n)
    assert threshold(even, rare) == pytest.approx(1 - rare)
    assert threshold(even[1:], rare) > 1  # no exponential tail ends there


def test_a_rate_within_the_tail_is_never_extrapolated() -> None:
    assert threshold(np.arange(101.0), TAIL) == pytest.approx(100 * (1 - TAIL))


@pytest.mark.parametrize("rate", [1e-3, 1e-4, 1e-5])
def test_the_threshold_of_exponential_deviations_is_their_true_quantile(rate: float) -> None:
    draw = np.random.default_rng(1)
    true = -np.log(rate)
    found = [threshold(draw.exponential(size=5000), rate) for _ in range(50)]
    assert np.mean(found) == pytest.approx(true, rel=0.07)  # a tail taken for lighter by chance is never made up for
    assert np.std(found) < 0.15 * true


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(1e-6, 0.5), st.floats(1e-6, 0.5))
def test_the_rarer_the_rate_the_higher_the_threshold(deviations: list[float], rate: float, other: float) -> None:
    sample = np.array(deviations)
    rarer, commoner = sorted([rate, other])
    assert threshold(sample, rarer) >= threshold(sample, commoner) * (1 - 1e-9)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.001, 1000))
def test_the_threshold_is_in_the_unit_of_the_deviations(deviations: list[float], unit: float) -> None:
    sample = np.array(deviations)
    assert threshold(sample * unit, 1e-4) == pytest.approx(threshold(sample, 1e-4) * unit, rel=1e-6, abs=1e-9)


def test_incidents_in_the_history_hardly_move_the_threshold() -> None:
    usual = np.random.default_rng(3).exponential(size=10_000)
    incidents = np.where(np.arange(len(usual)) % 100 == 0, 1000.0, usual)
    assert threshold(incidents, 1e-4) < 1.6 * threshold(usual, 1e-4)


def test_a_missing_deviation_does_not_count() -> None:
    sample = np.random.default_rng(2).exponential(size=1000)
    gappy = np.insert(sample, slice(0, 1000, 10), np.nan)
    assert threshold(gappy, 1e-4) == threshold(sample, 1e-4)


def test_equal_deviations_are_their_own_threshold() -> None:
    assert threshold(np.full(100, 3.0), 1e-4) == 3


@given(st.lists(st.integers(0, 200), min_size=1, max_size=5))
def test_the_last_three_tenths_of_each_series_are_held_out(lengths: list[int]) -> None:
    points = Points.of(*((np.arange(n), np.zeros(n)) for n in lengths))
    held = held_out(points)
    for i, n in enumerate(lengths):
        mine = held[points.offsets[i] : points.offsets[i + 1]]
        assert abs(mine.sum() - HOLDOUT * n) < 1
        assert (np.diff(mine.astype(int)) >= 0).all()


def test_the_floor_is_a_hundredth_of_the_largest_value_of_each_series() -> None:
    assert EFFECT_SHARE == 0.01
    points = Points.of(([1, 2], [3.0, -50.0]), ([1], [2e-3]), ([1, 2], [np.nan, 8.0]))
    assert effect_floor(points).tolist() == pytest.approx([0.5, 2e-5, 0.08])


def test_a_series_of_nothing_but_zeros_has_the_smallest_floor() -> None:
    assert effect_floor(Points.of(([1, 2], [0.0, 0.0]), ([], []))).tolist() == [MIN_EFFECT] * 2


def daily(deviations: Vector, points: Points) -> NDArray[np.float64]:
    """The largest in each half hour of each day."""
    return period_maxima(points.local, deviations, points.offsets, 1800, 48, 100)


def test_what_recurs_does_so_at_a_local_time() -> None:
    """At 9:00 by a clock that is put forward by an hour after seven days."""
    times = np.arange(0, 14 * DAY, 1800)
    local = times + 3600 * (times >= 7 * DAY)
    deviations = np.where(local % DAY == 9 * 3600, 5.0, 1.0)
    points = Points.of((times, deviations))
    found, unclocked = (recurring(daily(deviations, one), one, 1e-4)[0] for one in (points.with_clock(local), points))
    assert np.flatnonzero(found == 5).tolist() == [18]
    assert not (unclocked == 5).any()


def test_a_clock_that_goes_back_by_days_leaves_what_recurs_as_it_is() -> None:
    times = np.arange(0, 14 * DAY, 1800)
    deviations = np.where(times % DAY == 9 * 3600, 5.0, 1.0)
    back = times - 3 * DAY * (times // DAY == 4) - DAY * (times // DAY == 0)
    points = Points.of((times, deviations), (times, deviations)).with_clock(np.concatenate([back, times]))
    by_clock, plain = recurring(daily(np.concatenate([deviations] * 2), points), points, 1e-4)
    assert by_clock.tolist() == plain.tolist()
