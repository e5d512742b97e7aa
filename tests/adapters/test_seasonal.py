import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY, WEEK
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

HOUR, STEP = 3600, 300
MONDAY = END  # at midnight
PAST = np.arange(END - 4 * WEEK, END, STEP)
WEEK_AHEAD = np.arange(END, END + WEEK, STEP)


def noise(times: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=len(times))


def expected(past: Points, times: NDArray[np.int64]) -> NDArray[np.float64]:
    return predict(trained("seasonal", past), Points.of((times, np.zeros(len(times))))).expected


def within(times: NDArray[np.int64], start: int, hours: float) -> NDArray[np.bool_]:
    return (times >= start) & (times < start + hours * HOUR)


@pytest.mark.parametrize("weeks", [3, 4])
def test_a_daily_rhythm_is_learnt_from_three_weeks(weeks: int) -> None:
    usual = 100 + 20 * np.sin(2 * np.pi * WEEK_AHEAD / DAY)
    assert np.abs(expected(history(7 * weeks, step=STEP), WEEK_AHEAD) - usual).max() < 2


def test_a_quiet_weekend_is_learnt() -> None:
    def usual(times: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where((times - MONDAY) % WEEK >= 5 * DAY, 40.0, 100.0)

    ahead = expected(Points.of((PAST, usual(PAST) + 3 * noise(PAST))), WEEK_AHEAD)
    inside = (WEEK_AHEAD % DAY >= HOUR) & (WEEK_AHEAD % DAY < DAY - HOUR)
    assert np.abs(ahead - usual(WEEK_AHEAD))[inside].max() < 3


def test_a_job_that_runs_once_a_week_is_learnt() -> None:
    weekly = within((PAST - MONDAY) % WEEK, 51 * HOUR, 1)
    past = Points.of((PAST, 100 + 3 * noise(PAST) + 60 * weekly))
    job, hour_before = expected(past, np.array([MONDAY + 51 * HOUR, MONDAY + 49 * HOUR]) + HOUR // 2)
    assert job == pytest.approx(160, abs=6)
    assert hour_before == pytest.approx(100, abs=3)


@pytest.mark.parametrize("hours", [1, 5, 11])
def test_an_incident_does_not_come_back_a_week_later(hours: int) -> None:
    incident = within(PAST, END - 5 * DAY, hours)
    quiet = 100 + 3 * noise(PAST)
    with_it, without = (expected(Points.of((PAST, v)), WEEK_AHEAD) for v in (quiet + 200 * incident, quiet))
    assert np.abs(with_it - without).max() < 3


def test_a_day_of_history_gives_a_flat_profile() -> None:
    assert np.ptp(expected(history(1, step=STEP), WEEK_AHEAD)) == 0


def test_a_history_without_rhythm_gives_a_nearly_flat_profile() -> None:
    ahead = expected(Points.of((PAST, 100 + 3 * noise(PAST))), WEEK_AHEAD)
    assert np.abs(ahead - 100).max() < 2
    assert np.median(np.abs(ahead - 100)) < 0.2


def test_the_band_is_as_wide_as_its_hour_is_noisy() -> None:
    night = PAST % DAY < 6 * HOUR
    past = Points.of((PAST, 100 + noise(PAST) * np.where(night, 1, 8)))
    band = predict(trained("seasonal", past), Points.of((END + np.array([3, 15]) * HOUR, [100, 100])))
    night_width, day_width = band.upper - band.lower
    assert day_width > 4 * night_width


def test_rounding_in_a_nearly_constant_series_does_not_alert() -> None:
    model = trained("seasonal", Points.of((PAST, 1000 + (noise(PAST) > 3) * 0.001)))
    scores = predict(model, Points.of((WEEK_AHEAD[:3], [1000.002, 1009.0, 1011.0]))).score
    assert scores[0] < 0.01
    assert scores[1] < 1 < scores[2]


def test_an_hour_long_incident_scores_above_1_and_the_rest_of_the_day_does_not() -> None:
    today = history(1, step=STEP, seed=1, until=END + DAY)
    incident = within(today.timestamps, END + 9 * HOUR, 1)
    scores = predict(trained("seasonal", history(21, step=STEP)), today.with_values(today.values + 40 * incident)).score
    assert (scores[incident] > 1).all()
    assert (scores[~incident] > 1).mean() < 0.01


def test_a_gap_in_todays_data_changes_nothing_after_it() -> None:
    model, today = trained("seasonal", history(21, step=STEP)), history(1, step=STEP, seed=1, until=END + DAY)
    late = today.timestamps > END + 12 * HOUR
    whole, after = predict(model, today), predict(model, today.where(late))
    np.testing.assert_array_equal(whole.score[late], after.score)
