from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeCV,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from myriad.adapters.regressor import Regressor
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.lagged import PAST, TODAY, library_and_ours, with_incident
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300
SMALL: dict[str, Any] = {"max_leaf_nodes": 16, "random_state": 0}
REDUCIBLE = [
    BayesianRidge(),
    ElasticNet(0.01),
    ElasticNetCV(),
    HuberRegressor(max_iter=1000),
    Lasso(0.01),
    LassoCV(),
    LinearRegression(),
    QuantileRegressor(alpha=0),
    Ridge(),
    RidgeCV(),
    make_pipeline(StandardScaler(), Ridge()),
    make_pipeline(StandardScaler(with_mean=False), Lasso(0.01)),
    make_pipeline(StandardScaler(with_std=False), Ridge()),
    make_pipeline("passthrough", Ridge()),
    DecisionTreeRegressor(**SMALL),
    RandomForestRegressor(20, **SMALL),
    ExtraTreesRegressor(20, **SMALL),
    GradientBoostingRegressor(n_estimators=20, **SMALL),
    GradientBoostingRegressor(n_estimators=20, loss="huber", **SMALL),
    GradientBoostingRegressor(n_estimators=20, init="zero", **SMALL),
    HistGradientBoostingRegressor(max_iter=20, **SMALL),
    HistGradientBoostingRegressor(loss="quantile", quantile=0.5, max_iter=20, **SMALL),
]
X, Y = Regressor.examples(PAST)


@pytest.mark.parametrize("estimator", REDUCIBLE, ids=str)
def test_a_row_expects_what_scikit_learn_predicts(estimator: Any) -> None:
    fitted = estimator.fit(X, Y)
    theirs, ours = library_and_ours(Regressor, Regressor.reduced(fitted, PAST), fitted.predict(X))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)  # of values around 100


def test_the_types_it_says_it_takes_are_those_it_takes() -> None:
    assert {f"{type(one).__module__}.{type(one).__qualname__}" for one in REDUCIBLE} == set(Regressor.fitted_types)


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (KNeighborsRegressor(), "KNeighborsRegressor cannot be a row; those that can: .*Ridge"),
        (PoissonRegressor(), "PoissonRegressor cannot be a row"),
        (RandomForestRegressor(50, **SMALL), "RandomForestRegressor has 50 trees; fit at most 20"),
        (DecisionTreeRegressor(random_state=0), "has a tree of .* leaves; fit at most 16 a tree"),
        (GradientBoostingRegressor(init=Ridge(), n_estimators=5), "starts from a Ridge; leave `init` as it is"),
        (HistGradientBoostingRegressor(loss="poisson", max_iter=5), "of loss poisson answers in logarithms"),
        (HistGradientBoostingRegressor(categorical_features=[0], max_iter=5), "has categorical features"),
        (make_pipeline(MinMaxScaler(), Ridge()), "only a StandardScaler before a linear regressor"),
        (make_pipeline(StandardScaler(), DecisionTreeRegressor()), "trees need no scaling"),
        (DummyRegressor(), "DummyRegressor cannot be a row"),
    ],
)
def test_what_cannot_be_a_row_is_refused_with_what_can(estimator: Any, why: str) -> None:
    x = np.abs(np.round(X)) if "categorical" in why else X
    with pytest.raises(NotReducible, match=why):
        Regressor.reduced(estimator.fit(x, np.abs(Y)), PAST)


def test_other_features_or_several_targets_are_refused() -> None:
    with pytest.raises(NotReducible, match=r"Ridge has 3 features; fit it to those of `examples\(history\)`, 11"):
        Regressor.reduced(Ridge().fit(X[:, :3], Y), PAST)
    for estimator in (Ridge(), DecisionTreeRegressor(**SMALL)):
        with pytest.raises(NotReducible, match="2 targets"):
            Regressor.reduced(estimator.fit(X, np.stack([Y, Y], axis=1)), PAST)


def test_any_regressor_can_be_asked_for() -> None:
    forest = RandomForestRegressor(10, max_leaf_nodes=8, random_state=0)
    model = Regressor.fit(PAST, estimator=forest).model
    assert model.arrays["feature"].max() >= 0
    assert not model.arrays["line"].any()
    assert not hasattr(forest, "estimators_")


def test_a_rhythm_is_expected_though_nothing_was_posted_before() -> None:
    model = trained("regressor", history(21, step=STEP))
    for hour in range(24):
        alone = Points.of(([END + hour * 3600], [100.0]))
        assert predict(model, alone).expected[0] == pytest.approx(100 + 20 * np.sin(2 * np.pi * hour / 24), abs=2)


def test_a_drifting_level_is_followed_and_the_band_narrows_as_points_come_in() -> None:
    draw, times = np.random.default_rng(0), np.arange(END - 22 * DAY, END, STEP)
    walk = 100 + np.cumsum(draw.normal(size=len(times)))
    late = times >= END - DAY
    model = trained("regressor", Points.of((times[~late], walk[~late])))
    prediction = predict(model, Points.of((times[late], walk[late])))
    assert np.abs(prediction.expected - walk[late])[30:].mean() < 2
    width = prediction.upper - prediction.lower
    assert width[0] > 3 * width[-1]


def test_the_start_of_an_incident_stands_out_and_its_end() -> None:
    today, inside = with_incident(TODAY, 9, 1, 40)
    score = predict(trained("regressor", history(21, step=STEP)), today).score
    assert score[inside][0] > 1
    assert (score[~inside] > 1).mean() < 0.05


def test_a_value_beyond_all_measure_spoils_no_number() -> None:
    values = TODAY.values.copy()
    values[10] = 1e150
    prediction = predict(trained("regressor", PAST), TODAY.with_values(values))
    assert np.isfinite(prediction.expected).all()
    assert prediction.score[10] > 1e100
