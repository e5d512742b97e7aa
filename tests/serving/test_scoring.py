"""From a query to its scores: which models answer, what is missing and why, how windows are combined."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.kernels.scoring import NO_MODEL
from myriad.kernels.windows import held
from myriad.models.ensemble import Combine
from myriad.models.errors import InvalidKey
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.models.scores import Scores
from myriad.models.status import STATUSES, Status
from myriad.models.windows import Window
from myriad.serving.predictor import Predictor
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.storage.shard import Entries, concatenated
from tests.conftest import history
from tests.training.small import PLAN, fitted, released

WINDOWS = PLAN.windows
MINUTE, FIVE = WINDOWS
OWN, REGION, GLOBAL = (fitted(name, seed=seed) for seed, name in enumerate(("r/a/cpu", "r/*/cpu", "*/*/cpu")))


def serving(*parts: Entries) -> Predictor:
    """A predictor on a fleet of these entries."""
    releases = Releases(MemoryStore())
    released(releases, concatenated(parts))
    return Predictor.open(releases.store)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """On a host's, its region's and everyone's models of one metric."""
    return serving(OWN, REGION, GLOBAL)


def asked(
    predictor: Predictor,
    *names: str,
    points: Points | None = None,
    windows: Sequence[Window] | None = None,
    combine: Combine = "weighted",
    bands: bool = False,
) -> Scores:
    """The scores of an hour of points of each of the series."""
    given = points or history(1 / 24, series=len(names), seed=3)
    chosen = None if windows is None else tuple(windows)
    series = Names.of([Series.parse(name) for name in names])
    return predictor.score(Query(series, given, chosen, combine, bands=bands, models=True))


def combined(predictor: Predictor, name: str) -> NDArray[np.float64]:
    """What combinations of a series' windows are divided by, (3, 4)."""
    place = predictor.locate(Series.parse(name))
    assert place
    return place.shard.combined[place.position].astype(np.float64)


def status(scores: Scores, i: int = 0) -> Status:
    """What became of a series."""
    return STATUSES[int(scores.status[i])]


def every(step: int, count: int) -> Points:
    """Points that many seconds apart."""
    return history(step * count / 86400, step=step, seed=3)


@pytest.mark.parametrize(
    ("name", "stands_in", "expected"),
    [
        ("r/a/cpu", "r/a/cpu", Status.OK),
        ("r/b/cpu", "r/*/cpu", Status.FALLBACK),
        ("q/a/cpu", "*/*/cpu", Status.FALLBACK),
        ("r/*/cpu", "r/*/cpu", Status.OK),
        ("q/*/cpu", "*/*/cpu", Status.FALLBACK),
        ("*/*/cpu", "*/*/cpu", Status.OK),
    ],
)
def test_the_nearest_models_answer(predictor: Predictor, name: str, stands_in: str, expected: Status) -> None:
    scores, direct = asked(predictor, name), asked(predictor, stands_in)
    assert (str(Series.parse(name).fallback(int(scores.level[0]))), status(scores)) == (stands_in, expected)
    np.testing.assert_array_equal(scores.score, direct.score)


def test_a_metric_nobody_has_has_no_model(predictor: Predictor) -> None:
    scores = asked(predictor, "r/a/gpu")
    assert status(scores) is Status.NO_MODEL
    assert scores.missing(0) == dict.fromkeys(WINDOWS, "there is no model")
    assert np.isnan(scores.score).all()
    assert np.isnan(scores.by_window).all()


def test_a_query_of_no_series_has_no_scores(predictor: Predictor) -> None:
    assert asked(predictor, points=Points.of()).score.shape == (0,)


def test_too_few_points_are_said_to_be(predictor: Predictor) -> None:
    scores = asked(predictor, "r/a/cpu", points=every(60, 2))
    assert status(scores) is Status.OK
    assert scores.missing(0) == {FIVE: "no point has 50% of the points before it in the window"}
    sparse = asked(predictor, "r/a/cpu", points=every(3600, 5), windows=[FIVE])
    assert status(sparse) is Status.INSUFFICIENT_DATA
    assert np.isnan(sparse.score).all()


def test_weights_are_renewed_over_the_windows_there_are(predictor: Predictor) -> None:
    scores = asked(predictor, "r/a/cpu")
    divisors = combined(predictor, "r/a/cpu")
    first, later = scores.by_window[:, 0], scores.by_window[:, -1]
    assert np.isnan(first).tolist() == [False, True]
    weighted = divisors[0]
    assert scores.score[0] == pytest.approx(first[0] / weighted[0b01])
    joint = ((later[0] ** 4 + 2 * later[1] ** 4) / 3) ** 0.25 / weighted[0b11]
    assert joint <= 2 * scores.score[-1] - joint  # what it is held with is not lower


@pytest.mark.parametrize(("combine", "mode"), [("weighted", 0), ("min", 1), ("max", 2)])
def test_each_combination_has_its_own_calibration(predictor: Predictor, combine: Combine, mode: int) -> None:
    scores = asked(predictor, "r/a/cpu", combine=combine)
    divisors = combined(predictor, "r/a/cpu")
    both = scores.by_window[:, 10:]
    power_mean = np.average(both**4, axis=0, weights=(1, 2)) ** 0.25
    calibrated = [power_mean, both.min(axis=0), both.max(axis=0)][mode] / divisors[mode, 0b11]
    if combine == "weighted":
        first, later = scores.by_window[:, :10]
        both_of = ((first**4 + 2 * later**4) / 3) ** 0.25 / divisors[mode, 0b11]
        before = np.where(np.isnan(later), first / divisors[mode, 0b01], both_of)
        calibrated = held(np.concatenate([before, calibrated]), np.array([0, len(scores.score)]))[10:]
    np.testing.assert_allclose(scores.score[10:], calibrated)


def test_only_the_windows_asked_for_are_scored(predictor: Predictor) -> None:
    whole, some = asked(predictor, "r/a/cpu"), asked(predictor, "r/a/cpu", windows=[FIVE])
    assert some.windows == (FIVE,)
    np.testing.assert_array_equal(some.by_window, whole.by_window[1:])
    divisors = combined(predictor, "r/a/cpu")
    alone = some.by_window[0] / divisors[0, 0b10]
    np.testing.assert_allclose(some.score, held(alone, np.array([0, len(alone)])))


def test_windows_are_answered_in_the_releases_order_and_once(predictor: Predictor) -> None:
    assert asked(predictor, "r/a/cpu", windows=[FIVE, MINUTE, FIVE]).windows == WINDOWS


def test_a_window_the_release_does_not_have_is_refused(predictor: Predictor) -> None:
    with pytest.raises(InvalidKey, match="'15m' is not one of this release's: 1m, 5m"):
        asked(predictor, "r/a/cpu", windows=[MINUTE, Window(900)])


def test_a_window_without_a_model_is_left_out_and_named() -> None:
    lacking = dataclasses.replace(OWN, adapter=np.array([[0, NO_MODEL]], np.uint8))
    scores, whole = asked(serving(lacking), "r/a/cpu"), asked(serving(OWN), "r/a/cpu")
    assert (status(scores), scores.missing(0)) == (Status.OK, {FIVE: "there is no model at this window"})
    np.testing.assert_array_equal(scores.by_window[0], whole.by_window[0])
    np.testing.assert_array_equal(scores.score, asked(serving(OWN), "r/a/cpu", windows=[MINUTE]).score)


def test_a_score_is_above_1_exactly_outside_the_band(predictor: Predictor) -> None:
    times, values = history(1 / 24, seed=3).series(0)
    values = values + np.where(np.arange(60) % 7 == 0, 40.0, 0.0)
    scores = asked(predictor, "r/a/cpu", points=Points.of((times, values)), windows=[MINUTE], bands=True)
    assert scores.bands is not None
    (lower,), (upper,) = scores.bands
    outside = (values < lower) | (values > upper)
    assert 0 < outside.sum() < 60
    np.testing.assert_array_equal(scores.by_window[0] > 1, outside)


def test_a_series_asked_for_twice_is_answered_twice(predictor: Predictor) -> None:
    once = asked(predictor, "r/a/cpu", points=history(1 / 24, seed=3))
    times, values = history(1 / 24, seed=3).series(0)
    twice = asked(predictor, "r/a/cpu", "r/a/cpu", points=Points.of((times, values), (times, values)))
    assert _bytes(twice.score) == _bytes(once.score) * 2


def test_answers_do_not_depend_on_neighbours_to_the_last_bit(predictor: Predictor) -> None:
    names = ["r/b/cpu", "r/a/cpu", "r/a/gpu", "q/z/cpu", "r/a/cpu"]
    parts = [history(hours / 24, seed=seed).series(0) for seed, hours in enumerate((1.0, 0.5, 2.0, 0.05, 3.0))]
    given = Points.of(*parts)
    together = asked(predictor, *names, points=given, bands=True)
    for i, (name, part) in enumerate(zip(names, parts, strict=True)):
        alone = asked(predictor, name, points=Points.of(part), bands=True)
        span = slice(given.offsets[i], given.offsets[i + 1])
        assert status(together, i) == status(alone)
        for field in ("score", "by_window", "expected", "bands"):
            assert _bytes(getattr(together, field)[..., span]) == _bytes(getattr(alone, field))


def _bytes(values: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(values).tobytes()
