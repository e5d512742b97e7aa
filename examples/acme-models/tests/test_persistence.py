"""persistence: what is fitted, expected and scored. Run it where Myriad and this package are installed."""

import numpy as np
import pytest
from myriad.models.points import Points

from acme_models.persistence import Persistence

TIMES = np.arange(600) * 60


@pytest.fixture
def model() -> Persistence:
    """A row fitted to a random walk with steps of spread 2, scoring 1 at 4 spreads."""
    walk = 100 + np.cumsum(np.random.default_rng(0).normal(0, 2, len(TIMES)))
    fit = Persistence.fit(Points.of((TIMES, walk)))
    return fit.model.calibrated(np.array([4.0]), np.array([1e-9]))


def test_the_spread_is_that_of_one_step_changes(model: Persistence) -> None:
    assert model.arrays["step_spread"] == pytest.approx([2], rel=0.1)


def test_a_value_is_expected_to_be_the_one_before_it(model: Persistence) -> None:
    prediction = model.predict(np.array([0]), Points.of((TIMES[:5], [70, 72, np.nan, 73, 95])))
    level = model.arrays["level"][0]
    assert prediction.expected.tolist() == [level, 70, 72, 72, 73]
    assert (prediction.score > 1).tolist() == [False, False, False, False, True]
    assert np.isnan(prediction.score).tolist() == [False, False, True, False, False]


def test_series_do_not_look_at_each_other(model: Persistence) -> None:
    points = Points.of((TIMES[:2], [70, 71]), (TIMES[:2], [500, 501]))
    level = model.arrays["level"][0]
    assert model.predict(np.array([0, 0]), points).expected.tolist() == [level, 70, level, 500]


@pytest.mark.parametrize("value", [0.0, 42.0, -1e150, 1e-300])
def test_a_constant_history_has_a_spread_above_zero(value: float) -> None:
    model = Persistence.fit(Points.of((TIMES, np.full(len(TIMES), value)))).model
    model.check()
    assert model.predict(np.array([0]), Points.of(([0, 60], [value, value]))).score.tolist() == [0, 0]


def test_a_history_that_is_too_short_is_refused_with_a_reason() -> None:
    fit = Persistence.fit(Points.of((TIMES, TIMES % 7), (TIMES[:5], TIMES[:5])))
    assert fit.kept.tolist() == [0]
    assert "5 points are too few" in str(fit.refused[1])
