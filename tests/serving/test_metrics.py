"""Metrics: their own registry each, bounded labels."""

import pytest
from prometheus_client.metrics import MetricWrapperBase

from myriad.serving.metrics import Metrics

LABELS = {"route", "status", "kind", "outcome"}


def test_each_metrics_has_a_registry_of_its_own() -> None:
    one, other = Metrics(), Metrics()
    one.points.inc(3)
    assert one.registry.get_sample_value("myriad_points_total") == 3
    assert other.registry.get_sample_value("myriad_points_total") == 0


def test_what_is_counted_is_in_the_registry_when_it_is_looked_at() -> None:
    metrics = Metrics()
    for seconds in (0.0004, 0.0005, 0.3, 60):
        metrics.count_request("predict", 200, seconds)
    metrics.count_series({"ok": 2, "no_model": 1}, 180)
    metrics.count_hit()
    metrics.answered += [0.0005, 0.0006, 60]
    metrics.tallies += [20, 3, 1, 2, 0, 4]
    for _ in range(2):  # nothing is counted twice
        sample = metrics.registry.get_sample_value
        assert sample("myriad_requests_total", {"route": "predict", "status": "200"}) == 7
        assert sample("myriad_request_seconds_count", {"route": "predict"}) == 7
        assert sample("myriad_request_seconds_bucket", {"route": "predict", "le": "0.0005"}) == 3
        assert sample("myriad_request_seconds_bucket", {"route": "predict", "le": "0.5"}) == 5
        assert sample("myriad_request_seconds_sum", {"route": "predict"}) == pytest.approx(120.302)
        assert sample("myriad_series_total", {"status": "ok"}) == 3
        assert sample("myriad_series_total", {"status": "fallback"}) == 2
        assert sample("myriad_series_total", {"status": "insufficient_data"}) == 4
        assert sample("myriad_points_total") == 200
        assert sample("myriad_cache_hits_total") == 4


def test_every_metric_is_named_for_myriad_has_help_and_no_unbounded_label() -> None:
    metrics = [thing for thing in vars(Metrics()).values() if isinstance(thing, MetricWrapperBase)]
    assert len(metrics) > 10
    for metric in metrics:
        (family,) = metric.describe()
        assert family.name.startswith("myriad_")
        assert len(family.documentation) > 5
        assert set(metric._labelnames) <= LABELS
