from typing import Any

import numpy as np
import pytest
import xgboost

from myriad.adapters.xgboost import XGBoost
from myriad.models.errors import NotReducible
from myriad.training.fleets.synthetic import DAY
from tests.adapters.lagged import PAST, STEP, TODAY, library_and_ours, with_incident
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

X, Y = XGBoost.examples(PAST)
SMALL: dict[str, Any] = {"max_depth": 4, "verbosity": 0, "nthread": 1}


def boosted(rounds: int = 20, y: Any = Y, x: Any = X, **options: Any) -> xgboost.Booster:
    return xgboost.train({**SMALL, **options}, xgboost.DMatrix(x, y, nthread=1), rounds)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": "reg:quantileerror", "quantile_alpha": 0.5},
        {"objective": "reg:absoluteerror"},
        {"objective": "reg:pseudohubererror"},
        {"tree_method": "exact"},
        {"max_depth": 0, "max_leaves": 16, "grow_policy": "lossguide"},
        {"base_score": 3.0},
        {"gamma": 1e9},
    ],
)
def test_a_row_expects_what_xgboost_predicts(options: dict[str, Any]) -> None:
    fitted = boosted(**options)
    answer = fitted.predict(xgboost.DMatrix(X)).astype(np.float64)
    theirs, ours = library_and_ours(XGBoost, XGBoost.reduced(fitted, PAST), answer)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)  # of values around 100; XGBoost adds up in float32


@pytest.mark.parametrize(
    "wrapped",
    [
        xgboost.XGBRegressor(n_estimators=10, max_depth=3, n_jobs=1),
        xgboost.XGBRFRegressor(n_estimators=10, max_depth=3, n_jobs=1),
        xgboost.XGBRegressor(n_estimators=40, max_depth=3, n_jobs=1, early_stopping_rounds=2),
    ],
    ids=["boosted", "forest", "stopped early"],
)
def test_a_scikit_learn_wrapper_is_taken_as_it_predicts(wrapped: Any) -> None:
    held: dict[str, Any] = {"eval_set": [(X[:500], -Y[:500])], "verbose": False}
    fitted = wrapped.fit(X, Y, **(held if wrapped.early_stopping_rounds else {}))
    row = XGBoost.reduced(fitted, PAST)
    theirs, ours = library_and_ours(XGBoost, row, fitted.predict(X).astype(np.float64))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert f"{type(wrapped).__module__}.{type(wrapped).__qualname__}" in XGBoost.fitted_types


def test_a_booster_is_of_a_type_it_says_it_takes() -> None:
    assert f"{xgboost.Booster.__module__}.{xgboost.Booster.__qualname__}" in XGBoost.fitted_types


@pytest.mark.parametrize(
    ("fitted", "why"),
    [
        (lambda: boosted(30), "has 30 trees; fit at most 20"),
        (lambda: boosted(max_depth=6), "leaves; fit at most 16 a tree"),
        (lambda: boosted(x=X[:, :3]), "has 3 features"),
        (lambda: boosted(objective="count:poisson", y=np.abs(Y)), "objective count:poisson is not of"),
        (lambda: boosted(booster="gblinear"), "booster gblinear cannot be a row; fit gbtree"),
        (lambda: boosted(booster="dart"), "booster dart cannot be a row; fit gbtree"),
        (lambda: boosted(y=np.stack([Y, Y], axis=1)), "has several outputs; fit one"),
        (
            lambda: boosted(objective="reg:quantileerror", quantile_alpha=[0.1, 0.9]),
            "has several outputs; fit one",
        ),
        (
            lambda: xgboost.XGBRegressor(n_estimators=5, max_depth=3, missing=0.0).fit(X, Y),
            "takes 0.0 for missing",
        ),
    ],
)
def test_what_cannot_be_a_row_is_refused_with_what_can(fitted: Any, why: str) -> None:
    with pytest.raises(NotReducible, match=why):
        XGBoost.reduced(fitted(), PAST)


def test_more_trees_or_leaves_than_a_row_has_room_for_are_refused() -> None:
    with pytest.raises(NotReducible, match="has 21 trees"):
        XGBoost.fit(PAST, trees=21)
    with pytest.raises(NotReducible, match="leaves"):
        XGBoost.fit(PAST, leaves=40)


def test_a_daily_job_is_expected_to_come_again() -> None:
    def job(points: Any) -> Any:
        return points.with_values(points.values + 60 * (points.timestamps % DAY // 3600 == 2))

    model, today = trained("xgboost", job(history(21, step=STEP))), job(TODAY)
    inside = today.timestamps % DAY // 3600 == 2
    expected = predict(model, today).expected
    assert np.abs(expected - today.values)[inside][3:].mean() < 12
    assert np.abs(expected - today.values)[~inside].mean() < 5


def test_incidents_move_the_median_less_than_the_mean() -> None:
    past = history(21, step=STEP)
    rare = past.with_values(past.values + 500 * (np.random.default_rng(0).random(len(past.values)) < 0.03))
    squared, median = (
        XGBoost.fit(rare, objective=objective).model.predict(np.array([0]), TODAY).expected
        for objective in ("squared", "median")
    )
    error_of_mean, error_of_median = (np.abs(expected - TODAY.values)[40:].mean() for expected in (squared, median))
    assert error_of_median < error_of_mean


def test_the_start_of_an_incident_stands_out() -> None:
    today, inside = with_incident(TODAY, 9, 1, 60)
    score = predict(trained("xgboost", history(21, step=STEP)), today).score
    assert score[inside][0] > 1
    assert (score[today.timestamps < END + 9 * 3600] > 1).mean() < 0.02
