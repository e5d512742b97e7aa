import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from myriad.adapters.holt_winters import HoltWinters
from myriad.models.base import Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

HOUR, STEP = 3600, 300
PAST = np.arange(END - 14 * DAY, END, STEP)
AHEAD = np.arange(END, END + 2 * DAY, STEP)
MIDDLES = np.arange(END - 21 * DAY, END, HOUR) + HOUR // 2
NEXT = np.arange(END, END + 3 * DAY, HOUR) + HOUR // 2
ADDITIVE: dict[str, Any] = {"seasonal": "add", "seasonal_periods": 24}


def noise(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=n)


def rhythm(times: NDArray[np.int64]) -> NDArray[np.float64]:
    return 20 * np.sin(2 * np.pi * times / DAY)


WANDERING = 500 + np.cumsum(noise(len(MIDDLES), 1)) + rhythm(MIDDLES) + noise(len(MIDDLES), 2)
HOURS = Points.of((MIDDLES, WANDERING))


def smoothed(model: type[Any], values: Any = WANDERING, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model(values, **options).fit(**({"disp": False} if model is ETSModel else {}))


def reduced(fitted: Any, past: Points = HOURS) -> HoltWinters:
    return HoltWinters.uncalibrated(HoltWinters.reduced(fitted, past))


def ahead(model: HoltWinters, times: NDArray[np.int64] = NEXT) -> Prediction:
    """The prediction when nothing has been posted since the history."""
    return predict(model, Points.of((times, np.full(len(times), np.nan))))


@pytest.mark.parametrize("model", [ExponentialSmoothing, ETSModel])
@pytest.mark.parametrize(
    "options",
    [ADDITIVE, ADDITIVE | {"trend": "add", "damped_trend": True}, ADDITIVE | {"trend": "add"}, {"trend": "add"}, {}],
    ids=["season", "damped trend", "trend", "only trend", "only level"],
)
def test_without_posted_values_it_is_the_librarys_forecast(model: type[Any], options: dict[str, Any]) -> None:
    fitted = smoothed(model, **options)
    np.testing.assert_allclose(ahead(reduced(fitted)).expected, fitted.forecast(len(NEXT)), atol=0.02)


def test_the_band_grows_as_the_librarys_forecast_variance() -> None:
    fitted = smoothed(ETSModel, pd.Series(WANDERING), **ADDITIVE)
    frame = fitted.get_prediction(len(MIDDLES), len(MIDDLES) + 11).summary_frame(alpha=0.3173)
    one_sigma = np.asarray(frame["pi_upper"] - frame["pi_lower"]) / 2
    band = ahead(reduced(fitted), NEXT[:12])
    np.testing.assert_allclose((band.upper - band.lower) / 2, one_sigma, rtol=0.1)


def test_hourly_points_are_followed_as_the_library_follows_them() -> None:
    fitted = smoothed(ExponentialSmoothing, **ADDITIVE)
    level, alpha = fitted.level[-1], fitted.params["smoothing_level"]
    new = level + np.cumsum(noise(len(NEXT), 3)) + rhythm(NEXT)
    start: dict[str, Any] = {
        "initialization_method": "known",
        "initial_level": level,
        "initial_seasonal": fitted.season[-24:],
    }
    longer = ExponentialSmoothing(new, **ADDITIVE, **start)
    theirs = longer.fit(smoothing_level=alpha, smoothing_seasonal=0, optimized=False).fittedvalues
    ours = predict(reduced(fitted), Points.of((NEXT, new))).expected
    np.testing.assert_allclose(ours, theirs, atol=0.03)


def test_a_fit_to_the_points_themselves_is_reduced_to_hours() -> None:
    times = np.arange(END - 6 * DAY, END, 1200)
    values = 100 + rhythm(times) + noise(len(times))
    fitted = smoothed(
        ExponentialSmoothing, values, seasonal="add", seasonal_periods=72, initialization_method="heuristic"
    )
    later = np.arange(END, END + DAY, 1200) + 600
    expected = ahead(reduced(fitted, Points.of((times, values))), later).expected
    assert np.abs(expected - fitted.forecast(72)).mean() < 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"seasonal": "mul", "seasonal_periods": 24}, "multiplicative"),
        ({"trend": "mul"}, "multiplicative"),
        ({"use_boxcox": True}, "use_boxcox=False"),
        ({"seasonal": "add", "seasonal_periods": 25}, "does not fit into a week"),
    ],
)
def test_what_is_not_additive_or_not_of_a_week_cannot_be_a_row(options: dict[str, Any], why: str) -> None:
    with pytest.raises(NotReducible, match=why):
        reduced(smoothed(ExponentialSmoothing, **options))


def test_a_fit_to_other_values_cannot_be_a_row() -> None:
    with pytest.raises(NotReducible, match="fit it to one of these"):
        reduced(smoothed(ExponentialSmoothing, WANDERING[:400]))


def test_a_daily_rhythm_and_the_level_are_expected() -> None:
    today = history(1, step=STEP, seed=1, until=END + DAY)
    expected = predict(trained("holt_winters", history(14, step=STEP)), today).expected
    assert np.abs(expected - 100 - rhythm(today.timestamps)).max() < 2


def test_the_level_follows_a_lasting_shift() -> None:
    past = Points.of((PAST, 100 + rhythm(PAST) + 3 * noise(len(PAST))))
    shifted = Points.of((AHEAD, 115 + rhythm(AHEAD) + 3 * noise(len(AHEAD), 1)))
    prediction = predict(trained("holt_winters", past), shifted)
    assert prediction.score[:12].max() > 1
    assert (prediction.score[-144:] > 1).mean() < 0.02


def test_an_hour_long_incident_scores_above_1_and_the_rest_of_the_day_does_not() -> None:
    today = history(1, step=STEP, seed=1, until=END + DAY)
    incident = (today.timestamps >= END + 9 * HOUR) & (today.timestamps < END + 10 * HOUR)
    model = trained("holt_winters", history(21, step=STEP))
    scores = predict(model, today.with_values(today.values + 40 * incident)).score
    assert (scores[incident] > 1).all()
    assert (scores[~incident] > 1).mean() < 0.02


def test_a_gap_makes_the_band_of_a_wandering_series_wider() -> None:
    past = Points.of((PAST, 1000 + np.cumsum(noise(len(PAST)))))
    values = np.full(len(AHEAD), past.values[-1])
    values[100:200] = np.nan
    band = predict(trained("holt_winters", past), Points.of((AHEAD, values)))
    width = band.upper - band.lower
    assert width[200] > 1.2 * width[100]
    assert width[-1] == pytest.approx(width[100], rel=0.05)


def test_a_point_posted_less_often_than_in_the_history_moves_the_level_by_more() -> None:
    model = trained("holt_winters", Points.of((PAST, 100 + 3 * noise(len(PAST)))))
    often, rarely = (np.arange(END, END + DAY, step) for step in (STEP, 4 * STEP))
    moved = [predict(model, Points.of((t[:60], np.full(60, 104.0)))).expected[-1] - 100 for t in (often, rarely)]
    assert moved[1] > 1.3 * moved[0]


def test_many_series_are_followed_as_one_by_one() -> None:
    today = history(0.2, series=60, step=STEP, seed=1, until=END + DAY)
    model = trained("holt_winters", history(5, series=60, step=STEP))
    together = model.predict(np.arange(60), today).expected
    alone = [model.predict(np.array([i]), today.take([i])).expected for i in range(60)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_a_damped_trend_is_fitted_when_asked_for() -> None:
    rising = Points.of((PAST, 100 + (PAST - PAST[0]) / HOUR + noise(len(PAST))))
    plain, damped = (HoltWinters.fit(rising, damped_trend=damped).model for damped in (False, True))
    assert plain.arrays["trend"][0] == 0
    assert damped.arrays["trend"][0] > 0
    later = np.array([END + 6 * HOUR])
    assert ahead(damped, later).expected[0] > ahead(plain, later).expected[0] + 1


def test_less_than_three_days_are_refused() -> None:
    (why,) = HoltWinters.fit(history(2, step=STEP)).refused.values()
    assert str(why) == "48 hours with points are too few for holt_winters; 72 are needed"
