from typing import Any

import lightgbm
import numpy as np
import pytest

from myriad.adapters.lightgbm import LightGBM
from myriad.models.errors import NotReducible
from myriad.training.fleets.synthetic import DAY
from tests.adapters.lagged import PAST, STEP, TODAY, library_and_ours, with_incident
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

X, Y = LightGBM.examples(PAST)
SMALL: dict[str, Any] = {"num_leaves": 16, "verbosity": -1, "num_threads": 1}


def boosted(rounds: int = 20, y: Any = Y, x: Any = X, **options: Any) -> lightgbm.Booster:
    parameters = {"objective": "regression", **SMALL, **options}
    return lightgbm.train(parameters, lightgbm.Dataset(x, y, params=parameters), rounds)


def categorical() -> lightgbm.Booster:
    x = np.abs(np.round(X))
    data = lightgbm.Dataset(x, x[:, 0] % 2, categorical_feature=[0], params=SMALL)
    return lightgbm.train({"objective": "regression", "min_data_per_group": 1, **SMALL}, data, 5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": "quantile", "alpha": 0.5},
        {"objective": "huber"},
        {"objective": "regression_l1"},
        {"boosting": "dart"},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"num_leaves": 2},
    ],
)
def test_a_row_expects_what_lightgbm_predicts(options: dict[str, Any]) -> None:
    fitted = boosted(**options)
    theirs, ours = library_and_ours(LightGBM, LightGBM.reduced(fitted, PAST), np.asarray(fitted.predict(X)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)  # of values around 100


def test_the_scikit_learn_wrapper_is_taken_as_its_booster() -> None:
    wrapped = lightgbm.LGBMRegressor(n_estimators=10, num_leaves=8, verbosity=-1, n_jobs=1).fit(X, Y)
    ours, booster = LightGBM.reduced(wrapped, PAST), LightGBM.reduced(wrapped.booster_, PAST)
    assert all(np.array_equal(ours[name], booster[name]) for name in ours)
    kinds = {f"{type(one).__module__}.{type(one).__qualname__}" for one in (wrapped, wrapped.booster_)}
    assert kinds == set(LightGBM.fitted_types)


@pytest.mark.parametrize(
    ("fitted", "why"),
    [
        (lambda: boosted(30), "has 30 trees; fit at most 20"),
        (lambda: boosted(num_leaves=31), "leaves; fit at most 16 a tree"),
        (lambda: boosted(x=X[:, :3]), "has 3 features"),
        (lambda: boosted(objective="poisson", y=np.abs(Y)), "objective poisson is not of regression"),
        (lambda: boosted(reg_sqrt=True), "objective regression sqrt is not of"),
        (lambda: boosted(objective="multiclass", num_class=3, y=np.arange(len(Y)) % 3), "objective multiclass"),
        (lambda: boosted(zero_as_missing=True), "takes 0 for missing"),
        (lambda: boosted(linear_tree=True), "has lines in its leaves"),
        (categorical, "has categorical features"),
    ],
)
def test_what_cannot_be_a_row_is_refused_with_what_can(fitted: Any, why: str) -> None:
    with pytest.raises(NotReducible, match=why):
        LightGBM.reduced(fitted(), PAST)


def test_more_trees_or_leaves_than_a_row_has_room_for_are_refused() -> None:
    with pytest.raises(NotReducible, match="has 21 trees"):
        LightGBM.fit(PAST, trees=21)
    with pytest.raises(NotReducible, match="leaves"):
        LightGBM.fit(PAST, leaves=40)


def test_a_daily_job_is_expected_to_come_again() -> None:
    def job(points: Any) -> Any:
        return points.with_values(points.values + 60 * (points.timestamps % DAY // 3600 == 2))

    model, today = trained("lightgbm", job(history(21, step=STEP))), job(TODAY)
    inside = today.timestamps % DAY // 3600 == 2
    expected = predict(model, today).expected
    assert np.abs(expected - today.values)[inside][3:].mean() < 12
    assert np.abs(expected - today.values)[~inside].mean() < 5


def test_incidents_move_the_median_less_than_the_mean() -> None:
    past = history(21, step=STEP)
    rare = past.with_values(past.values + 500 * (np.random.default_rng(0).random(len(past.values)) < 0.03))
    squared, median = (
        LightGBM.fit(rare, objective=objective).model.predict(np.array([0]), TODAY).expected
        for objective in ("squared", "median")
    )
    error_of_mean, error_of_median = (np.abs(expected - TODAY.values)[40:].mean() for expected in (squared, median))
    assert error_of_median < error_of_mean


def test_the_start_of_an_incident_stands_out() -> None:
    today, inside = with_incident(TODAY, 9, 1, 60)
    score = predict(trained("lightgbm", history(21, step=STEP)), today).score
    assert score[inside][0] > 1
    assert (score[today.timestamps < END + 9 * 3600] > 1).mean() < 0.02
