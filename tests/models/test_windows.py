import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad.models.errors import InvalidKey
from myriad.models.points import Points
from myriad.models.windows import LATELY, Window, aggregate, is_window, regimes, usual_step

VALUES = st.floats(-1e6, 1e6)
Series = tuple[list[int], list[float]]


@st.composite
def telemetry(draw: st.DrawFn) -> Series:
    """Posted points of one series: out of order, with duplicates and gaps."""
    times = draw(st.lists(st.integers(0, 40).map(lambda i: i * 30), max_size=40))
    return times, draw(st.lists(VALUES, min_size=len(times), max_size=len(times)))


def slowly(points: Points, windows: tuple[int, ...], steps: list[int], coverage: float) -> NDArray[np.float64]:
    """What `aggregate` gives, from the definition."""
    rows = []
    for window in windows:
        row = []
        for i, step in enumerate(steps):
            times, values = points.series(i)
            for t in times:
                inside = values[(times > t - window) & (times <= t)]
                enough = len(inside) >= coverage * window / step
                row.append(math.fsum(inside) / len(inside) if enough else math.nan)
        rows.append(row)
    return np.array(rows).reshape(len(windows), -1)


def changing(*stretches: tuple[int, int]) -> NDArray[np.int64]:
    """Times of so many points each so many seconds after the last, one stretch after the other."""
    return np.cumsum(np.concatenate([np.full(count, step) for count, step in stretches]))


def regular(n: int, step: int, value: float = 1.0, start: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return start + np.arange(n) * step, np.full(n, value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("90s", 90), ("1m", 60), ("15m", 900), ("1h", 3600), ("2d", 172800)]
)
def test_a_window_is_written_as_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert Window.parse(text) == seconds
    assert str(Window(seconds)) == text


@given(st.integers(1, 999_999), st.sampled_from("smhd"))
def test_every_window_is_read_back_from_its_text(number: int, unit: str) -> None:
    window = Window.parse(f"{number}{unit}")
    assert Window.parse(str(window)) == window


@pytest.mark.parametrize("text", ["60m", "60s", "24h", "1440m"])
def test_a_window_is_shown_in_its_largest_unit(text: str) -> None:
    shown = str(Window.parse(text))
    assert shown in ("1m", "1h", "1d")
    assert Window.parse(shown) == Window.parse(text)


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "01m", "-1m", "1.5h", "15", "15M", "1w", " 1m", "1m\n", "1234567s", "\u0661m"]
)
def test_other_text_is_no_window(text: str) -> None:
    with pytest.raises(InvalidKey, match="is not a number of s, m, h or d, as in 15m"):
        Window.parse(text)


@given(
    st.lists(telemetry(), min_size=1, max_size=3),
    st.lists(st.sampled_from([30, 60, 300, 900, 1500]), min_size=1, max_size=3),
    st.sampled_from([30, 60, 90]),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_a_window_is_the_mean_of_the_points_in_it(
    posted: list[Series], windows: list[int], step: int, coverage: float
) -> None:
    points = Points.of(*posted).tidied().points
    steps = [step] * len(points)
    means = aggregate(points, tuple(windows), np.array(steps), coverage)
    naive = slowly(points, tuple(windows), steps, coverage)
    np.testing.assert_allclose(means, naive, rtol=1e-12, atol=1e-8)


def test_the_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    points = Points.of(([0, 60, 120], [1.0, 2.0, 4.0]))
    assert aggregate(points, (60, 120), np.array([60])).tolist() == [[1, 2, 4], [1, 1.5, 3]]


def test_a_window_has_a_value_from_exactly_half_of_its_points() -> None:
    points = Points.of(regular(60, 60))
    (hour,) = aggregate(points, (3600,), np.array([60]))
    assert np.isnan(hour[:29]).all()
    assert (hour[29:] == 1).all()


def test_half_of_an_odd_number_of_points_is_rounded_up() -> None:
    points = Points.of(regular(15, 60))
    (quarter,) = aggregate(points, (900,), np.array([60]))
    assert np.isfinite(quarter).tolist() == [False] * 7 + [True] * 8


def test_a_gap_takes_the_value_of_a_window_away_until_half_of_it_is_filled_again() -> None:
    before, after = regular(20, 60), regular(20, 60, start=20 * 60 + 600)
    points = Points.of((np.append(before[0], after[0]), np.append(before[1], after[1])))
    (ten,) = aggregate(points, (600,), np.array([60]))
    assert np.isnan(ten[20:24]).all()
    assert np.isfinite(ten[24:]).all()


def test_coverage_is_measured_in_the_usual_step_of_each_series() -> None:
    points = Points.of(regular(10, 60), regular(10, 300))
    (quarter,) = aggregate(points, (900,), np.array([60, 300]))
    assert np.isfinite(quarter).tolist() == [False] * 7 + [True] * 3 + [False] + [True] * 9


def test_no_points_have_no_windows() -> None:
    assert aggregate(Points.of(([], [])), (60, 900), np.array([60])).shape == (2, 0)


@given(st.lists(telemetry(), min_size=2, max_size=4), st.sampled_from([60, 300, 1500]))
def test_a_neighbouring_series_costs_no_digit(posted: list[Series], window: int) -> None:
    points = Points.of(*posted).tidied().points
    together = aggregate(points, (window,), np.full(len(points), 30))[0]
    loud = points.with_values(np.where(points.owner % 2 == 0, points.values, 1e149))
    among_huge = aggregate(loud, (window,), np.full(len(points), 30))[0]
    for i in range(0, len(points), 2):
        alone = aggregate(points.take([i]), (window,), np.array([30]))[0]
        span = slice(points.offsets[i], points.offsets[i + 1])
        np.testing.assert_array_equal(together[span], alone)
        np.testing.assert_array_equal(among_huge[span], alone)


@given(st.lists(VALUES, min_size=40, max_size=40), st.integers(1, 12))
def test_a_huge_value_that_left_the_window_costs_no_digit(values: list[float], points_a_window: int) -> None:
    times = np.arange(40) * 60
    quiet, loud = np.array(values), np.array(values)
    loud[:5] = 1e149
    window = points_a_window * 60
    (one,), (other,) = (aggregate(Points.of((times, v)), (window,), np.array([60])) for v in (quiet, loud))
    np.testing.assert_array_equal(one[4 + points_a_window :], other[4 + points_a_window :])


def test_the_usual_step_of_a_series_is_at_least_a_second() -> None:
    gappy = np.delete(np.arange(100) * 300, slice(20, 60))
    points = Points.of((gappy, gappy * 0.0), regular(10, 60), regular(1, 60), ([], []))
    assert usual_step(points).tolist() == [300, 60, 1, 1]


@pytest.mark.parametrize("count", [100, 101, 1000, 1001, 5000, 5001])
@pytest.mark.parametrize(("apart", "step"), [((0, 2), 30), ((0, 20), 30), ((0, 2, 7), 20), ((0, 1, 3, 9), 15)])
def test_the_usual_step_of_replicas_a_few_seconds_apart_is_their_mean_step(
    count: int, apart: tuple[int, ...], step: int
) -> None:
    """Whatever every other time between points is by chance, with an even and with an odd number of points."""
    times = (np.arange(count)[:, None] * 60 + np.array(apart)).ravel()[:count]
    assert usual_step(Points.of((times, times * 0.0))).tolist() == [step]
    assert usual_step(Points.of((times[1:], times[1:] * 0.0))).tolist() == [step]


def test_the_usual_step_is_that_of_most_points_where_others_are_late_or_missing() -> None:
    draw = np.random.default_rng(0)
    late = np.arange(2000) * 60 + draw.integers(0, 4, 2000)
    missing = np.delete(np.arange(2000) * 60, draw.choice(2000, 300, replace=False))
    assert usual_step(Points.of((late, late * 0.0), (missing, missing * 0.0))).tolist() == [60, 60]


@pytest.mark.parametrize(("before", "after"), [(15, 60), (60, 15)])
def test_the_usual_step_is_that_of_the_latest_points(before: int, after: int) -> None:
    times = changing((9000, before), (LATELY, after))
    assert usual_step(Points.of((times, times * 0.0))).tolist() == [after]


@pytest.mark.parametrize(("before", "after"), [(15, 60), (60, 15)])
def test_a_history_whose_interval_changes_has_stretches_of_either(before: int, after: int) -> None:
    times = changing((3 * LATELY, before), (2 * LATELY, after))
    steady = regular(1500, 300)
    found = regimes(Points.of((times, times * 0.0), steady, ([], []), (times[:1], [1.0])))
    steps = found.steps[found.of_points]
    assert steps[: 3 * LATELY].tolist() == [before] * 3 * LATELY
    assert steps[3 * LATELY : 5 * LATELY].tolist() == [after] * 2 * LATELY
    assert steps[5 * LATELY : -1].tolist() == [300] * 1500
    assert steps[-1] == 1


def test_a_history_whose_interval_never_changes_has_one_step() -> None:
    found = regimes(Points.of(regular(3000, 60), regular(50, 60)))
    assert found.steps[found.of_points].tolist() == [60] * 3050


@pytest.mark.parametrize(("before", "after"), [(15, 60), (60, 15)])
def test_coverage_is_measured_in_the_step_of_each_stretch(before: int, after: int) -> None:
    """At the step of either alone, windows of the other would need too many points or be content with too few."""
    times = changing((2 * LATELY, before), (2 * LATELY, after))
    points = Points.of((times, np.ones(len(times))))
    found = regimes(points)
    (minutes,) = aggregate(points, (300,), found.steps, 1.0, found.of_points)
    needed = [300 // before, 300 // after]
    between = range(2 * LATELY, 2 * LATELY + needed[1])
    assert np.flatnonzero(np.isnan(minutes)).tolist() == [
        *range(needed[0] - 1),
        *(i for i in between if np.sum(times[: i + 1] > times[i] - 300) < needed[1]),
    ]
    (alone,) = aggregate(points, (300,), np.array([min(before, after)]), 1.0)
    assert np.isnan(alone).sum() > LATELY


@pytest.mark.parametrize(
    ("name", "expected"), [("1m", True), ("15m", True), ("value", False), ("m", False), (5, False)]
)
def test_the_columns_of_windows_are_known_by_their_names(name: object, expected: bool) -> None:
    assert is_window(name) is expected
