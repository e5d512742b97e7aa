import numpy as np

from myriad.models.host_scores import slot_means
from myriad.models.key import Series
from myriad.storage.shard import NO_MODEL
from myriad.training.fit import Fitted, fit
from myriad.training.host_thresholds import with_host_thresholds
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from tests.conftest import history

PLAN = Plan(candidates=only("ewma", "ewma", "ewma"), rate=1e-2)
METRICS = [Series("here", host, metric) for host in ("one", "two") for metric in ("cpu", "mem", "net")]


def fitted(*series: Series, seed: int = 0) -> Fitted:
    return fit(PLAN, series, history(10, series=len(series), step=300, seed=seed))


def host_entries(*parts: Fitted) -> dict[str, float]:
    """What the hosts found would be divided by."""
    (*before, found) = with_host_thresholds(PLAN, parts)
    assert before == list(parts)
    entries = found.entries
    assert (entries.adapter == NO_MODEL).all()
    assert all(series.metric == "*" for series in entries.series)
    return dict(zip((one.host for one in entries.series), entries.combined[:, 0, -1].tolist(), strict=True))


def test_every_host_of_several_metrics_has_a_threshold() -> None:
    found = host_entries(fitted(*METRICS))
    assert found.keys() == {"one", "two"}
    assert all(0.1 < threshold < 1 for threshold in found.values())  # a mean strays less than each of its parts


def test_a_host_s_mean_is_above_its_threshold_as_rarely_as_was_asked_for() -> None:
    one = fitted(*METRICS)
    threshold = host_entries(one)["one"]
    assert one.held_out is not None
    points = one.held_out.take([0, 1, 2])
    above = (slot_means(points.timestamps, points.values, 300).scores > threshold).mean()
    assert PLAN.rate / 5 < above < PLAN.rate * 2


def test_metrics_fitted_apart_are_one_host() -> None:
    assert host_entries(fitted(METRICS[0]), fitted(METRICS[1], METRICS[3], seed=1)).keys() == {"one"}


def test_a_single_metric_is_no_host() -> None:
    alone = fitted(METRICS[0], METRICS[3])
    assert with_host_thresholds(PLAN, [alone]) == [alone]


def test_a_metric_of_that_name_is_left_alone() -> None:
    own = fitted(Series("here", "one", "*"), Series("here", "one", "cpu"))
    assert with_host_thresholds(PLAN, [own]) == [own]


def test_entries_of_hosts_are_fitted_beside_those_of_series() -> None:
    one = fitted(*METRICS)
    (_, hosts) = with_host_thresholds(PLAN, [one])
    assert hosts.entries.windows == one.entries.windows
    assert np.array_equal(hosts.entries.step, [300, 300])
    assert hosts.records.num_rows == 0
