"""Metrics: their own registry each, bounded labels."""

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from myriad.serving.metrics import Metrics

LABELS = {"route", "status", "kind", "outcome"}


def test_each_metrics_has_a_registry_of_its_own() -> None:
    one, other = Metrics(), Metrics()
    one.points.inc(3)
    assert one.registry.get_sample_value("myriad_points_total") == 3
    assert other.registry.get_sample_value("myriad_points_total") == 0


def test_metrics_are_kept_in_the_registry_they_are_given() -> None:
    registry = CollectorRegistry()
    Metrics(registry).loads.labels("ok").inc()
    assert registry.get_sample_value("myriad_loads_total", {"outcome": "ok"}) == 1


def test_every_metric_is_named_for_myriad_has_help_and_no_unbounded_label() -> None:
    metrics = [thing for thing in vars(Metrics()).values() if isinstance(thing, MetricWrapperBase)]
    assert len(metrics) > 10
    for metric in metrics:
        (family,) = metric.describe()
        assert family.name.startswith("myriad_")
        assert len(family.documentation) > 5
        assert set(metric._labelnames) <= LABELS
