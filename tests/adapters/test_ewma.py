import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.models.base import Prediction
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300
PAST = np.arange(END - 14 * DAY, END, STEP)
AHEAD = np.arange(END, END + 2 * DAY, STEP)


def noise(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=n)


STEADY = Points.of((PAST, 100 + 3 * noise(len(PAST))))
WANDERING = Points.of((PAST, 100 + np.cumsum(noise(len(PAST)))))


def predicted(past: Points, values: NDArray[np.float64]) -> Prediction:
    return predict(trained("ewma", past), Points.of((AHEAD[: len(values)], values)))


def width(prediction: Prediction) -> NDArray[np.float64]:
    return prediction.upper - prediction.lower


@pytest.mark.parametrize(("past", "settled"), [(STEADY, 400), (WANDERING, 10)], ids=["steady", "wandering"])
def test_the_level_follows_a_shift_as_fast_as_the_series_usually_wanders(past: Points, settled: int) -> None:
    level = past.values[-1]
    expected = predicted(past, level + 15 * (np.arange(576) >= 100)).expected
    assert expected[100] == pytest.approx(level, abs=0.5)
    assert expected[100 + settled] == pytest.approx(level + 15, abs=2)


def test_a_shift_is_an_alarm_at_first_and_usual_in_the_end() -> None:
    scores = predicted(STEADY, 100 + 15 * (np.arange(576) >= 100) + 3 * noise(576, 1)).score
    assert scores[100] > 1
    assert (scores[300:] > 1).mean() < 0.02


def test_an_incident_scores_above_1_and_the_calm_before_it_does_not() -> None:
    scores = predicted(STEADY, 100 + 3 * noise(200, 2) + 40 * (np.arange(200) >= 190)).score
    assert (scores[190:] > 1).all()
    assert (scores[:190] > 1).mean() < 0.02


def test_a_short_incident_hardly_moves_the_level() -> None:
    values = np.full(200, 100.0)
    values[100:110] = 1100
    expected = predicted(STEADY, values).expected
    assert expected[110] - expected[100] < 6


def test_the_level_after_a_start_far_away_is_the_first_value() -> None:
    assert predicted(WANDERING, WANDERING.values[-1] + np.full(2, 8.0)).expected[1] == pytest.approx(
        WANDERING.values[-1] + 8, abs=1
    )


@pytest.mark.parametrize("past", [STEADY, WANDERING], ids=["steady", "wandering"])
def test_the_band_is_wide_at_the_start_and_narrows(past: Points) -> None:
    widths = width(predicted(past, np.full(100, past.values[-1])))
    assert widths[0] > 1.3 * widths[-1]
    assert (np.diff(widths) <= 1e-9).all()


def test_the_band_widens_while_nothing_is_known() -> None:
    values = WANDERING.values[-1] + noise(300, 3)
    values[100:200] = np.nan
    widths = width(predicted(WANDERING, values))
    assert (np.diff(widths[101:201]) > 0).all()
    assert widths[200] > 5 * widths[99]
    assert widths[210] < 2 * widths[99]


def test_the_band_widens_with_the_noise_within_bounds() -> None:
    widths = width(predicted(STEADY, 100 + noise(500, 4) * np.where(np.arange(500) < 250, 3, 12)))
    assert 2 < widths[400:].mean() / widths[100:250].mean() < 4.5


def test_an_effect_smaller_than_a_hundredth_of_the_usual_value_does_not_alert() -> None:
    nearly_constant = Points.of((PAST, 1000 + (noise(len(PAST)) > 3) * 0.001))
    scores = predicted(nearly_constant, np.array([1000.0, 1000.002, 1009.0, 1011.0])).score
    assert scores[1] < 0.01
    assert scores[2] < 1 < scores[3]


def test_a_daily_rhythm_is_followed() -> None:
    today = history(1, step=STEP, seed=1, until=END + DAY)
    usual = 100 + 20 * np.sin(2 * np.pi * today.timestamps / DAY)
    expected = predict(trained("ewma", history(14, step=STEP)), today).expected
    assert np.abs(expected - usual)[1:].mean() < 3
