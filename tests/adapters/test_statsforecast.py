from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from statsforecast import StatsForecast
from statsforecast.models import MSTL, AutoARIMA, AutoETS, AutoTheta, HistoricAverage

from myriad.adapters.statsforecast import Statsforecast
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY, WEEK
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

HOUR, STEP = 3600, 300
MIDDLES = np.arange(END - 2 * WEEK, END, HOUR) + HOUR // 2
TWO_WEEKS = np.arange(END, END + 2 * WEEK, HOUR) + HOUR // 2
MODELS = {
    "ets": AutoETS(season_length=24, model="ANA"),
    "wandering ets": AutoETS(model="ANN"),
    "theta": AutoTheta(season_length=24),
    "mstl": MSTL(season_length=[24, 168], trend_forecaster=AutoETS(model="ANN")),
    "arima": AutoARIMA(),
}


def noise(times: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=len(times))


VALUES = 500 + 0.5 * np.cumsum(noise(MIDDLES)) + 20 * np.sin(2 * np.pi * MIDDLES / DAY) + noise(MIDDLES, 1)
HOURS = Points.of((MIDDLES, VALUES))


def reduced(fitted: Any, past: Points = HOURS) -> Statsforecast:
    return Statsforecast.uncalibrated(Statsforecast.reduced(fitted, past))


def ahead(model: Any, times: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is expected and half of the band."""
    prediction = predict(model, Points.of((times, np.zeros(len(times)))))
    return prediction.expected, (prediction.upper - prediction.lower) / 2


@pytest.mark.parametrize("name", MODELS)
def test_two_weeks_are_the_librarys_forecast_and_band(name: str) -> None:
    fitted = MODELS[name].fit(VALUES)
    table = fitted.predict(len(TWO_WEEKS), level=[68.27])
    expected, half = ahead(reduced(fitted), TWO_WEEKS)
    theirs = (table["hi-68.27"] - table["lo-68.27"]) / 2
    np.testing.assert_allclose(expected, table["mean"], atol=0.05)
    np.testing.assert_allclose(half, theirs, rtol=0.12)


def test_the_one_model_of_a_statsforecast_is_reduced() -> None:
    frame = pd.DataFrame({"unique_id": "cpu", "ds": pd.to_datetime(MIDDLES, unit="s"), "y": VALUES})
    several = StatsForecast(models=[AutoETS(model="ANN")], freq="h").fit(df=frame)
    alone = reduced(AutoETS(model="ANN").fit(VALUES))
    np.testing.assert_array_equal(reduced(several).arrays["mean"], alone.arrays["mean"])


def test_several_models_cannot_be_a_row() -> None:
    frame = pd.DataFrame({"unique_id": "cpu", "ds": pd.to_datetime(MIDDLES, unit="s"), "y": VALUES})
    several = StatsForecast(models=[AutoETS(model="ANN"), HistoricAverage()], freq="h").fit(df=frame)
    with pytest.raises(NotReducible, match="1 series and 2 models are not a row"):
        reduced(several)


def test_what_was_fitted_to_other_values_cannot_be_a_row() -> None:
    with pytest.raises(NotReducible, match="fitted to 200 observations, not to the history's 336 hourly means"):
        reduced(AutoETS(model="ANN").fit(VALUES[:200]))


def test_past_the_table_its_last_week_comes_again_and_again() -> None:
    model = reduced(MODELS["mstl"].fit(VALUES))
    last, _ = ahead(model, TWO_WEEKS[168:])
    for weeks in (1, 5, 100):
        np.testing.assert_allclose(ahead(model, TWO_WEEKS[168:] + weeks * WEEK)[0], last)


def test_past_the_table_the_variance_goes_on_growing() -> None:
    fitted = MODELS["wandering ets"].fit(VALUES)
    later = np.array([END + 4 * WEEK, END + 8 * WEEK]) - HOUR // 2
    table = fitted.predict(8 * 168, level=[68.27])
    theirs = (table["hi-68.27"] - table["lo-68.27"])[[4 * 168 - 1, 8 * 168 - 1]] / 2
    np.testing.assert_allclose(ahead(reduced(fitted), later)[1], theirs, rtol=0.12)


def test_before_the_table_it_is_as_certain_as_in_its_first_hour() -> None:
    model = reduced(MODELS["wandering ets"].fit(VALUES))
    assert ahead(model, TWO_WEEKS[:1] - WEEK)[1] == ahead(model, TWO_WEEKS[:1])[1]


@pytest.mark.parametrize("model", ["ets", "theta", "mstl", "arima"])
def test_each_model_learns_a_daily_rhythm(model: str) -> None:
    fit = Statsforecast.fit(history(15, step=STEP), model=model)
    expected, _ = ahead(fit.model, TWO_WEEKS[:48])
    assert np.abs(expected - 100 - 20 * np.sin(2 * np.pi * TWO_WEEKS[:48] / DAY)).max() < 3


def test_mstl_learns_a_quiet_weekend() -> None:
    past = np.arange(END - 3 * WEEK, END, STEP)

    def usual(times: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where((times - END) % WEEK >= 5 * DAY, 40.0, 100.0)

    model = Statsforecast.fit(Points.of((past, usual(past) + noise(past))), model="mstl").model
    expected, _ = ahead(model, TWO_WEEKS[:168])
    assert np.median(np.abs(expected - usual(TWO_WEEKS[:168]))) < 4


def test_the_spread_is_that_of_the_points() -> None:
    past = np.arange(END - WEEK, END, STEP)
    model = Statsforecast.fit(Points.of((past, 100 + 3 * noise(past)))).model
    assert ahead(model, TWO_WEEKS[:1])[1] == pytest.approx(3, rel=0.05)


def test_an_hour_long_incident_scores_above_1_and_the_rest_of_the_day_does_not() -> None:
    today = history(1, step=STEP, seed=1, until=END + DAY)
    incident = (today.timestamps >= END + 9 * HOUR) & (today.timestamps < END + 10 * HOUR)
    model = trained("statsforecast", history(21, step=STEP))
    scores = predict(model, today.with_values(today.values + 40 * incident)).score
    assert (scores[incident] > 1).all()
    assert (scores[~incident] > 1).mean() < 0.02


@pytest.mark.parametrize("model", ["ets", "theta", "mstl", "arima"])
def test_each_model_says_something_of_a_constant(model: str) -> None:
    times = np.arange(END - WEEK, END, STEP)
    fit = Statsforecast.fit(Points.of((times, np.full(len(times), 42.0))), model=model)
    np.testing.assert_allclose(ahead(fit.model, TWO_WEEKS)[0], 42, rtol=1e-3)


def test_an_unknown_model_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="model is 'tbats'; it can be ets, ets_all, mstl, theta, arima"):
        Statsforecast.fit(HOURS, model="tbats")


def test_less_than_three_days_are_refused() -> None:
    (why,) = Statsforecast.fit(history(2, step=STEP)).refused.values()
    assert str(why) == "48 hours with points are too few for statsforecast; 72 are needed"
