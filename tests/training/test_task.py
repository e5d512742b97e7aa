"""Tasks: one shard, fitted to what its job says of each metric, maintenance left out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import ArrayLike

from myriad import adapters
from myriad.models.key import Series
from myriad.storage.artifact import views
from myriad.storage.release import Artifact, Releases
from myriad.storage.shard import Shard
from myriad.storage.url import open_store
from myriad.training import task as module
from myriad.training.fleets.synthetic import DAY
from myriad.training.job.config import JobFile
from myriad.training.plan import plan_for
from myriad.training.sources import partitions
from myriad.training.task import ShardResult, Task, fit_shard
from tests.conftest import END, history

BEGUN, ENDED = "2026-01-03T08:00:00Z", "2026-01-03T10:00:00Z"
INSIDE = END - 2 * DAY + 8 * 3600, END - 2 * DAY + 10 * 3600


def table(*names: str, incident: float = 0.0, days: float = 4) -> pa.Table:
    """Noise around a daily rhythm of each series, `incident` higher in the maintenance."""
    times, values = history(days, step=300).series(0)
    values = values + incident * ((times >= INSIDE[0]) & (times < INSIDE[1]))
    parts = [{**Series.parse(name)._asdict(), "timestamp": times, "value": values} for name in names]
    return pa.concat_tables(
        pa.table({field: pa.array(np.broadcast_to(value, len(times))) for field, value in one.items()}) for one in parts
    )


def done(directory: Path, rows: pa.Table, **changed: Any) -> tuple[ShardResult, JobFile]:
    """What became of the only shard of a job over these rows."""
    (directory / "parts").mkdir(parents=True)
    pa.parquet.write_table(rows, directory / "h.parquet")
    given = {"job": "small", "history": {"files": [f"{directory}/h.parquet"]}, "store": f"file://{directory}/store"}
    job = JobFile.model_validate(given | {"windows": {"5m": 1, "1h": 2}} | changed)
    parts, _ = partitions(job.history, 1, directory / "parts")
    return fit_shard(Task(job, "r", 0, 1, tuple(parts), None, (), {})), job


def arrays(job: JobFile, artifact: Artifact | None) -> dict[str, bytes]:
    """All that was fitted, but for when."""
    assert artifact
    there, _ = views("x", Releases(open_store(job.store)).get_artifact(artifact))
    return {name: array.tobytes() for name, array in there.items() if name != "index/fitted_at"}


def test_maintenance_is_left_out_of_what_is_fitted(tmp_path: Path) -> None:
    rule = {"from": BEGUN, "to": ENDED, "host": "a*"}
    times = table("r/a/cpu")["timestamp"].to_numpy()
    usual = pa.array((times < INSIDE[0]) | (times >= INSIDE[1]))
    without, job = done(tmp_path / "without", table("r/a/cpu").filter(usual))
    found, _ = done(tmp_path / "left out", table("r/a/cpu", incident=1000), maintenance=[rule])
    kept, _ = done(tmp_path / "kept", table("r/a/cpu", incident=1000))
    others, _ = done(tmp_path / "other", table("r/b/cpu", incident=1000), maintenance=[rule])
    jobs = {name: job.model_copy(update={"store": f"file://{tmp_path}/{name}/store"}) for name in ("left out", "kept")}
    assert arrays(jobs["left out"], found.artifact) == arrays(job, without.artifact)
    assert arrays(jobs["kept"], kept.artifact) != arrays(job, without.artifact)
    points = [one.records["points"].to_pylist()[0] for one in (found, kept, others)]
    assert points == [len(times) - 24, len(times), len(times)]


def test_each_metric_is_fitted_by_its_rule(tmp_path: Path) -> None:
    rules = [
        {"match": "net_*", "windows": ["1h"], "candidates": ["seasonal"]},
        {"match": "cpu", "candidates": ["ewma", {"adapter": "seasonal", "windows": ["1h"]}]},
    ]
    found, job = done(tmp_path, table("r/a/net_rx", "r/a/cpu", "r/a/mem"), metrics=rules)
    rows = {(row["metric"], row["window"]): row for row in found.records.to_pylist()}
    assert rows.keys() == {("net_rx", "1h"), ("cpu", "5m"), ("cpu", "1h")}
    tried = {key: sorted(json.loads(row["candidates"])) for key, row in rows.items()}
    assert tried == {("net_rx", "1h"): ["seasonal"], ("cpu", "5m"): ["ewma"], ("cpu", "1h"): ["ewma", "seasonal"]}
    assert plan_for(job, "mem") is None
    assert found.adapters[:1] == ("ewma",)


def test_records_name_the_job_and_say_what_became_of_every_series(tmp_path: Path) -> None:
    rows = pa.concat_tables([table("r/a/cpu"), table("r/new/cpu", days=0.05)])
    found, _ = done(tmp_path, rows)
    told = found.records.to_pylist()
    assert {row["job"] for row in told} == {"small"}
    assert {(row["host"], row["refused"] != "") for row in told} == {("a", False), ("new", True)}
    assert all("too few" in row["refused"] for row in told if row["host"] == "new")
    assert found.artifact
    assert found.artifact.series == 1


def test_a_shard_of_nothing_but_refusals_has_no_artifact(tmp_path: Path) -> None:
    found, _ = done(tmp_path, table("r/new/cpu", days=0.05))
    assert (found.artifact, found.adapters) == (None, ())
    assert found.records.num_rows == 2


def with_values(rows: pa.Table, values: ArrayLike) -> pa.Table:
    """The rows with other values."""
    return rows.set_column(rows.column_names.index("value"), "value", pa.array(np.asarray(values, np.float64)))


@pytest.mark.parametrize("values", [np.nan, np.inf, -np.inf])
def test_a_series_without_a_finite_value_is_refused_and_the_others_fitted(tmp_path: Path, values: float) -> None:
    nothing = table("r/b/cpu")
    rows = [table("r/a/cpu"), with_values(nothing, np.full(nothing.num_rows, values)), table("r/c/cpu")]
    found, _ = done(tmp_path, pa.concat_tables(rows))
    refused = [row for row in found.records.to_pylist() if row["refused"]]
    assert [(row["host"], row["window"], row["refused"]) for row in refused] == [("b", None, "has no finite value")]
    assert found.artifact
    assert found.artifact.series == 2


def test_a_shard_without_any_finite_value_has_no_artifact(tmp_path: Path) -> None:
    nothing = table("r/a/cpu", "r/b/cpu")
    found, _ = done(tmp_path, with_values(nothing, np.full(nothing.num_rows, np.nan)))
    assert (found.artifact, found.adapters, found.counters) == (None, (), ())
    assert found.records["refused"].to_pylist() == ["has no finite value"] * 2


def test_names_may_have_slashes_and_dots(tmp_path: Path) -> None:
    names = ("r/%2E%2E/cpu", "r/%2Fdev%2Fsda1/cpu")
    found, job = done(tmp_path, table(*names))
    assert found.artifact
    shard = Shard("x", Releases(open_store(job.store)).get_artifact(found.artifact), adapters.get)
    assert {str(shard.name_of(at)) for at in range(len(shard))} == set(names)


def rates_and_counter(*names: str, restarts: bool = False) -> tuple[pa.Table, pa.Table]:
    """The rate of each series, whole numbers of events every five minutes, and the counter it is of.

    A counter starts at some number, with a point before the first rate, and where it restarts at 0, a third of the way.
    """
    rates, counters = [], []
    for name in names:
        usual = table(name)
        events = np.round(usual["value"].to_numpy() * 300)
        rates.append(with_values(usual, events / 300))
        count = 1e6 + np.cumsum(events)
        if restarts:
            at = len(count) // 3
            count[at:] -= count[at - 1]
        first = usual.slice(0, 1).set_column(3, "timestamp", pa.array([usual["timestamp"][0].as_py() - 300]))
        counters += [with_values(first, [1e6]), with_values(usual, count)]
    return pa.concat_tables(rates), pa.concat_tables(counters)


@pytest.mark.parametrize("restarts", [False, True])
def test_of_a_counter_the_rate_is_fitted_across_its_restarts(tmp_path: Path, restarts: bool) -> None:
    rates, counters = rates_and_counter("r/a/requests_total", restarts=restarts)
    rules = [{"match": "*_total", "rate": True}]
    expected, job = done(tmp_path / "rates", rates)
    found, other = done(tmp_path / "counters", counters, metrics=rules)
    assert arrays(other, found.artifact) == arrays(job, expected.artifact)
    assert found.counters == ()
    raw, raw_job = done(tmp_path / "raw", counters)
    assert arrays(raw_job, raw.artifact) != arrays(job, expected.artifact)


def test_a_counter_has_no_part_in_its_hosts_components(tmp_path: Path) -> None:
    """Its values are served as they are posted, and its history is of rates."""
    gauges = [f"r/a/m{i}" for i in range(5)]
    _, counters = rates_and_counter("r/a/requests_total")
    rules = [{"match": "*_total", "rate": True}, {"match": "*"}]
    result, job = done(tmp_path, pa.concat_tables([table(*gauges), counters]), metrics=rules)
    assert result.artifact
    artifact = Releases(open_store(job.store)).get_artifact(result.artifact)
    shard = Shard("x", artifact, adapters.get)
    assert shard.host is not None
    scale = {str(shard.name_of(i)): float(shard.host[i, 1]) for i in range(len(shard))}
    assert scale["r/a/requests_total"] == 0
    assert min(scale[name] for name in gauges) > 0


def test_series_that_look_like_counters_and_are_not_fitted_as_rates_are_told(tmp_path: Path) -> None:
    _, counters = rates_and_counter("r/a/requests_total", "r/b%2F1/requests_total", "r/a/errors", restarts=True)
    found, _ = done(tmp_path / "all", pa.concat_tables([counters, table("r/a/cpu")]))
    assert sorted(found.counters) == ["r/a/errors", "r/a/requests_total", "r/b%2F1/requests_total"]
    rules = [{"match": "*_total", "rate": True}, {"match": "*"}]
    some, _ = done(tmp_path / "some", counters, metrics=rules)
    assert some.counters == ("r/a/errors",)


def test_a_counter_that_no_rule_matches_is_neither_fitted_nor_told(tmp_path: Path) -> None:
    _, counters = rates_and_counter("r/a/requests_total")
    found, _ = done(tmp_path, counters, metrics=[{"match": "cpu"}])
    assert (found.artifact, found.counters, found.records.num_rows) == (None, (), 0)


def test_the_same_is_fitted_however_many_series_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(*(f"r/{host}/cpu" for host in "abcde"))
    together, job = done(tmp_path / "together", rows)
    monkeypatch.setattr(module, "SERIES_AT_ONCE", 2)
    apart, other = done(tmp_path / "apart", rows)
    assert arrays(job, together.artifact) == arrays(other, apart.artifact)
