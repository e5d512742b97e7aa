"""Gates: what fails says its figure and its limit."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from myriad.training import gates, records
from myriad.training.run import run
from tests.conftest import END, job_of
from tests.training.tables import RATE, fleet, refusals

ONE_WINDOW = [{"match": "*", "candidates": ["ewma"]}]


def history_table(points: int) -> pa.Table:
    """The telemetry of one series."""
    values = np.random.default_rng(0).normal(10, 1, points)
    labels = {"region": ["r"] * points, "host": ["a"] * points, "metric": ["cpu"] * points}
    return pa.table({**labels, "timestamp": END - 60 * np.arange(points)[::-1], "value": values})


def test_what_keeps_to_its_limits_fails_nothing() -> None:
    limits = {"failed": 0.0, "calibration_factor": 1.5, "bytes": 100}
    assert limits.keys() == gates.GATES.keys()
    assert gates.check(fleet(), RATE, limits) == []
    assert gates.check(fleet(), RATE, {}) == []


def test_a_series_that_lacks_a_model_anywhere_counts_once() -> None:
    table = records.merge([fleet(10), refusals("r/web-0/cpu/1m", "r/web-0/cpu/1h", "r/web-1/cpu/1m")])
    assert gates.refused_series(table) == (2, 40)
    assert gates.check(table, RATE, {"failed": 0.05}) == []
    (failure,) = gates.check(table, RATE, {"failed": 0.04})
    assert failure == "failed: 2 of 40 series (5.00%) lack a model, more than the 4.00% allowed"


def test_the_series_that_lack_a_model_are_told_by_reason_the_most_frequent_first() -> None:
    short = refusals(*(f"r/new-{i}/cpu/{window}" for i in range(5) for window in ("1m", "1h")))
    other = refusals("r/..%2F/cpu/1h", "r/new-0/cpu/1d", why="has no finite value")
    found = gates.reasons(records.merge([fleet(10), short, other]))
    assert [*found] == ["too few points", "has no finite value"]
    assert found["too few points"] == gates.Lacking(5, [f"r/new-{i}/cpu" for i in range(3)])
    assert found["has no finite value"].series == 2
    assert gates.reasons(fleet(10)) == {}


def test_a_fleet_that_was_refused_whole_fails_and_has_no_other_figures() -> None:
    limits = {"failed": 0.5, "calibration_factor": 0, "bytes": 0}
    (failure,) = gates.check(refusals("r/a/cpu/1m"), RATE, limits)
    assert "1 of 1 series (100.00%)" in failure
    assert gates.check(records.merge([]), RATE, limits) == []


def test_the_median_of_realised_rates_is_compared_with_the_target() -> None:
    rates = np.full(80, 3 * RATE)
    rates[:30] = 1.0
    table = fleet(realised_rate=rates)
    assert gates.check(table, RATE, {"calibration_factor": 3.01}) == []
    (failure,) = gates.check(table, RATE, {"calibration_factor": 2})
    assert "3 times the target of 0.001, more than the 2 times allowed" in failure


def test_models_with_too_few_held_out_points_to_tell_do_not_count() -> None:
    few, rates = np.full(80, 30), np.full(80, 0.1)
    few[:10], rates[:10] = 30_000, RATE
    assert gates.calibration_factor(fleet(held_out=few, realised_rate=rates), RATE) == pytest.approx(1)


def test_where_no_model_can_tell_all_points_together_may() -> None:
    rates = np.zeros(80)
    rates[:8] = 0.02
    assert gates.calibration_factor(fleet(held_out=[300] * 80, realised_rate=rates), RATE) == pytest.approx(2)
    assert gates.calibration_factor(fleet(held_out=[30] * 80, realised_rate=rates), RATE) is None
    assert gates.check(fleet(held_out=[30] * 80, realised_rate=rates), RATE, {"calibration_factor": 0.1}) == []


def test_bytes_are_the_mean_of_a_row() -> None:
    sizes = [100] * 79 + [900]
    (failure,) = gates.check(fleet(bytes=sizes), RATE, {"bytes": 109})
    assert failure == "bytes: a model takes 110.0 bytes on average, more than the 109 allowed"


def test_the_gates_table_is_that_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    described = page.partition("| Gate | Limit |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == list(gates.GATES)


def test_points_held_out_by_another_share_count_as_what_they_are(tmp_path: Path) -> None:
    """With a hold-out of 10 % too few points are left to tell, where 30 % of them would be enough."""
    table = history_table(points=3000)
    factors = []
    for share in (0.1, 0.3):
        root = tmp_path / str(share)
        root.mkdir()
        job = job_of(root, table, calibration={"rate": 0.01, "holdout": share}, windows={"1m": 1}, metrics=ONE_WINDOW)
        fitted = run(job, root / "work").records
        assert fitted["held_out"].to_pylist() == [round(3000 * share)]
        factors.append(gates.calibration_factor(fitted, 0.01))
    assert factors[0] is None
    assert factors[1] is not None
