import numpy as np
import pytest

from myriad.models.host_scores import METRIC_CAP, host_key, slot_means
from myriad.models.key import Series


def test_a_host_is_all_the_metrics_of_any_of_its_series() -> None:
    assert host_key(Series("r", "h", "cpu")) == host_key(Series("r", "h", "mem")) == Series("r", "h", "*")


def test_metrics_measured_at_different_seconds_of_a_step_meet() -> None:
    found = slot_means(np.array([61, 119, 121]), np.array([1.0, 2.0, 4.0]), 60)
    assert found.timestamps.tolist() == [119, 121]
    assert found.scores.tolist() == [1.5, METRIC_CAP]
    assert found.metrics.tolist() == [2, 1]


def test_one_metric_counts_for_no_more_than_three() -> None:
    found = slot_means(np.zeros(4, np.int64), np.array([1e9, 0, 0, 0]), 60)
    assert found.scores.tolist() == [METRIC_CAP / 4]


def test_what_has_no_score_does_not_count() -> None:
    found = slot_means(np.array([0, 0, 60]), np.array([1.0, np.nan, np.nan]), 60)
    assert found.scores == pytest.approx([1.0, np.nan], nan_ok=True)
    assert found.metrics.tolist() == [1, 0]
