from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.forecasting.stl import STLForecast
from statsmodels.tsa.seasonal import MSTL, STL, seasonal_decompose

from myriad.adapters.stl import Stl
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY, WEEK
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

HOUR, STEP = 3600, 300
PAST = np.arange(END - 4 * WEEK, END, STEP)
WEEK_AHEAD = np.arange(END, END + WEEK, STEP)
MIDDLES = np.arange(END - 4 * WEEK, END, HOUR) + HOUR // 2
NEXT = np.arange(END, END + WEEK, HOUR) + HOUR // 2


def noise(times: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=len(times))


def rhythm(times: NDArray[np.int64]) -> NDArray[np.float64]:
    return 20 * np.sin(2 * np.pi * times / DAY) + 10 * np.sin(2 * np.pi * times / WEEK)


def quiet_weekend(times: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where((times - END) % WEEK >= 5 * DAY, 40.0, 100.0)


VALUES = 100 + rhythm(MIDDLES) + noise(MIDDLES)
HOURS = Points.of((MIDDLES, VALUES))


def reduced(fitted: Any, past: Points = HOURS) -> Stl:
    return Stl.uncalibrated(Stl.reduced(fitted, past))


def expected(model: Any, times: NDArray[np.int64]) -> NDArray[np.float64]:
    return predict(model, Points.of((times, np.zeros(len(times))))).expected


def test_the_next_week_is_the_librarys_forecast() -> None:
    forecast = STLForecast(VALUES, AutoReg, model_kwargs={"lags": 1, "trend": "n"}, period=168, robust=True).fit()
    theirs = forecast.forecast(168) - forecast.model_result.forecast(168)  # the season it repeats, without the level
    fitted = STL(VALUES, period=168, robust=True).fit()
    np.testing.assert_allclose(expected(reduced(fitted), NEXT), theirs + fitted.trend[-24:].mean(), atol=0.02)


def test_several_seasons_are_added() -> None:
    fitted = MSTL(VALUES, periods=(24, 168)).fit()
    last_week = fitted.seasonal[-168:].sum(axis=1) + fitted.trend[-24:].mean()
    np.testing.assert_allclose(expected(reduced(fitted), NEXT), last_week, atol=0.02)


def test_a_classical_decomposition_is_reduced_too() -> None:
    fitted = seasonal_decompose(VALUES, period=168)
    level = fitted.trend[np.isfinite(fitted.trend)][-24:].mean()
    np.testing.assert_allclose(expected(reduced(fitted), NEXT), fitted.seasonal[-168:] + level, atol=0.02)


def test_a_decomposition_of_the_points_themselves_is_reduced_to_hours() -> None:
    times = np.arange(END - WEEK, END, 1200)
    values = 100 + 20 * np.sin(2 * np.pi * times / DAY) + noise(times)
    ahead = expected(reduced(STL(values, period=72).fit(), Points.of((times, values))), NEXT[:24])
    assert np.abs(ahead - 100 - 20 * np.sin(2 * np.pi * NEXT[:24] / DAY)).mean() < 2


def test_what_is_not_a_sum_cannot_be_a_row() -> None:
    with pytest.raises(NotReducible, match="use STL, MSTL or model='additive'"):
        reduced(seasonal_decompose(VALUES, period=24, model="multiplicative"))


def test_what_was_fitted_to_other_values_cannot_be_a_row() -> None:
    with pytest.raises(NotReducible, match="fit it to one of these"):
        reduced(STL(VALUES[:400], period=24).fit())


def test_a_daily_rhythm_is_learnt() -> None:
    usual = 100 + 20 * np.sin(2 * np.pi * WEEK_AHEAD / DAY)
    assert np.abs(expected(trained("stl", history(21, step=STEP)), WEEK_AHEAD) - usual).max() < 2


def test_a_quiet_weekend_is_learnt() -> None:
    past = Points.of((PAST, quiet_weekend(PAST) + 3 * noise(PAST)))
    inside = (WEEK_AHEAD % DAY >= 2 * HOUR) & (WEEK_AHEAD % DAY < DAY - 2 * HOUR)
    off = np.abs(expected(trained("stl", past), WEEK_AHEAD) - quiet_weekend(WEEK_AHEAD))[inside]
    assert np.median(off) < 2
    assert off.max() < 8


@pytest.mark.parametrize("weekly", [0, 15], ids=["daily", "weekly"])
def test_an_incident_does_not_come_back_as_a_rhythm(weekly: float) -> None:
    incident = (PAST >= END - 5 * DAY) & (PAST < END - 5 * DAY + 3 * HOUR)
    calm = 100 + 20 * np.sin(2 * np.pi * PAST / DAY) + weekly * np.sin(2 * np.pi * PAST / WEEK) + 3 * noise(PAST)
    with_it, without = (
        expected(trained("stl", Points.of((PAST, v))), WEEK_AHEAD) for v in (calm + 200 * incident, calm)
    )
    assert np.abs(with_it - without).max() < 5


def test_a_rhythm_of_the_week_is_only_looked_for_where_it_repeats_itself() -> None:
    wandering = Points.of((PAST, 100 + 0.2 * np.cumsum(noise(PAST))))
    ahead = expected(Stl.fit(wandering).model, NEXT)
    assert np.ptp(ahead.reshape(7, 24).mean(axis=1)) < 2


def test_the_level_is_that_of_the_last_day() -> None:
    shifted = Points.of((PAST, 100 + 15 * (PAST >= END - 4 * DAY) + noise(PAST)))
    assert expected(Stl.fit(shifted).model, WEEK_AHEAD).mean() == pytest.approx(115, abs=2)


def test_the_band_is_as_wide_as_its_hour_is_noisy() -> None:
    night = PAST % DAY < 6 * HOUR
    past = Points.of((PAST, 100 + noise(PAST) * np.where(night, 1, 8)))
    band = predict(trained("stl", past), Points.of((END + np.array([3, 15]) * HOUR, [100, 100])))
    night_width, day_width = band.upper - band.lower
    assert day_width > 4 * night_width


def test_a_whole_weeks_season_can_be_asked_for() -> None:
    past = Points.of((PAST, 100 + rhythm(PAST) + noise(PAST)))
    ahead = expected(Stl.fit(past, season_hours=168).model, NEXT)
    assert np.abs(ahead - 100 - rhythm(NEXT)).mean() < 1.5
    with pytest.raises(ValueError, match="season_hours is 12; it can be 24, 168 or None"):
        Stl.fit(past, season_hours=12)


def test_less_than_three_days_are_refused() -> None:
    (why,) = Stl.fit(history(2, step=STEP)).refused.values()
    assert str(why) == "48 hours with points are too few for stl; 72 are needed"
