import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from myriad.adapters._hourly import quiet
from myriad.adapters.prophet import Prophet
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY, WEEK
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

with quiet("prophet.plot"):
    import prophet

HOUR, STEP = 3600, 300
HOURS = np.arange(END - 3 * WEEK, END, HOUR) + HOUR // 2
NEXT = np.arange(END - 3 * DAY, END + 2 * WEEK, 1111)
WEEK_AHEAD = np.arange(END, END + WEEK, STEP)
HOLIDAYS = pd.DataFrame(
    {
        "holiday": ["release"] * 3,
        "ds": pd.to_datetime([END - 12 * DAY, END - 5 * DAY, END + 3 * DAY], unit="s"),
        "lower_window": 0,
        "upper_window": 1,
    }
)


EVERY_DAY = pd.DataFrame({"holiday": "release", "ds": pd.to_datetime(END + DAY * np.arange(-5, 55), unit="s")})


def noise(times: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=len(times))


def usual(times: NDArray[np.int64]) -> NDArray[np.float64]:
    since = times - HOURS[0]
    trend = 100 + 2 * since / DAY - 3 * np.maximum(since - 9 * DAY, 0) / DAY
    return trend + 20 * np.sin(2 * np.pi * times / DAY) + 8 * np.sin(2 * np.pi * times / WEEK)


VALUES = usual(HOURS) + noise(HOURS) + 30 * np.isin(HOURS // DAY, END // DAY - np.array([12, 11, 5, 4]))
PAST = Points.of((HOURS, VALUES))


def dates(times: NDArray[np.int64]) -> Any:
    return pd.to_datetime(times, unit="s")


def fitted(
    values: NDArray[np.float64] = VALUES, seasonality: tuple[Any, ...] = (), country: str = "", **options: Any
) -> Any:
    frame = pd.DataFrame({"ds": dates(HOURS), "y": values, "cap": 400.0, "extra": 1.0, "is_on": True})
    with quiet("prophet", "cmdstanpy"):
        model = prophet.Prophet(**{"uncertainty_samples": 0} | options)
        if seasonality:
            model.add_seasonality(*seasonality)
        if country:
            model.add_country_holidays(country)
        return model.fit(frame, seed=0)


def reduced(model: Any) -> Prophet:
    return Prophet.uncalibrated(Prophet.reduced(model, PAST))


def ahead(model: Any, times: NDArray[np.int64]) -> NDArray[np.float64]:
    return predict(model, Points.of((times, np.zeros(len(times))))).expected


OPTIONS: dict[str, dict[str, Any]] = {
    "additive": {},
    "multiplicative": {"seasonality_mode": "multiplicative"},
    "flat": {"growth": "flat"},
    "scaled between extremes": {"scaling": "minmax"},
    "yearly": {"yearly_seasonality": True},
    "of another period": {"seasonality": ("shift", 8 / 24, 2)},
    "no seasonality": {"daily_seasonality": False, "weekly_seasonality": False},
    "no changepoints": {"n_changepoints": 0},
    "holidays": {"holidays": HOLIDAYS},
    "multiplying holidays": {"holidays": HOLIDAYS, "holidays_mode": "multiplicative"},
    "holidays of a country": {"country": "US"},
    "a bad trend": {"changepoint_prior_scale": 5.0},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_it_says_what_prophet_says_within_a_millionth(name: str) -> None:
    model = fitted(**OPTIONS[name])
    with quiet("prophet"):
        theirs = model.predict(pd.DataFrame({"ds": dates(NEXT)}))["yhat"]
    np.testing.assert_allclose(ahead(reduced(model), NEXT), theirs, rtol=2e-6)


def test_the_band_grows_as_that_of_prophets_simulated_trends() -> None:
    np.random.seed(0)
    model = fitted(uncertainty_samples=2000, changepoint_prior_scale=0.5, interval_width=0.6827)
    times = np.arange(END, END + 2 * WEEK, HOUR) + HOUR // 2
    with quiet("prophet"):
        theirs = model.predict(pd.DataFrame({"ds": dates(times)}))
    ours = predict(reduced(model), Points.of((times, np.zeros(len(times)))))
    for at in (0, 100, 335):  # simulated trends have heavier tails than a normal distribution
        width = theirs["yhat_upper"][at] - theirs["yhat_lower"][at]
        assert (ours.upper - ours.lower)[at] == pytest.approx(width, rel=0.3)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: fitted(growth="logistic"), "use linear or flat"),
        (lambda: fitted(n_changepoints=40), "it has 40 changepoints, a row has 25"),
        (lambda: fitted(seasonality=("shift", 1 / 3, 40)), "terms, a row has 32; use lower Fourier orders"),
        (lambda: fitted(seasonality=("shift", 1 / 3, 2, None, None, "is_on")), "conditions of a seasonality"),
        (lambda: fitted(holidays=EVERY_DAY), "60 days of the year are holidays, a row has 40"),
        (lambda: prophet.Prophet(), "call fit"),
    ],
)
def test_what_a_row_has_no_room_for_cannot_be_one(model: Any, why: str) -> None:
    with pytest.raises(NotReducible, match=why):
        reduced(model())


def test_a_regressor_cannot_be_a_row() -> None:
    frame = pd.DataFrame({"ds": dates(HOURS), "y": VALUES, "extra": noise(HOURS)})
    with quiet("prophet", "cmdstanpy"):
        model = prophet.Prophet(uncertainty_samples=0).add_regressor("extra").fit(frame)
    with pytest.raises(NotReducible, match="regressors are values that posted points do not have"):
        reduced(model)


def test_a_daily_rhythm_is_learnt() -> None:
    rhythm = 100 + 20 * np.sin(2 * np.pi * WEEK_AHEAD / DAY)
    assert np.abs(ahead(trained("prophet", history(21, step=STEP)), WEEK_AHEAD) - rhythm).max() < 2


def test_a_trend_goes_on() -> None:
    past = np.arange(END - 3 * WEEK, END, STEP)
    model = trained("prophet", Points.of((past, 100 + 2 * (past - END) / DAY + noise(past))))
    assert ahead(model, WEEK_AHEAD[-1:]) == pytest.approx(114, abs=1)


def test_the_spread_is_that_of_the_points() -> None:
    past = np.arange(END - WEEK, END, STEP)
    model = Prophet.fit(Points.of((past, 100 + 3 * noise(past)))).model
    assert model.arrays["unit"][0] * model.arrays["spread"][0] == pytest.approx(3, rel=0.05)


def test_an_hour_long_incident_scores_above_1_and_the_rest_of_the_day_does_not() -> None:
    today = history(1, step=STEP, seed=1, until=END + DAY)
    incident = (today.timestamps >= END + 9 * HOUR) & (today.timestamps < END + 10 * HOUR)
    scores = predict(trained("prophet", history(21, step=STEP)), today.with_values(today.values + 40 * incident)).score
    assert (scores[incident] > 1).all()
    assert (scores[~incident] > 1).mean() < 0.02


def test_what_is_fitted_can_be_chosen() -> None:
    fit = Prophet.fit(
        history(10, step=STEP), growth="flat", seasonality_mode="multiplicative", changepoints=5, country_holidays="DE"
    )
    assert fit.model.arrays["slope"][0] == 0
    assert fit.model.arrays["times"][0, 0] == 1
    with pytest.raises(ValueError, match="growth is 'logistic'; it can be linear or flat"):
        Prophet.fit(history(10, step=STEP), growth="logistic")


def test_less_than_three_days_are_refused() -> None:
    (why,) = Prophet.fit(history(2, step=STEP)).refused.values()
    assert str(why) == "48 hours with points are too few for prophet; 72 are needed"


def test_fitting_says_nothing() -> None:
    """In a process without handlers of its own, where cmdstanpy makes one."""
    code = (
        "import numpy as np; from myriad.adapters.prophet import Prophet; from myriad.models.points import Points\n"
        "times = 1_767_571_200 + 3600 * np.arange(200); print(len(Prophet.fit(Points.of((times, times % 7))).kept))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
