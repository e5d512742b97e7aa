"""Fitting: what is refused and why, what thresholds mean, what stands in."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.kernels.scoring import NO_MODEL
from myriad.models.calibration import DAY, EFFECT_SHARE
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.models.scores import Scores
from myriad.models.windows import Window
from myriad.serving.predictor import Predictor
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.storage.shard import Entries
from myriad.training.fit import Refusal, fit, fit_pooled
from myriad.training.hierarchy import POOLED_SERIES, pools
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from tests.conftest import END, history
from tests.training.small import PLAN, released

ONE = Series("r", "a", "cpu")
WINDOW, LONGER = PLAN.windows


def scored(entries: Entries, points: Points, plan: Plan = PLAN, windows: tuple[Window, ...] | None = None) -> Scores:
    """What a fleet of these entries says of points of its first series."""
    releases = Releases(MemoryStore())
    released(releases, entries, plan=plan)
    return Predictor.open(releases.store).score(Query(Names.of(entries.series[:1]), points, windows))


def constant(value: float, days: float = 1) -> Points:
    """A series that never changes."""
    times, values = history(days).series(0)
    return Points.of((times, np.full(len(values), value)))


def test_every_series_gets_a_model_a_window() -> None:
    fitted = fit(PLAN, [ONE, Series("r", "b", "cpu")], history(1, series=2))
    entries = fitted.entries
    assert fitted.refusals == []
    assert [str(series) for series in entries.series] == ["r/a/cpu", "r/b/cpu"]
    assert entries.adapter.tolist() == [[0, 1], [0, 1]]
    assert (entries.step.tolist(), entries.points.tolist()) == ([60, 60], [1440, 1440])
    assert entries.history.tolist() == [[END - 86400, END - 60]] * 2


def test_a_refusal_names_the_series_the_window_and_why() -> None:
    points = Points.of(history(1).series(0), history(5 / 1440).series(0))
    fitted = fit(PLAN, [ONE, Series("r", "new", "cpu")], points)
    assert [str(series) for series in fitted.entries.series] == ["r/a/cpu"]
    assert {(refusal.series, refusal.window) for refusal in fitted.refusals} == {
        ("r/new/cpu", WINDOW),
        ("r/new/cpu", LONGER),
    }
    assert all("30 are needed" in refusal.why for refusal in fitted.refusals)


def test_a_series_too_short_to_calibrate_on_is_refused() -> None:
    (refusal, *_) = fit(PLAN, [ONE], history(50 / 1440)).refusals
    assert refusal == Refusal("r/a/cpu", WINDOW, "fewer than 20 held-out points to calibrate on")


def test_a_series_with_points_too_far_apart_for_a_window_has_models_at_the_others_only() -> None:
    plan = dataclasses.replace(PLAN, coverage=1.0)
    times, values = history(20, step=240).series(0)
    gaps = np.arange(len(times)) % 5 != 0
    fitted = fit(
        dataclasses.replace(plan, windows=(Window(240), Window(3600))), [ONE], Points.of((times[gaps], values[gaps]))
    )
    assert fitted.entries.adapter.tolist() == [[0, NO_MODEL]]
    assert [refusal.window for refusal in fitted.refusals] == [Window(3600)]


def at_times(times: NDArray[np.int64], seed: int = 0) -> Points:
    """Normal noise at these times."""
    return Points.of((times, np.random.default_rng(seed).normal(100, 3, len(times))))


@pytest.mark.parametrize(("before", "after"), [(15, 60), (60, 15)])
def test_a_history_whose_interval_changes_has_models_of_all_windows_for_the_new_one(before: int, after: int) -> None:
    """Most of its points are of the old one."""
    times = END + np.concatenate([np.arange(-8000, 0) * before, np.arange(2000) * after])
    entries = fit(PLAN, [ONE], at_times(times)).entries
    assert entries.adapter.tolist() == [[0, 1]]
    assert entries.step.tolist() == [after]
    found = scored(entries, at_times(times[-1] + after * np.arange(1, 400), seed=1))
    for score in found.by_window:
        assert np.isfinite(score[300 // after :]).all()
        assert np.mean(score[300 // after :] < 1) > 0.99


@pytest.mark.parametrize("count", [4000, 4001])
def test_two_replicas_seconds_apart_have_models_of_all_windows(count: int) -> None:
    """Whether there is an even or an odd number of points, which decides what the median time between them is."""
    plan = dataclasses.replace(PLAN, windows=(Window(60), Window(900)))
    times = END + (60 * np.arange(3000)[:, None] + np.array([0, 2])).ravel()
    entries = fit(plan, [ONE], at_times(times[:count])).entries
    assert entries.adapter.tolist() == [[0, 1]]
    assert entries.step.tolist() == [30]
    found = scored(entries, at_times(times[count : count + 500], seed=1), plan)
    assert np.isfinite(np.array(found.by_window)[:, 15:]).all()


def test_the_adapters_of_a_plan_are_named_once() -> None:
    assert Plan(candidates=only("seasonal", "ewma", "seasonal")).adapter_names == ("ewma", "seasonal")


@pytest.mark.parametrize("adapter", ["ewma", "seasonal"])
def test_ordinary_points_score_above_1_about_as_rarely_as_the_rate_says(adapter: str) -> None:
    rate = 0.01
    plan = dataclasses.replace(PLAN, candidates=only(adapter, adapter), rate=rate)
    entries = fit(plan, [ONE], history(15, until=END - 10 * 86400)).entries
    scores = scored(entries, history(10, seed=1), plan)
    for score in (scores.score, *scores.by_window):
        known = score[np.isfinite(score)]
        assert rate / 4 < (known > 1).mean() < rate * 4


def test_a_rarer_rate_makes_higher_thresholds() -> None:
    limits = []
    for rate in (1e-2, 1e-3, 1e-4, 1e-5):
        entries = fit(dataclasses.replace(PLAN, rate=rate), [ONE], history(3)).entries
        limits.append(float(entries.models[0, 0].arrays["threshold"][0]))
    assert limits == sorted(limits)
    assert len(set(limits)) == 4


def test_thresholds_come_from_held_out_points_not_from_those_fitted_to() -> None:
    times, values = history(10).series(0)
    noise = np.random.default_rng(1).normal(size=len(values))
    louder = np.where(np.arange(len(values)) > 0.7 * len(values), 30.0, 0.0)
    quiet, loud = (
        fit(PLAN, [ONE], Points.of((times, v))).entries.models[1, 1].arrays for v in (values, values + louder * noise)
    )
    reach = [float(arrays["threshold"][0] * arrays["unit"][0]) for arrays in (quiet, loud)]
    assert reach[1] > 3 * reach[0]


@pytest.mark.parametrize("value", [0.0, 5.0, -3.3, 1e12, 1e-12])
def test_a_constant_series_does_not_alert_on_rounding_but_on_a_change(value: float) -> None:
    entries = fit(PLAN, [ONE], constant(value, 3)).entries
    times, values = constant(value, 0.1).series(0)
    rounded = np.nextafter(values, np.where(np.arange(len(values)) % 2, np.inf, -np.inf))
    assert np.nanmax(scored(entries, Points.of((times, rounded))).score) < 1
    changed = np.where(np.arange(len(values)) > 100, values + max(abs(value), 1.0), values)
    assert np.nanmax(scored(entries, Points.of((times, changed))).score) > 1


@pytest.mark.parametrize("value", [5.0, -3.3, 1e12])
def test_no_combination_of_windows_is_above_1_for_less_than_the_effect_floor(value: float) -> None:
    plan = dataclasses.replace(PLAN, candidates=only("seasonal", "seasonal"))
    entries = fit(plan, [ONE], constant(value, 3)).entries
    times, values = constant(value, 0.1).series(0)
    for share, above in ((0.9, False), (1.5, True)):
        small = Points.of((times, values + share * EFFECT_SHARE * abs(value)))
        for windows in ((WINDOW,), (LONGER,), (WINDOW, LONGER)):
            assert bool(np.nanmax(scored(entries, small, plan, windows).score) > 1) is above


def test_a_job_of_every_night_is_usual_on_every_night() -> None:
    times, rng = np.arange(END - 28 * DAY, END + 5 * DAY, 60), np.random.default_rng(3)
    runs, noise = (times - 6 * 3600) % DAY < 240, rng.normal(size=len(times))
    points = Points.of((times, np.where(runs, 88 + 2 * noise, 12 + 1.2 * noise)))
    plan = Plan(windows=(Window(60), Window(900), Window(3600)))
    past, new = points.where(times < END), points.where(times >= END)
    assert np.nanmax(scored(fit(plan, [ONE], past).entries, new, plan, plan.windows).score) < 1


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        ([], set()),
        (["region"], {"r/*/cpu", "r/*/mem", "s/*/cpu"}),
        (["region", "global"], {"r/*/cpu", "r/*/mem", "s/*/cpu", "*/*/cpu", "*/*/mem"}),
    ],
)
def test_pools_are_of_one_metric_each(levels: list[str], names: set[str]) -> None:
    series = [Series("r", "a", "cpu"), Series("r", "b", "cpu"), Series("s", "a", "cpu"), Series("r", "a", "mem")]
    pooled = pools(series, levels)
    assert {str(one) for one in pooled} == names
    for one, members in pooled.items():
        assert {series[i].metric for i in members} == {one.metric}
        assert members.tolist() == [
            i for i, s in enumerate(series) if s.metric == one.metric and one.region in (s.region, "*")
        ]


def test_a_pooled_model_knows_what_is_usual_in_the_pool() -> None:
    times, values = history(3).series(0)
    levels = (100.0, 200.0, 300.0)
    pool = Points.of(*((times, values + level) for level in levels))
    entries = fit_pooled(PLAN, Series("r", "*", "cpu"), pool).entries
    assert [str(series) for series in entries.series] == ["r/*/cpu"]
    plan_points = history(0.1, seed=4)
    usual = scored(entries, plan_points.with_values(plan_points.values + 200), windows=(LONGER,))
    unusual = scored(entries, plan_points.with_values(plan_points.values + 5000), windows=(LONGER,))
    assert np.nanmax(usual.score) < 1 < np.nanmin(unusual.score)


def test_a_pool_is_of_a_bounded_number_of_series() -> None:
    times, values = history(0.2).series(0)
    pool = [(times, values)] * POOLED_SERIES
    strange = (times, values * 1e6)
    some, more = (
        fit_pooled(PLAN, Series("r", "*", "cpu"), Points.of(*series)).entries for series in (pool, [*pool, strange])
    )
    for at, model in some.models.items():
        for name, array in model.arrays.items():
            np.testing.assert_array_equal(array, more.models[at].arrays[name])


def test_what_a_rule_says_of_deviations_reaches_the_scores() -> None:
    times, values = history(1 / 24, until=END + 3600, seed=5).series(0)
    low, high = values.copy(), values.copy()
    low[-5:] -= 40
    high[-5:] += 40

    def highest(**said: object) -> tuple[float, float]:
        plan = dataclasses.replace(PLAN, **said)  # type: ignore[arg-type]
        entries = fit(plan, [ONE], history(3)).entries
        found = [scored(entries, Points.of((times, some)), plan).score[-5:].max() for some in (low, high)]
        return float(found[0]), float(found[1])

    assert min(highest()) > 1
    down, up = highest(direction=-1)
    assert down > 1 > up
    down, up = highest(direction=1)
    assert up > 1 > down
    assert max(highest(floor=500.0)) < 1
    outside, inside = highest(floor=500.0, range=(values.min() - 10, 1e3))
    assert inside < 1 < outside
