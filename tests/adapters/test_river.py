from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from river.anomaly import HalfSpaceTrees
from river.linear_model import BayesianLinearRegression, LinearRegression
from river.preprocessing import StandardScaler
from river.time_series import SNARIMAX
from river.tree import HoeffdingTreeRegressor

from myriad.adapters._features import calendar
from myriad.adapters.river import CALENDAR, ONE, River, stream
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300
PAST = history(4, step=STEP)
TODAY = history(1, step=STEP, seed=1, until=END + DAY)
TOLERANCE = 1e-3
"""Of a unit: weights are kept to 16 binary digits."""


def trained_on_stream(model: Any, past: Points = PAST) -> Any:
    for value, time in stream(past):
        model.learn_one(value, time)
    return model


def model_of(fitted: Any) -> River:
    return River.uncalibrated(River.reduced(fitted, PAST))


def library_predictions(model: Any, points: Points, row: River) -> NDArray[np.float64]:
    """One-step forecasts of the model as it is, that learns nothing more and only remembers values, in units."""
    center, unit = row.arrays["center"][0], row.arrays["unit"][0]
    forecasts = []
    for value, time in zip((points.values - center) / unit, calendar(points.timestamps).tolist(), strict=True):
        forecasts += model.forecast(1, [{ONE: 1.0, **dict(zip(CALENDAR, time, strict=True))}])
        model.y_diff.appendleft(model.differencer.diff(value, model.y_hist))
        model.y_hist.appendleft(value)
    return np.array(forecasts)


@pytest.mark.parametrize(
    "model",
    [
        SNARIMAX(p=5, d=0, q=0, m=15, sp=2, regressor=BayesianLinearRegression()),
        SNARIMAX(p=3, d=1, q=0),
        SNARIMAX(p=2, d=1, q=0, m=12, sp=1, sd=1, regressor=BayesianLinearRegression()),
        SNARIMAX(p=12, d=0, q=0, regressor=StandardScaler() | LinearRegression(l2=0.01)),
    ],
    ids=["Bayesian", "differenced", "seasonal", "scaled"],
)
def test_what_is_expected_is_the_librarys_forecast(model: SNARIMAX) -> None:
    row = model_of(trained_on_stream(model))
    center, unit = row.arrays["center"][0], row.arrays["unit"][0]
    expected = (predict(row, TODAY).expected - center) / unit
    np.testing.assert_allclose(expected[40:], library_predictions(model, TODAY, row)[40:], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("fitted", "why"),
    [
        (HalfSpaceTrees(), "HalfSpaceTrees is not a line of lags; use SNARIMAX"),
        (SNARIMAX(p=2, d=0, q=1), "use one with q=0 and sq=0"),
        (SNARIMAX(p=31, d=0, q=0), "looks 31 points back; 30 are kept"),
        (SNARIMAX(p=1, d=0, q=0, m=288, sp=1), "looks 288 points back"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_is_no_line_of_lags_is_not_reducible(fitted: Any, why: str) -> None:
    with pytest.raises(NotReducible, match=why):
        River.reduced(fitted, PAST)


def test_a_tree_inside_is_not_reducible() -> None:
    grown = trained_on_stream(SNARIMAX(p=2, d=0, q=0, regressor=HoeffdingTreeRegressor(grace_period=20)))
    with pytest.raises(NotReducible, match="HoeffdingTreeRegressor is not linear; use LinearRegression or"):
        River.reduced(grown, PAST)


def test_the_fitted_type_is_the_librarys() -> None:
    assert River.fitted_types == (f"{SNARIMAX.__module__}.{SNARIMAX.__qualname__}",)


def test_how_many_lags_are_learnt_can_be_chosen() -> None:
    weights = River.fit(PAST, p=2).model.arrays["weights"][0]
    assert (np.flatnonzero(weights[:30]) + 1).tolist() == [1, 2, 15, 30]


def test_a_daily_rhythm_is_followed() -> None:
    usual = 100 + 20 * np.sin(2 * np.pi * TODAY.timestamps / DAY)
    assert np.abs(predict(trained("river", history(14, step=STEP)), TODAY).expected - usual)[1:].mean() < 1.5


def test_a_series_that_wanders_is_expected_where_it_is() -> None:
    times = np.arange(END - 14 * DAY, END, STEP)
    walk = 100 + np.cumsum(np.random.default_rng(0).normal(size=len(times)))
    ahead = TODAY.with_values(walk[-1] + 5 + 0 * TODAY.values)
    expected = predict(River.fit(Points.of((times, walk))).model, ahead).expected
    assert expected[-1] == pytest.approx(walk[-1] + 5, abs=0.5)


def test_an_incident_scores_above_1_as_it_begins_and_the_calm_before_it_does_not() -> None:
    incident = np.arange(len(TODAY.values)) >= 200
    model = trained("river", history(14, step=STEP))
    scores = predict(model, TODAY.with_values(TODAY.values + 40 * incident)).score
    assert (scores[200:203] > 1).all()
    assert (scores[:200] > 1).mean() < 0.02


def test_after_a_gap_nothing_is_taken_for_known() -> None:
    model = trained("river", history(14, step=STEP))
    gap = TODAY.with_values(np.where(np.arange(len(TODAY.values)) == 99, np.nan, TODAY.values))
    after, start = predict(model, gap), predict(model, TODAY.where(TODAY.timestamps >= TODAY.timestamps[100]))
    np.testing.assert_array_equal(after.score[100:], start.score)
