from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from myriad.models.calibration import DAY
from myriad.models.host_components import HostComponents
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.models.windows import aggregate
from myriad.serving.predictor import Predictor
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.storage.shard import Entries, concatenated
from myriad.training.fit import fit
from myriad.training.host_components import fit_hosts
from myriad.training.host_thresholds import with_host_thresholds
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.publish import publish
from tests.conftest import END, history

PLAN = Plan(candidates=only("ewma", "ewma", "ewma"), rate=1e-3)
METRICS = [Series("here", host, f"m{i}") for host in ("one", "two") for i in range(5)] + [Series("here", "few", "m0")]
STEP = 300


def telemetry(days: float = 10, *, until: int = END, seed: int = 0) -> Points:
    """The metrics of a host follow its load; each has noise of its own, which is small beside it."""
    draw = np.random.default_rng(seed)
    times = np.arange(until - int(days * DAY), until, STEP)
    loads = {host: draw.normal(size=len(times)) for host in ("one", "two", "few")}
    return Points.of(*((times, 100 + 10 * loads[one.host] + draw.normal(size=len(times)) / 2) for one in METRICS))


def entries(points: Points, metrics: list[Series] = METRICS) -> Entries:
    fitted = fit(PLAN, metrics, points)
    return concatenated([one.entries for one in with_host_thresholds(PLAN, [fitted], fit_hosts(PLAN, metrics, points))])


@pytest.fixture(scope="module")
def whole() -> Entries:
    return entries(telemetry())


def scores(of: Entries, points: Points, *, host: str = "one") -> list[float]:
    store = MemoryStore()
    publish(Releases(store), of, PLAN, None, {})
    return scored(store, points, host)


def scored(store: MemoryStore, points: Points, host: str) -> list[float]:
    table = points_of(points, [one for one in METRICS if one.host == host])
    return Predictor.open(store).predict_hosts(table)["score"].tolist()


def points_of(points: Points, series: list[Series]) -> pd.DataFrame:

    frames = []
    for one in series:
        times, values = points.series(METRICS.index(one))
        frames.append(pd.DataFrame({**one._asdict(), "timestamp": times, "value": values}))
    return pd.concat(frames)


def test_every_host_of_five_metrics_has_components_and_is_asked_about_the_part_held_out() -> None:
    found = fit_hosts(PLAN, METRICS, telemetry())
    assert [host.host for host in found] == ["one", "two"]
    one = found[Series("here", "one", "*")]
    assert (one.step, one.series) == (STEP, METRICS[:5])
    assert len(one.slots) == len(one.departures) == pytest.approx(0.3 * 10 * DAY / STEP, abs=1)
    assert (np.diff(one.slots) == 1).all()
    again = HostComponents.fit(np.stack([telemetry().series(i)[1] for i in range(5)], axis=1), STEP)
    assert one.components.vectors.tolist() == again.vectors.tolist()


def test_a_history_that_is_too_short_to_hold_out_a_part_has_none() -> None:
    assert fit_hosts(PLAN, METRICS, telemetry(0.1)) == {}


def test_what_was_fitted_comes_back_from_the_shard(whole: Entries) -> None:
    assert whole.host is not None
    rows = dict(zip(whole.series, whole.host.tolist(), strict=True))
    components = fit_hosts(PLAN, METRICS, telemetry())[Series("here", "one", "*")].components
    of_host = rows[Series("here", "one", "*")]
    assert of_host[0] == pytest.approx(components.level)
    assert min(of_host[1:3]) > 0
    assert [rows[one][0] for one in METRICS[:5]] == pytest.approx(components.center.tolist())
    assert not any(rows[Series("here", "few", "m0")])


def test_usual_telemetry_is_seldom_above_1(whole: Entries) -> None:
    assert np.mean(np.array(scores(whole, telemetry(4, until=END + 4 * DAY, seed=1))) > 1) < 10 * PLAN.rate


def test_a_metric_that_leaves_the_others_is_trouble_of_the_host_though_its_values_are_usual(whole: Entries) -> None:
    usual = telemetry(1, until=END + DAY, seed=1)
    values = usual.values.copy()
    mine = usual.owner == 2
    values[mine] = np.where(usual.timestamps[mine] < END + DAY - 3600, values[mine], 200 - values[mine])
    odd = usual.with_values(values)
    without = replace(whole, host=None)
    assert max(scores(whole, odd)[-12:]) > 1 > max(scores(whole, usual)[-12:])
    assert scores(without, odd)[-12:] != scores(whole, odd)[-12:]
    assert scores(whole, odd, host="two") == scores(whole, usual, host="two")


def test_an_update_of_some_metrics_leaves_no_components_that_do_not_fit_together(whole: Entries) -> None:
    store = MemoryStore()
    releases = Releases(store)
    base = publish(releases, whole, PLAN, None, {})
    some = entries(telemetry(seed=4).take(np.arange(2)), METRICS[:2])
    publish(releases, some, PLAN, releases.head(), {}, base)
    later = telemetry(1, until=END + DAY, seed=1)
    assert scored(store, later, "two") == scores(whole, later, host="two")
    of_means = scored(store, later, "one")
    assert np.isfinite(of_means[20:]).all()
    assert of_means != scores(whole, later)


def test_more_metrics_of_noise_make_no_difference_to_who_has_components() -> None:
    noise = fit_hosts(PLAN, METRICS, history(10, series=len(METRICS), step=STEP))
    assert len(noise) == 2


def test_posted_means_give_the_scores_that_their_points_would(whole: Entries) -> None:
    store, later = MemoryStore(), telemetry(1, until=END + DAY, seed=1).take(np.arange(5))
    publish(Releases(store), whole, PLAN, None, {})
    names, steps = Names.of(METRICS[:5]), np.full(5, STEP)
    means = dict(zip(PLAN.windows, aggregate(later, PLAN.windows, steps, PLAN.coverage), strict=True))
    nothing = later.with_values(np.full(len(later.values), np.nan))
    asked = Query(names, later, hosts=True), Query(names, nothing, values=means, hosts=True)
    of_points, of_means = (Predictor.open(store).score(one).hosts[0].scores for one in asked)
    assert np.allclose(of_points, of_means, equal_nan=True)
    assert np.isfinite(of_points).any()
