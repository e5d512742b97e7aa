import numpy as np
import pytest

from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END

STEP = 300
PAST = np.arange(END - 7 * DAY, END, STEP)
AHEAD = np.arange(END, END + DAY, STEP)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


STEADY = Points.of((PAST, 100 + 3 * noise(len(PAST))))


def test_what_is_expected_is_the_median_of_the_points_before() -> None:
    values = 100 + 3 * noise(len(AHEAD), 1)
    expected = predict(trained("mad", STEADY), Points.of((AHEAD, values))).expected
    center = float(np.median(STEADY.values))
    for i in (31, 100, 287):
        assert expected[i] == pytest.approx(np.median([*values[i - 30 : i], *[center] * 3]), abs=1e-3)


def test_the_first_point_is_expected_at_the_centre_of_the_history() -> None:
    expected = predict(trained("mad", STEADY), Points.of((AHEAD[:1], [500.0]))).expected
    assert expected[0] == pytest.approx(np.median(STEADY.values), abs=1e-3)


def test_a_burst_does_not_move_what_is_expected_and_a_shift_does_after_half_of_the_points() -> None:
    values = 100 + 3 * noise(200, 2)
    values[50:60] += 1000
    values[120:] += 50
    prediction = predict(trained("mad", STEADY), Points.of((AHEAD[:200], values)))
    assert abs(prediction.expected[60] - 100) < 5
    assert prediction.expected[130] < 110
    assert prediction.expected[150] > 140
    assert (prediction.score[50:60] > 1).all()


def test_bursts_in_the_history_do_not_widen_the_band() -> None:
    bursts = np.where(np.arange(len(PAST)) % 200 == 0, 1000.0, 0.0)
    quiet, loud = (trained("mad", Points.of((PAST, STEADY.values + b))) for b in (0.0, bursts))
    assert loud.arrays["spread"][0] < 1.2 * quiet.arrays["spread"][0]
