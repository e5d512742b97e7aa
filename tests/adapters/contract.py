"""What every adapter holds to: each check takes a model class and raises AssertionError where the class does not.

`CHECKS` has them all by name. `tests/adapters/test_contract_can_fail.py` has a broken adapter for each.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from myriad import adapters
from myriad.models.base import Model, Prediction
from myriad.models.calibration import effect_floor
from myriad.models.ensemble import COMBINES
from myriad.models.errors import ArtifactCorrupt, HistoryUnusable
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.models.windows import Window
from myriad.serving.predictor import Predictor
from myriad.storage.artifact import compress, content_hash, decompress, pack, views
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.training.fit import fit
from myriad.training.fleets.synthetic import DAY
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.publish import publish
from tests.conftest import END, history

Check = Callable[[type[Model]], None]
Noise = Callable[[np.random.Generator, int], NDArray[np.float64]]

STEP = 300
RATE = 1e-3
WINDOWS = (Window(STEP), Window(900), Window(3600))
ROW_BYTES: Mapping[str, int] = {
    "isolation_forest": 4096,
    "lightgbm": 4096,
    "onnx": 17408,
    "regressor": 4096,
    "xgboost": 4096,
}
"""What a row may take in memory, for adapters that need more than `USUAL_ROW_BYTES`."""
FRESH_SERIES: Mapping[str, int] = {
    "holt_winters": 30,
    "isolation_forest": 40,
    "lightgbm": 16,
    "prophet": 20,
    "pyod": 20,
    "regressor": 20,
    "river": 20,
    "statsforecast": 30,
    "xgboost": 16,
}
"""Series whose false alarms are counted, for adapters whose library is too slow for `USUAL_FRESH_SERIES`."""
USUAL_FRESH_SERIES = 40
USUAL_ROW_BYTES = 2048


def check_every_point_gets_a_value_and_a_score_where_it_has_a_value(kind: type[Model]) -> None:
    points = with_gaps(ragged())
    prediction = fitted(kind).predict(np.arange(3), points)
    for array in astuple(prediction):
        assert array.shape == points.values.shape
        assert array.dtype == np.float64
    assert np.array_equal(np.isnan(prediction.score), np.isnan(points.values))


def check_bands_are_finite_and_around_what_is_expected(kind: type[Model]) -> None:
    prediction = fitted(kind).predict(np.arange(3), with_gaps(ragged()))
    assert_sound_bands(prediction)


def check_a_score_is_above_1_exactly_outside_the_band(kind: type[Model]) -> None:
    points = fresh()
    wild = points.with_values(points.values * np.random.default_rng(1).uniform(0.5, 1.5, len(points.values)))
    prediction = fitted(kind).predict(np.arange(3), wild)
    outside = (wild.values < prediction.lower) | (wild.values > prediction.upper)
    sure = np.abs(prediction.score - 1) > 1e-6
    assert outside.any()
    assert not outside.all()
    assert np.array_equal(prediction.score[sure] > 1, outside[sure])


def check_fitting_and_predicting_leave_their_inputs_alone(kind: type[Model]) -> None:
    past, points = (some.with_clock(some.timestamps + DAY) for some in (sample(), fresh()))
    rows = np.arange(3)
    before = [array.copy() for array in (*astuple(past), *astuple(points), rows)]
    fitted(kind, past).predict(rows, points)
    for array, copy in zip((*astuple(past), *astuple(points), rows), before, strict=True):
        assert np.array_equal(array, copy)


def check_the_same_history_gives_the_same_model(kind: type[Model]) -> None:
    assert_same_arrays(fitted(kind).arrays, fitted(kind).arrays)


def check_a_history_is_fitted_without_regard_to_its_neighbours(kind: type[Model]) -> None:
    past = sample()
    together = kind.fit(past).model
    for i in range(3):
        alone = kind.fit(past.take([i])).model
        for name, array in alone.arrays.items():
            assert np.allclose(array[0], together.arrays[name][i], rtol=1e-2, atol=1e-9), name


def check_predicting_changes_nothing(kind: type[Model]) -> None:
    model, points = fitted(kind), fresh()
    before = {name: array.copy() for name, array in model.arrays.items()}
    first = model.predict(np.arange(3), points)
    assert_same(first, model.predict(np.arange(3), points))
    assert_same_arrays(before, model.arrays)


def check_an_artifact_gives_back_the_same_model(kind: type[Model]) -> None:
    model, points = fitted(kind), fresh()
    raw = pack(model.arrays, {})
    data = compress(raw)
    arrays, _ = views("artifact", decompress(content_hash(data), data, len(raw)))
    loaded = kind(arrays)
    loaded.check()
    assert_same_arrays(model.arrays, loaded.arrays)
    assert_same(model.predict(np.arange(3), points), loaded.predict(np.arange(3), points))


def check_a_row_predicts_the_same_alone_and_among_others(kind: type[Model]) -> None:
    model, points = fitted(kind), ragged()
    stacked = kind.stack([model.take([2, 1]), model])
    shuffled = np.array([2, 0, 1, 0])
    together = split(model.predict(np.arange(3), points), points)
    among = split(stacked.predict(shuffled + 2, points.take(shuffled)), points.take(shuffled))
    for place, row in enumerate(shuffled.tolist()):
        assert_same(together[row], among[place])
        assert_same(together[row], model.take([row]).predict(np.array([0]), points.take([row])))
    assert_same(together[2], stacked.predict(np.array([0]), points.take([2])))


def check_strange_histories_are_predicted_or_refused(kind: type[Model]) -> None:
    strange = strange_histories()
    model = fitted_or_refused(kind, Points.of(*strange.values()))
    for series in strange.values():
        points = Points.of(*[series] * model.rows)
        prediction = model.predict(np.arange(model.rows), points)
        assert_sound_bands(prediction)
        assert not np.isnan(prediction.score).any()


def check_one_strange_history_alone_is_a_row_or_a_refusal(kind: type[Model]) -> None:
    for one in strange_histories().values():
        fitted_or_refused(kind, Points.of(one))
    assert fitted_or_refused(kind, Points.of()).rows == 0


def check_threads_do_not_disturb_each_other(kind: type[Model]) -> None:
    model, points = fitted(kind), fresh()
    batches = [points.with_values(points.values * factor) for factor in np.linspace(0.5, 2, 8)]
    one_by_one = [model.predict(np.arange(3), batch) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        at_once = threads.map(lambda batch: model.predict(np.arange(3), batch), batches * 3)
        for expected, got in zip(one_by_one * 3, at_once, strict=True):
            assert_same(expected, got)


def check_corrupt_arrays_are_refused(kind: type[Model]) -> None:
    model = fitted(kind)
    for what, arrays in corruptions(model):
        try:
            kind(arrays).check()
        except ArtifactCorrupt:
            continue
        raise AssertionError(f"{what} was taken for sound")


def check_a_row_is_small(kind: type[Model]) -> None:
    assert fitted(kind).row_bytes() <= ROW_BYTES.get(kind.name(), USUAL_ROW_BYTES)


def check_windows_alarm_at_the_target_rate_under_normal_noise(kind: type[Model]) -> None:
    assert_near_target(realised_rates(kind, normal), map(str, WINDOWS))


def check_windows_alarm_at_the_target_rate_under_heavy_tailed_noise(kind: type[Model]) -> None:
    assert_near_target(realised_rates(kind, laplace), map(str, WINDOWS))


def check_combined_windows_alarm_at_the_target_rate_under_normal_noise(kind: type[Model]) -> None:
    assert_near_target(realised_rates(kind, normal), COMBINES)


def check_combined_windows_alarm_at_the_target_rate_under_heavy_tailed_noise(kind: type[Model]) -> None:
    assert_near_target(realised_rates(kind, laplace), COMBINES)


def check_points_may_be_cut_anywhere(kind: type[Model]) -> None:
    """What is carried is enough: to the last bit, whatever pieces the points come in."""
    model, points, rows = fitted(kind), with_gaps(fresh()), np.arange(3)
    if model.carried is None:
        return
    whole, draw = model.predict(rows, points), np.random.default_rng(0)
    for mean_length in (1.5, 20, 300):
        state = model.begin(rows)
        assert state.shape == (3, len(model.carried))
        begins, found = points.offsets[:-1], []
        while (begins < points.offsets[1:]).any():
            ends = np.minimum(begins + draw.poisson(mean_length, 3), points.offsets[1:])
            piece = points.between(begins, ends)
            prediction = model.advance(rows, state, piece)
            place = np.concatenate([np.arange(*span) for span in zip(begins.tolist(), ends.tolist(), strict=True)])
            found.append((place, prediction))
            begins = ends
        for name in ("expected", "half_band", "score"):
            joined = np.full(len(points.values), -1.0)
            for place, prediction in found:
                joined[place] = getattr(prediction, name)
            assert joined.tobytes() == np.ascontiguousarray(getattr(whole, name)).tobytes(), name


CHECKS: Mapping[str, Check] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}


def sample() -> Points:
    """Ten days of three series whose values differ by orders of magnitude."""
    return scaled(history(10, series=3, step=STEP))


def fresh() -> Points:
    """The day after the sample."""
    return scaled(history(1, series=3, step=STEP, seed=1, until=END + DAY))


def ragged() -> Points:
    """The day after the sample, of which the first series has everything, the second a point, the third a half."""
    points = fresh()
    position = np.arange(len(points.values)) - points.offsets[:-1][points.owner]
    return points.where(position < np.array([288, 1, 144])[points.owner])


def scaled(points: Points) -> Points:
    return points.with_values(points.values * np.array([1.0, 1e6, 1e-3])[points.owner])


def with_gaps(points: Points) -> Points:
    """Every seventh value NaN, and the first."""
    return points.with_values(np.where(np.arange(len(points.values)) % 7 == 0, np.nan, points.values))


def fitted(kind: type[Model], past: Points | None = None) -> Model:
    """A row for each series of the history, calibrated as if four spreads were rare."""
    past = past or sample()
    fit = kind.fit(past)
    assert not fit.refused
    return fit.model.calibrated(np.full(len(past), 4.0), effect_floor(past))


def fitted_or_refused(kind: type[Model], past: Points) -> Model:
    """Sound rows for the histories that can be fitted, after a look at why the others cannot."""
    fit = kind.fit(past)
    assert sorted([*fit.kept.tolist(), *fit.refused]) == list(range(len(past)))
    assert all(isinstance(why, HistoryUnusable) and str(why) for why in fit.refused.values())
    model = fit.model.calibrated(np.full(len(fit.kept), 4.0), effect_floor(past.take(fit.kept)))
    model.check()
    return model


def strange_histories() -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Histories as fleets have them: what is in each is its name."""
    times = np.arange(END - 10 * DAY, END, STEP)
    noise = np.random.default_rng(2).normal(size=len(times))
    usual = 100 + 3 * noise
    gaps = np.random.default_rng(3).random(len(times)) < 0.2
    return {
        "usual": (times, usual),
        "gaps": (times[gaps], usual[gaps]),
        "one long gap": (np.delete(times, slice(500, 1500)), np.delete(usual, slice(500, 1500))),
        "constant": (times, np.full(len(times), 42.0)),
        "zero": (times, np.zeros(len(times))),
        "zero but once": (times, (np.arange(len(times)) == 1000) * 1e6),
        "a counter that starts anew": (times, np.arange(len(times)) % 700 * 1e9),
        "two points": (times[:2], usual[:2]),
        "one point": (times[:1], usual[:1]),
        "empty": (times[:0], usual[:0]),
        "huge": (times, 1e150 * np.tanh(noise)),
        "huge and constant": (times, np.full(len(times), -1e150)),
        "tiny": (times, 1e-300 * noise),
        "tiny and constant": (times, np.full(len(times), 1e-300)),
        "tiny and huge": (times, np.where(noise > 0, 1e-300, 1e150)),
    }


def corruptions(model: Model) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """The model's arrays, each time with something wrong, and what."""
    good = dict(model.arrays)
    yield "an unknown array", {**good, "unknown": good["threshold"]}
    for name, array in good.items():
        yield f"no {name}", {other: good[other] for other in good if other != name}
        yield f"a short {name}", {**good, name: array[:-1]}
        yield f"a deeper {name}", {**good, name: array[..., None]}
        yield f"complex {name}", {**good, name: array.astype(np.complex128)}
        if array.dtype.kind == "f":
            yield f"{name} in the other byte order", {**good, name: array.astype(array.dtype.newbyteorder(">"))}
            yield f"NaN in {name}", {**good, name: spoilt(array, np.nan)}
            yield f"infinity in {name}", {**good, name: spoilt(array, np.inf)}
        if {**model.params, **model.common}[name].positive:
            yield f"zero in {name}", {**good, name: spoilt(array, 0)}
            yield f"a negative {name}", {**good, name: spoilt(array, -1)}


def spoilt(array: NDArray[Any], value: float) -> NDArray[Any]:
    """A copy whose last element is the value."""
    copy = array.copy()
    copy.flat[-1] = value
    return copy


def normal(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Noise of variance 1."""
    return draw.normal(size=n)


def laplace(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Noise of variance 1 with exponential tails."""
    return draw.laplace(scale=np.sqrt(0.5), size=n)


def noisy(noise: Noise, seed: int, days: int, until: int, series: int) -> Points:
    """Independent series of a smooth daily rhythm and noise."""
    draw = np.random.default_rng(seed)
    times = np.arange(until - days * DAY, until, STEP)
    usual = 100 + 20 * np.sin(2 * np.pi * times / DAY)
    return Points.of(*((times, usual + 3 * noise(draw, len(times))) for _ in range(series)))


@functools.cache
def realised_rates(kind: type[Model], noise: Noise) -> dict[str, float]:
    """How often scores of fresh data are above 1, by window and by way to combine, through training and serving."""
    count = FRESH_SERIES.get(kind.name(), USUAL_FRESH_SERIES)
    past, new = noisy(noise, 0, 28, END, count), noisy(noise, 1, 14, END + 14 * DAY, count)
    series = [Series("here", f"host-{i}", "metric") for i in range(len(past))]
    store = MemoryStore()
    with (
        patch.object(adapters, "get", {kind.name(): kind}.__getitem__),
        patch.object(adapters, "names", lambda: (kind.name(),)),
    ):
        plan = Plan(windows=WINDOWS, candidates=only(*[kind.name()] * 3), weights=(1.0, 2.0, 4.0), rate=RATE)
        publish(Releases(store), fit(plan, series, past).entries, plan, None, {})
        predictor = Predictor.open(store)
        answers = {how: predictor.score(Query(Names.of(series), new, None, how)) for how in COMBINES}
        predictor.close()
    rates = {how: rate_above_1(scores.score) for how, scores in answers.items()}
    by_window = answers["weighted"].by_window
    return rates | {str(window): rate_above_1(by_window[at]) for at, window in enumerate(WINDOWS)}


def rate_above_1(scores: NDArray[np.float64]) -> float:
    return float((scores[~np.isnan(scores)] > 1).mean())


def assert_near_target(rates: Mapping[str, float], names: Iterable[str]) -> None:
    off_target = {name: rates[name] for name in names if not RATE / 2 <= rates[name] <= 2 * RATE}
    assert not off_target, f"rates are {off_target}, the target is {RATE}"


def assert_sound_bands(prediction: Prediction) -> None:
    for array in (prediction.lower, prediction.expected, prediction.upper):
        assert np.isfinite(array).all()
    assert (prediction.lower <= prediction.expected).all()
    assert (prediction.expected <= prediction.upper).all()


def assert_same(one: Prediction, other: Prediction) -> None:
    for a, b in zip(astuple(one), astuple(other), strict=True):
        assert np.array_equal(a, b, equal_nan=True)


def assert_same_arrays(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        assert np.array_equal(array, other[name]), name


def split(prediction: Prediction, points: Points) -> list[Prediction]:
    """The prediction of each series."""
    spans = zip(points.offsets[:-1].tolist(), points.offsets[1:].tolist(), strict=True)
    return [Prediction(*(array[a:b] for array in astuple(prediction))) for a, b in spans]
