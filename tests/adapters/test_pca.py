import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA, IncrementalPCA, KernelPCA

from myriad.adapters import get
from myriad.adapters._features import features
from myriad.adapters.pca import Pca, windows
from myriad.models.errors import NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300
PAST = np.arange(END - 14 * DAY, END, STEP)
AHEAD = np.arange(END, END + DAY, STEP)
TOLERANCE = 1e-3
"""Of a unit: weights are kept to 16 binary digits."""


def noise(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=n)


def rows_of(fitted: object, past: Points) -> Pca:
    return Pca.uncalibrated(Pca.reduced(fitted, past))


def today() -> Points:
    return history(1, step=STEP, seed=1, until=END + DAY)


@pytest.mark.parametrize("fitted", [PCA(8), PCA(8, whiten=True), PCA(3), PCA()], ids=repr)
def test_what_is_expected_is_the_value_the_library_finds_most_likely(fitted: PCA) -> None:
    past, points = history(14, step=STEP), today()
    fitted.fit(windows(past))
    model = rows_of(fitted, past)
    center, unit = model.arrays["center"][0], model.arrays["unit"][0]
    own = (predict(model, points).expected - center)[30:] / unit
    scaled = points.with_values((points.values - center) / unit)
    seen = np.concatenate([own[:, None], features(scaled)[30:]], axis=1)
    step = np.eye(12)[0]
    here, less, more = (np.array(fitted.score_samples(seen + d * step)) for d in (0, -1, 1))
    most_likely = own + (more - less) / (2 * (2 * here - less - more))  # of a parabola through three points
    np.testing.assert_allclose(own, most_likely, atol=TOLERANCE)


def test_one_learnt_in_parts_does_as_well() -> None:
    past, points = history(14, step=STEP), today()
    models = (rows_of(kind(8).fit(windows(past)), past) for kind in (PCA, IncrementalPCA))
    whole, parts = (np.abs(predict(model, points).expected - points.values).mean() for model in models)
    assert parts == pytest.approx(whole, rel=0.25)


def test_a_library_object_for_other_columns_is_not_reducible() -> None:
    with pytest.raises(NotReducible, match=r"fitted to 5 columns .* fit one to adapters.pca.windows"):
        Pca.reduced(PCA(2).fit(np.random.default_rng(0).normal(size=(50, 5))), history(14, step=STEP))


def test_what_has_no_covariance_is_not_reducible() -> None:
    past = history(2, step=STEP)
    with pytest.raises(NotReducible, match="KernelPCA has no covariance of windows; use PCA"):
        Pca.reduced(KernelPCA(2).fit(windows(past)), past)


def test_the_fitted_types_are_the_librarys() -> None:
    assert {f"{kind.__module__}.{kind.__qualname__}" for kind in (PCA, IncrementalPCA)} == set(get("pca").fitted_types)


def test_the_number_of_components_can_be_chosen() -> None:
    few, usual = (Pca.fit(history(14, step=STEP), components=n).model for n in (2, 8))
    assert not np.array_equal(few.arrays["weights"], usual.arrays["weights"])


def test_a_daily_rhythm_is_followed() -> None:
    usual = 100 + 20 * np.sin(2 * np.pi * today().timestamps / DAY)
    expected = predict(trained("pca", history(14, step=STEP)), today()).expected
    assert np.abs(expected - usual)[1:].mean() < 1.5


def test_a_wave_is_expected_to_go_on() -> None:
    def wave(times: NDArray[np.int64]) -> NDArray[np.float64]:
        return 100 + 10 * np.sin(2 * np.pi * times / (80 * STEP))

    past = Points.of((PAST, wave(PAST) + 0.01 * noise(len(PAST))))
    prediction = predict(trained("pca", past), Points.of((AHEAD, wave(AHEAD))))
    assert np.abs(prediction.expected - wave(AHEAD))[30:].max() < 0.1


def test_an_incident_scores_above_1_as_it_begins_and_the_calm_before_it_does_not() -> None:
    points = today()
    incident = np.arange(len(points.values)) >= 200
    scores = predict(trained("pca", history(14, step=STEP)), points.with_values(points.values + 40 * incident)).score
    assert (scores[200:203] > 1).all()
    assert (scores[:200] > 1).mean() < 0.02


def test_an_incident_in_the_history_is_not_learnt() -> None:
    past = history(14, step=STEP)
    spoilt = past.with_values(past.values + 1e4 * (np.arange(len(past.values)) % 2000 == 500))
    widths = [
        np.ptp([p.lower, p.upper], axis=0).mean() for p in (predict(Pca.fit(h).model, today()) for h in (past, spoilt))
    ]
    assert widths[1] < 1.5 * widths[0]


def test_the_band_is_wide_where_little_is_known() -> None:
    walk = Points.of((PAST, 100 + np.cumsum(noise(len(PAST)))))
    prediction = predict(trained("pca", walk), Points.of((AHEAD[:60], walk.values[-1] + np.zeros(60))))
    width = prediction.upper - prediction.lower
    assert width[0] > 5 * width[1]
    assert width[1] >= width[-1]


def test_after_a_gap_nothing_is_taken_for_known() -> None:
    model, points = trained("pca", history(14, step=STEP)), today()
    gap = points.with_values(np.where(np.arange(len(points.values)) == 99, np.nan, points.values))
    after, start = predict(model, gap), predict(model, points.where(points.timestamps >= points.timestamps[100]))
    np.testing.assert_array_equal(after.score[100:], start.score)


def test_an_effect_smaller_than_a_hundredth_of_the_usual_value_does_not_alert() -> None:
    model = trained("pca", Points.of((PAST, 1000 + (noise(len(PAST)) > 3) * 0.001)))
    values = np.full(len(AHEAD), 1000.0)
    values[100], values[200], values[250] = 1000.002, 1009.0, 1012.0
    scores = predict(model, Points.of((AHEAD, values))).score
    assert scores[100] < 0.01
    assert scores[200] < 1 < scores[250]
