import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.adapters.rhythm import BINS, Rhythm
from myriad.models.base import Prediction
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

HOUR, STEP = 3600, 300
PAST = np.arange(END - 14 * DAY, END, STEP)
AHEAD = np.arange(END, END + 2 * DAY, STEP)


def noise(times: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=len(times))


def daily(times: NDArray[np.int64]) -> NDArray[np.float64]:
    return 100 + 20 * np.sin(2 * np.pi * times / DAY)


RHYTHMIC = Points.of((PAST, daily(PAST) + noise(PAST)))
STEADY = Points.of((PAST, 100 + 3 * noise(PAST)))
WANDERING = Points.of((PAST, 100 + np.cumsum(noise(PAST))))


def profile(past: Points) -> NDArray[np.float64]:
    """The fitted profile in the unit of the series, of each half hour of the day, (48,)."""
    model = Rhythm.fit(past).model
    return model.arrays["profile"][0].astype(np.float64) * model.arrays["spread"][0]


def predicted(past: Points, values: NDArray[np.float64]) -> Prediction:
    return predict(trained("rhythm", past), Points.of((AHEAD[: len(values)], values)))


def width(prediction: Prediction) -> NDArray[np.float64]:
    return prediction.upper - prediction.lower


def test_the_profile_is_that_of_the_day_without_its_level() -> None:
    middles = (np.arange(BINS) + 0.5) * DAY / BINS
    assert profile(RHYTHMIC) == pytest.approx(20 * np.sin(2 * np.pi * middles / DAY), abs=1)
    assert np.median(profile(RHYTHMIC)) == pytest.approx(0, abs=0.1)


def test_the_rhythm_goes_on_where_nothing_is_posted() -> None:
    silent = np.full(len(AHEAD), np.nan)
    error = np.abs(predicted(RHYTHMIC, silent).expected - daily(AHEAD))
    assert error.max() < 2.5


def test_the_profile_is_interpolated_within_half_an_hour() -> None:
    rising = (AHEAD >= END + HOUR) & (AHEAD < END + 3 * HOUR)
    steps = np.diff(predicted(RHYTHMIC, np.full(len(AHEAD), np.nan)).expected[rising])
    assert (steps > 0).all()
    assert steps.max() < 1


def test_a_profile_needs_days_that_repeat_themselves() -> None:
    assert not profile(history(1, step=STEP)).any()
    assert profile(history(3, step=STEP)).any()
    assert np.abs(profile(STEADY)).max() < 1


def test_an_incident_of_one_day_is_not_part_of_the_profile() -> None:
    incident = (PAST >= END - 3 * DAY + 8 * HOUR) & (PAST < END - 3 * DAY + 14 * HOUR)
    with_incident = profile(RHYTHMIC.with_values(RHYTHMIC.values + 40 * incident))
    assert (np.abs(with_incident) <= np.abs(profile(RHYTHMIC)) + 1).all()
    assert np.ptp(with_incident) > 30


def test_a_shifted_level_is_followed_with_the_rhythm_on_top_of_it() -> None:
    values = daily(AHEAD) + noise(AHEAD, 1) + 15 * (AHEAD >= END + DAY)
    prediction = predicted(RHYTHMIC, values)
    shift = prediction.expected - daily(AHEAD)
    assert prediction.score[DAY // STEP] > 1
    assert shift[: DAY // STEP] == pytest.approx(0, abs=2.5)
    assert shift[-HOUR // STEP :] == pytest.approx(15, abs=2)


@pytest.mark.parametrize(("past", "settled"), [(STEADY, 300), (WANDERING, 5)], ids=["steady", "wandering"])
def test_the_level_follows_a_shift_as_fast_as_the_series_usually_wanders(past: Points, settled: int) -> None:
    level = past.values[-1]
    expected = predicted(past, level + 15 * (np.arange(len(AHEAD)) >= 100)).expected
    assert expected[100] == pytest.approx(level, abs=0.6)
    assert expected[100 + settled] == pytest.approx(level + 15, abs=4)


def test_a_steady_series_does_not_follow_a_short_incident() -> None:
    values = np.full(200, 100.0)
    values[100:110] = 1100
    expected = predicted(STEADY, values).expected
    assert expected[110] - expected[100] < 6


@pytest.mark.parametrize("past", [STEADY, WANDERING], ids=["steady", "wandering"])
def test_the_band_is_wide_at_first_and_narrows_as_points_are_seen(past: Points) -> None:
    widths = width(predicted(past, np.full(100, past.values[-1])))
    assert widths[0] > 1.3 * widths[-1]
    assert (np.diff(widths) <= 1e-9).all()


def test_the_band_widens_while_nothing_is_seen() -> None:
    values = WANDERING.values[-1] + noise(AHEAD[:300], 3)
    values[100:200] = np.nan
    widths = width(predicted(WANDERING, values))
    assert (np.diff(widths[101:201]) > 0).all()
    assert widths[200] > 4 * widths[99]
    assert widths[210] < 2 * widths[99]


def test_a_noisier_series_alarms_for_a_while_and_not_for_ever() -> None:
    times = np.arange(END, END + 7 * DAY, STEP)
    later = Points.of((times, 100 + 12 * noise(times, 4)))
    above = predict(trained("rhythm", STEADY), later).score > 1
    assert above[: DAY // STEP].mean() > 0.15
    assert above[-DAY // STEP :].mean() < 0.03


def test_an_incident_scores_above_1_and_the_rest_of_the_day_does_not() -> None:
    today = history(1, step=STEP, seed=1, until=END + DAY)
    incident = (today.timestamps >= END + 9 * HOUR) & (today.timestamps < END + 9 * HOUR + 1200)
    scores = predict(trained("rhythm", history(14, step=STEP)), today.with_values(today.values + 60 * incident)).score
    assert (scores[incident] > 1).all()
    assert (scores[today.timestamps < END + 9 * HOUR] > 1).mean() < 0.02


def test_half_lives_are_in_seconds_whatever_the_step() -> None:
    steps = (60, 600)
    models = [
        Rhythm.fit(Points.of((times, 100 + 3 * noise(times)))).model
        for times in (np.arange(END - 14 * DAY, END, step) for step in steps)
    ]
    spread_half_lives = [-step / np.log2(1 - m.arrays["widening"][0]) for step, m in zip(steps, models, strict=True)]
    assert spread_half_lives == pytest.approx([DAY, DAY], rel=0.02)


def test_an_effect_smaller_than_a_hundredth_of_the_usual_value_does_not_alert() -> None:
    nearly_constant = Points.of((PAST, 1000 + (noise(PAST) > 3) * 0.001))
    scores = predicted(nearly_constant, np.array([1000.0, 1000.002, 1009.0, 1011.0])).score
    assert scores[1] < 0.01
    assert scores[2] < 1 < scores[3]
