from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyod.models.iforest import IForest
from pyod.models.kde import KDE
from pyod.models.loda import LODA
from pyod.models.pca import PCA

from myriad.adapters import _scaled
from myriad.adapters.pyod import NARROWEST, SAMPLES, WIDEST, Pyod, windows
from myriad.models.errors import ArtifactCorrupt, NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300
PAST = history(14, step=STEP)
TODAY = history(1, step=STEP, seed=1, until=END + DAY)
TOLERANCE = 5e-3
"""Of PyOD's score: samples are kept to 16 binary digits, spreads to 10."""


def model_of(fitted: Any) -> Pyod:
    return Pyod.uncalibrated(Pyod.reduced(fitted, PAST))


def windows_of(points: Points) -> NDArray[np.float64]:
    """The windows of the points but the first 30, scaled as the history is."""
    own = _scaled.scale(PAST)
    features, _ = _scaled.features_and_depth(own.at(np.zeros(len(points.values), np.int64)).scaled(points))
    values = (points.values - own.center[0]) / own.unit[0]
    examples = _scaled.examples(PAST, own)
    spread = _scaled.spreads(examples, lambda x, _: x[:, 0])[-1]
    lag_mean, past_mean = (x[:, :7].mean(axis=1) for x in (features, examples.features()))
    drift = np.sqrt(np.pi / 2) * np.abs(examples.features()[:, 0] - past_mean).mean()
    columns = [(values - features[:, 0]) / spread, (features[:, 0] - lag_mean) / drift, features[:, 7:9]]
    return np.column_stack(columns)[30:]


@pytest.mark.parametrize("fitted", [KDE(), KDE(bandwidth=0.3), KDE(bandwidth="scott")], ids=["usual", "0.3", "scott"])
@pytest.mark.parametrize("count", [SAMPLES, 40])
def test_a_score_is_the_librarys_in_standard_deviations(fitted: KDE, count: int) -> None:
    fitted.fit(windows(PAST, count))
    model = model_of(fitted)
    wild = TODAY.with_values(TODAY.values + 20 * (np.arange(len(TODAY.values)) % 7 == 0))
    prediction = predict(model, wild)
    above = fitted.decision_function(windows_of(wild)) - fitted.decision_scores_.min()
    half_band = (prediction.upper - prediction.lower)[30:] / 2 / model.arrays["unit"] / model.arrays["spread"][0, -1]
    inner = (half_band > 1.01 * NARROWEST) & (half_band < 0.99 * WIDEST)
    assert inner.mean() > 0.9
    np.testing.assert_allclose((prediction.score[30:] ** 2 / 2)[inner], above[inner], rtol=TOLERANCE, atol=0.02)


def test_what_is_expected_is_the_mean_of_the_librarys_density() -> None:
    fitted = KDE().fit(windows(PAST))
    model, window = model_of(fitted), windows_of(TODAY)[100]
    grid = np.linspace(-20, 20, 4001)
    density = np.exp(-fitted.decision_function(np.column_stack([grid, np.tile(window[1:], (4001, 1))])))
    step = (grid * density).sum() / density.sum()
    own, spread = model.arrays["unit"][0], model.arrays["spread"][0, -1]
    expected = TODAY.values[129] + step * spread * own
    assert predict(model, TODAY).expected[130] == pytest.approx(expected, abs=5e-3 * own)


@pytest.mark.parametrize(
    ("fitted", "why"),
    [
        (IForest(), "PyOD's IForest is no row of pyod; use its KDE or the adapter isolation_forest"),
        (PCA(), "the adapter pca"),
        (LODA(), "PyOD's LODA is no row of pyod; use its KDE"),
        (KDE(metric="manhattan"), "only Euclidean distances"),
    ],
    ids=["IForest", "PCA", "LODA", "manhattan"],
)
def test_other_detectors_are_not_reducible(fitted: Any, why: str) -> None:
    with pytest.raises(NotReducible, match=why):
        Pyod.reduced(fitted.fit(windows(PAST)), PAST)


@pytest.mark.parametrize("shape", [(97, 4), (50, 3)])
def test_a_density_of_other_windows_is_not_reducible(shape: tuple[int, int]) -> None:
    fitted = KDE().fit(np.random.default_rng(0).normal(size=shape))
    with pytest.raises(NotReducible, match=r"at most 96 rows of 4 columns"):
        Pyod.reduced(fitted, PAST)


def test_the_fitted_type_is_the_librarys() -> None:
    assert Pyod.fitted_types == (f"{KDE.__module__}.{KDE.__qualname__}",)


def test_more_samples_than_a_row_has_are_corrupt() -> None:
    arrays = Pyod.fit(PAST).model.arrays
    with pytest.raises(ArtifactCorrupt, match="more than 96 samples"):
        Pyod({**arrays, "size": np.array([97], "<i4")}).check()


def test_a_threshold_scales_the_score() -> None:
    model, floor = Pyod.fit(PAST).model, np.array([1e-9])
    once, twice = (predict(model.calibrated(np.array([by]), floor), TODAY).score for by in (2.0, 4.0))
    np.testing.assert_allclose(once, 2 * twice)


def test_a_value_further_off_than_any_in_the_history_scores_more_the_further_it_is() -> None:
    model = trained("pyod", PAST)
    scores = [
        predict(model, TODAY.with_values(TODAY.values + off * (np.arange(len(TODAY.values)) == 200))).score[200]
        for off in (30, 100, 1000)
    ]
    assert 1 < scores[0] < scores[1] < scores[2]


def test_an_incident_scores_above_1_as_it_begins_and_the_calm_before_it_does_not() -> None:
    incident = np.arange(len(TODAY.values)) >= 200
    scores = predict(trained("pyod", PAST), TODAY.with_values(TODAY.values + 40 * incident)).score
    assert scores[200] > 1
    assert (scores[:200] > 1).mean() < 0.02


def test_an_effect_smaller_than_a_hundredth_of_the_usual_value_does_not_alert() -> None:
    times = PAST.timestamps
    noise = np.random.default_rng(0).normal(size=len(times))
    model = trained("pyod", Points.of((times, 1000 + (noise > 3) * 0.001)))
    values = np.full(len(TODAY.values), 1000.0)
    values[100], values[200] = 1009.0, 1012.0
    scores = predict(model, TODAY.with_values(values)).score
    assert scores[100] < 1 < scores[200]
