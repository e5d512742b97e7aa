"""Every adapter knows the time of day and the day of the week by the points' clock, and time that passes by UTC."""

import numpy as np
import pytest

from myriad import adapters
from myriad.models.points import Points
from tests.adapters.libraries import needs
from tests.conftest import END

HOUR, DAY, DAYS = 3600, 86_400, 15
SHIFT = 7 * HOUR


@pytest.mark.parametrize("name", adapters.names())
@pytest.mark.timeout(300)
def test_a_clock_that_is_hours_off_makes_the_model_and_the_scores_of_points_at_those_hours(name: str) -> None:
    needs(adapters.get(name).library)
    rng = np.random.default_rng(0)
    times = np.arange(END - DAYS * DAY, END, 300)
    local = (times + SHIFT) % DAY / DAY
    values = 50 + 20 * np.sin(2 * np.pi * local) + rng.normal(0, 1, len(times))
    is_late = times >= END - DAY
    clocked = Points.of((times, values)).with_clock(times + SHIFT)
    there = Points.of((times + SHIFT, values))
    (one, other) = (adapters.get(name).fit(points.where(~is_late)) for points in (clocked, there))
    assert one.kept.tolist() == other.kept.tolist() == [0]
    for array in one.model.arrays:
        assert one.model.arrays[array].tolist() == other.model.arrays[array].tolist(), array
    row = np.zeros(1, np.int64)
    mine, theirs = one.model.predict(row, clocked.where(is_late)), other.model.predict(row, there.where(is_late))
    assert mine.score.tolist() == theirs.score.tolist()
    unclocked = one.model.predict(row, Points.of((times[is_late], values[is_late])))
    if name not in ("ewma", "mad"):
        assert unclocked.score.tolist() != mine.score.tolist()


@pytest.mark.parametrize("name", adapters.names())
@pytest.mark.timeout(300)
def test_a_clock_that_goes_back_by_days_and_hours_is_fitted_and_predicted(name: str) -> None:
    """A holiday in the middle, one at the start and one at the end of the history, and clocks that change."""
    needs(adapters.get(name).library)
    rng = np.random.default_rng(0)
    times = np.arange(END - DAYS * DAY, END, 300)
    day = times // DAY - times[0] // DAY
    moved = np.select([day == 0, day == 6, day == DAYS - 2], [2, -3, -3], 0)
    local = times + DAY * moved + HOUR * (day < 9)
    values = 50 + 20 * np.sin(2 * np.pi * (local % DAY) / DAY) + rng.normal(0, 1, len(times))
    points = Points.of((times, values)).with_clock(local)
    is_late = day >= DAYS - 1
    fitted = adapters.get(name).fit(points.where(~is_late))
    prediction = fitted.model.predict(np.zeros(1, np.int64), points.where(is_late))
    assert fitted.kept.tolist() == [0]
    assert np.isfinite([prediction.expected, prediction.half_band]).all()
    assert np.median(np.abs(prediction.expected - values[is_late])) < 10
