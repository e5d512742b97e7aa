import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.models import host_components
from myriad.models.host_components import AVERAGED, MOST_COMPONENTS, HostComponents, by_slot
from myriad.models.points import Points

STEP, SLOTS, METRICS = 60, 4000, 6


def telemetry(slots: int = SLOTS, seed: int = 0) -> NDArray[np.float64]:
    """Metrics of a host that follow its load, each in its own unit."""
    rng = np.random.default_rng(seed)
    load = np.sin(np.arange(slots) / 200) + rng.normal(size=slots) / 3
    return np.stack([10.0**m * (5 + load + rng.normal(size=slots) / 20) for m in range(METRICS)], axis=1)


def departures(components: HostComponents, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those of a row a slot."""
    slot, metric = np.indices(values.shape)
    return components.departures(STEP * slot.ravel(), values.ravel(), metric.ravel(), STEP)


@pytest.fixture(scope="module")
def components() -> HostComponents:
    return HostComponents.fit(telemetry(), STEP)


def test_metrics_that_move_together_have_one_component(components: HostComponents) -> None:
    assert components.vectors.shape == (METRICS, 1)
    assert np.abs(components.vectors[:, 0]) == pytest.approx(METRICS**-0.5, rel=0.02)


def test_a_load_that_moves_all_metrics_as_it_always_does_is_no_departure(components: HostComponents) -> None:
    usual, busy = telemetry(500, 1), telemetry(500, 1)
    busy[300:] += 10.0 ** np.arange(METRICS)
    assert departures(components, busy).max() < 2 * departures(components, usual).max()


def test_a_metric_that_leaves_the_others_departs_though_its_value_is_usual(components: HostComponents) -> None:
    usual, odd = telemetry(500, 1), telemetry(500, 1)
    odd[300:, 2] = 2 * 500 - odd[300:, 2]  # mirrored at its center
    before, after = departures(components, odd)[:300], departures(components, odd)[300:320]
    assert before == pytest.approx(departures(components, usual)[:300])
    assert after[AVERAGED:].min() > 3 * before.max()


def test_the_level_follows_a_departure_that_stays(components: HostComponents) -> None:
    odd = telemetry(1500, 1)
    odd[300:, 2] += 400
    found = departures(components, odd)
    assert found[-300:].mean() < found[310:330].mean() / 10


def test_what_follows_does_not_depend_on_how_slots_are_cut_but_for_the_average(components: HostComponents) -> None:
    odd = telemetry(200, 3)
    whole, first = departures(components, odd), departures(components, odd[:120])
    assert whole[:120].tolist() == first.tolist()


def test_a_constant_metric_and_one_without_a_value_have_no_part() -> None:
    values = telemetry()
    values[:, 1], values[: SLOTS // 2, 4] = 7.0, np.nan
    components = HostComponents.fit(values, STEP)
    assert (components.scale > 0).tolist() == [True, False, True, True, True, True]
    later = telemetry(100, 1)
    changed = later.copy()
    changed[:, 1] = 1e300
    assert departures(components, changed).tolist() == departures(components, later).tolist()
    changed[:] = np.nan
    assert departures(components, changed).tolist() == [0.0] * 100


def test_a_wild_value_neither_makes_the_scale_nor_counts_for_more_than_a_bound(components: HostComponents) -> None:
    wild = telemetry()
    wild[7, 0] = 1e300
    assert HostComponents.fit(wild, STEP).scale == pytest.approx(components.scale, rel=0.01)
    assert departures(components, np.full((1, METRICS), 1e300))[0] < 10


def test_there_are_at_most_sixteen_components() -> None:
    values = np.random.default_rng(0).normal(size=(2000, 30))
    assert HostComponents.fit(values, STEP).vectors.shape == (30, MOST_COMPONENTS)


def test_metrics_measured_at_different_seconds_of_a_step_share_a_slot() -> None:
    found = by_slot(Points.of(([60, 125], [0, 1]), ([119, 121, 124], [2, 3, 4]), ([], [])), STEP)
    assert np.array_equal(found, [[0, 2, np.nan], [1, 4, np.nan]], equal_nan=True)


def test_few_points_that_span_many_slots_are_looked_at_in_parts(
    components: HostComponents, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = telemetry(200, 3)
    whole = departures(components, odd)
    monkeypatch.setattr(host_components, "CELLS_AT_ONCE", 7 * METRICS)
    assert departures(components, odd).tolist() == whole.tolist()
