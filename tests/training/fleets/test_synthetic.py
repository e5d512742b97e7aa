"""Synthetic telemetry: from a seed, with incidents where it says."""

import numpy as np

from myriad.training.fleets.synthetic import DAY, METRICS, REGIONS, fleet
from tests.conftest import END


def test_the_same_seed_gives_the_same_fleet_and_another_another() -> None:
    one, same, other = (fleet(end=END, days=2, hosts=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.values, same.values)
    assert one.incidents == same.incidents
    assert not np.array_equal(one.values, other.values)


def test_a_fleet_has_every_metric_of_every_host_every_minute() -> None:
    made = fleet(end=END, days=2, hosts=3, incidents=0)
    assert len(set(made.series)) == len(made.series) == len(REGIONS) * 3 * len(METRICS)
    assert made.values.shape == (len(made.series), 2 * 24 * 60)
    assert (made.timestamps[0], made.timestamps[-1]) == (END - 2 * DAY, END - 60)
    assert (made.values >= 0).all()
    assert np.isfinite(made.values).all()


def test_incidents_change_their_hour_of_the_last_day_and_nothing_else() -> None:
    incidents = fleet(end=END, days=2, hosts=2, incidents=3)
    assert len(incidents.incidents) == 3
    untouched = np.ones(incidents.values.shape, bool)
    calm = fleet(end=END, days=2, hosts=2, incidents=0)
    for incident in incidents.incidents:
        assert END - DAY <= incident.start < incident.end <= END
        assert incident.end - incident.start == 3600
        row = incidents.series.index(incident.series)
        hour = (incidents.timestamps >= incident.start) & (incidents.timestamps < incident.end)
        untouched[row, hour] = False
        risen = (incidents.values - calm.values)[row, hour]
        assert risen[20:].min() > 5 * METRICS[incident.series.metric][2]
    np.testing.assert_array_equal(incidents.values[untouched], calm.values[untouched])


def test_a_table_has_the_rows_of_its_time() -> None:
    made = fleet(end=END, days=2, hosts=1, incidents=0)
    table = made.table(END - 600, END - 300)
    assert table.num_rows == len(made.series) * 5
    assert set(table["timestamp"].to_pylist()) == set(range(END - 600, END - 300, 60))
    last = {name: table[name].to_pylist()[-1] for name in ("region", "host", "metric")}
    assert tuple(last.values()) == made.series[-1]
    assert table["value"].to_pylist()[-1] == made.values[-1, -6]
