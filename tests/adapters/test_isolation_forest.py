from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Forest

from myriad.adapters.isolation_forest import IsolationForest, score
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.lagged import PAST, STEP, TODAY, with_incident
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

X = IsolationForest.examples(PAST)


@pytest.mark.parametrize(
    "options", [{}, {"max_features": 3}, {"max_samples": 2}, {"bootstrap": True}, {"contamination": 0.01}]
)
def test_a_row_gives_scikit_learns_anomaly_score(options: dict[str, Any]) -> None:
    fitted = Forest(n_estimators=20, random_state=1, **{"max_samples": 16, **options}).fit(X)
    row = IsolationForest.reduced(fitted, PAST)
    ours = score(row, np.zeros(len(X), np.int64), X)
    np.testing.assert_allclose(ours, -fitted.score_samples(X), rtol=0, atol=1e-6)
    assert (f"{type(fitted).__module__}.{type(fitted).__qualname__}",) == IsolationForest.fitted_types


def test_what_cannot_be_a_row_is_refused_with_what_can() -> None:
    with pytest.raises(NotReducible, match="has 256 points a tree; fit max_samples=16"):
        IsolationForest.reduced(Forest(n_estimators=20).fit(X), PAST)
    with pytest.raises(NotReducible, match="has 100 trees; fit at most 20"):
        IsolationForest.reduced(Forest(max_samples=16).fit(X), PAST)
    with pytest.raises(NotReducible, match="has 3 features"):
        IsolationForest.reduced(Forest(n_estimators=20, max_samples=16).fit(X[:, :3]), PAST)


def test_an_odd_value_narrows_its_own_band() -> None:
    model = trained("isolation_forest", history(21, step=STEP))
    odd = TODAY.values.copy()
    odd[150] += 30
    usual, spiked = predict(model, TODAY), predict(model, TODAY.with_values(odd))
    width, before = (one.upper[150] - one.lower[150] for one in (spiked, usual))
    assert width < before
    assert spiked.expected[150] == usual.expected[150]
    assert spiked.score[150] > 1


def test_one_odd_value_is_not_expected_again() -> None:
    model = trained("isolation_forest", history(21, step=STEP))
    odd = TODAY.values.copy()
    odd[150] += 300
    prediction = predict(model, TODAY.with_values(odd))
    assert np.abs(prediction.expected - predict(model, TODAY).expected).max() < 10
    assert (prediction.score[151:] > 1).sum() == (predict(model, TODAY).score[151:] > 1).sum()


def test_the_further_off_the_higher_the_score_where_the_forest_sees_no_difference() -> None:
    model = trained("isolation_forest", history(21, step=STEP))

    def scored(height: float) -> float:
        odd = TODAY.values.copy()
        odd[150] += height
        return float(predict(model, TODAY.with_values(odd)).score[150])

    assert scored(300) == pytest.approx(10 * scored(30), rel=0.3)


def test_steps_the_history_often_made_count_for_less() -> None:
    times = np.arange(END - 21 * DAY, END + DAY, STEP)
    draw = np.random.default_rng(0)
    values = 100 + draw.normal(size=len(times)) + 30 * (draw.random(len(times)) < 0.15)
    past = times < END
    model = trained("isolation_forest", Points.of((times[past], values[past])), rate=1e-2)
    score = predict(model, Points.of((times[~past], values[~past]))).score[30:]
    assert (score > 1).mean() < 0.05


def test_a_small_deviation_does_not_score_however_odd_the_forest_finds_it() -> None:
    times = np.arange(END - 21 * DAY, END, STEP)
    past = Points.of((times, 1000 + 0.001 * np.random.default_rng(0).normal(size=len(times))))
    score = predict(
        trained("isolation_forest", past), Points.of((END + STEP * np.arange(40), [1000.0] * 39 + [1005.0]))
    )
    assert (score.score < 1).all()


def test_an_incident_stands_out_at_its_start() -> None:
    today, inside = with_incident(TODAY, 9, 1, 40)
    score = predict(trained("isolation_forest", history(21, step=STEP)), today).score
    assert score[inside][0] > 1
    assert (score[today.timestamps < END + 9 * 3600] > 1).mean() < 0.02
