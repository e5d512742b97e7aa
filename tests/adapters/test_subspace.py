import numpy as np
import pytest
from sklearn.decomposition import PCA

from myriad.adapters import _scaled
from myriad.adapters.subspace import COMPONENTS, EVERY_LAG, Subspace
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300


def today() -> Points:
    return history(1, step=STEP, seed=1, until=END + DAY)


def test_what_is_expected_is_what_the_components_find_most_likely() -> None:
    past, points = history(14, step=STEP), today()
    model = Subspace.fit(past).model
    own = _scaled.scale(past)
    examples = _scaled.examples(past, own, EVERY_LAG)
    windows = np.concatenate([examples.values[:, None], examples.before, examples.calendar], axis=1)
    pca = PCA(COMPONENTS, svd_solver="covariance_eigh").fit(windows)
    now = _scaled.examples(points, own, EVERY_LAG)
    later = np.concatenate([now.values[:, None], now.before, now.calendar], axis=1)
    covariance = pca.get_covariance()
    weights = np.linalg.solve(covariance[1:, 1:] + 1e-6 * np.eye(len(covariance) - 1), covariance[1:, 0])
    theirs = pca.mean_[0] + (later[:, 1:] - pca.mean_[1:]) @ weights
    ours = predict(model, points).expected[30:]
    assert (ours - own.center) / own.unit == pytest.approx(theirs, abs=2e-3)


def test_an_incident_scores_above_1_and_the_calm_before_it_does_not() -> None:
    points = today()
    values = points.values + 60 * (np.arange(len(points.values)) == 250)
    scores = predict(trained("subspace", history(14, step=STEP)), points.with_values(values)).score
    assert scores[250] > 1
    assert (scores[:250] > 1).mean() < 0.02


def test_a_rhythm_is_expected_better_than_its_median_would_be() -> None:
    past, points = history(14, step=STEP), today()
    deviation = np.abs(predict(trained("subspace", past), points).expected - points.values)
    assert deviation[30:].mean() < 0.5 * np.abs(points.values - np.median(past.values)).mean()
