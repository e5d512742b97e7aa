import numpy as np
import pytest

from myriad.models.host_scores import METRIC_CAP, host_key, slot_means, with_host
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


def seen(scores: list[float], hosts: list[int], times: list[int] | None = None) -> list[float]:
    """The scores in the light of their hosts, all in a minute where no times are given."""
    steps = np.full(len(scores), 60)
    return with_host(
        np.array(times or [0] * len(scores)), np.array(scores, np.float64), np.array(hosts, np.int64), steps
    ).tolist()


def test_an_odd_metric_counts_for_less_on_a_quiet_host_and_for_more_on_one_in_trouble() -> None:
    assert seen([2, 0, 0, 0, 0], [0] * 5)[0] == pytest.approx((2 * 2 / 5) ** 0.5)
    assert seen([2, 3, 3, 3, 9], [0] * 5)[0] == pytest.approx((2 * (2 + 4 * METRIC_CAP) / 5) ** 0.5)


def test_fewer_than_five_metrics_say_nothing_of_each_other() -> None:
    assert seen([2, 0, 0, 0, np.nan], [0] * 5)[:4] == [2, 0, 0, 0]


def test_only_metrics_of_the_same_host_in_the_same_slot_count() -> None:
    assert seen([2, 0, 0, 0, 0], [0, 0, 0, 0, 1]) == [2, 0, 0, 0, 0]
    assert seen([2, 0, 0, 0, 0], [0] * 5, [0, 0, 0, 0, 60]) == [2, 0, 0, 0, 0]
    assert seen([2, 0, 0, 0, 0], [7] * 5, [0, 10, 20, 30, 59])[0] < 1


def test_without_points_there_is_nothing_to_see() -> None:
    assert seen([], []) == []
