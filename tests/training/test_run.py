"""Running a job: what is published, what goes on where it stopped, and what leaves everything as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import ArrayLike, NDArray

from myriad.models.errors import Gated, HistoryUnusable, InvalidJob, InvalidPoints
from myriad.models.key import ANY, Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.serving.predictor import Predictor
from myriad.storage.artifact import views
from myriad.storage.release import Manifest, Releases
from myriad.storage.url import open_store
from myriad.training import records
from myriad.training.fleets.synthetic import DAY, fleet
from myriad.training.job.config import JobFile
from myriad.training.run import Released, run, survey
from tests.conftest import END
from tests.conftest import history as telemetry

DAYS, HOSTS = 6, 6
SERIES = 2 * HOSTS * 4
NEW = "web-000"
"""A host of the second region with a day of history, at ten times the level of the others."""


class Stopped(Exception):
    """What ends a job in the middle."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days of six hosts in each of two regions, a point every five minutes."""
    table = fleet(end=END, days=DAYS, hosts=HOSTS, incidents=0).table(END - DAYS * DAY, END)
    table = table.filter(
        pc.equal(pc.subtract(table["timestamp"], pc.multiply(pc.divide(table["timestamp"], 300), 300)), 0)
    )
    path = tmp_path_factory.mktemp("history") / "h.parquet"
    pq.write_table(table, path)
    return path


@pytest.fixture(scope="module")
def with_a_new_host(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, where one host is new."""
    table = pq.read_table(history)
    new = pc.and_(pc.equal(table["host"], NEW), pc.equal(table["region"], "eu-west-1"))
    value = pc.if_else(new, pc.multiply(table["value"], 10.0), table["value"])
    table = table.set_column(table.column_names.index("value"), "value", value)
    path = tmp_path_factory.mktemp("new") / "h.parquet"
    pq.write_table(table.filter(pc.or_(pc.invert(new), pc.greater_equal(table["timestamp"], END - DAY))), path)
    return path


def job(history: Path, store: Path, **changed: Any) -> JobFile:
    """A job over a file that publishes to a directory."""
    given = {
        "job": "small",
        "history": {"files": [str(history)]},
        "windows": {"5m": 1, "1h": 2},
        "metrics": [{"match": "*", "candidates": ["seasonal"]}],
        "store": f"file://{store}",
        "shards": 2,
        "workers": 1,
    }
    return JobFile.model_validate(given | changed)


def interrupted(job: JobFile, directory: Path, shards: int) -> None:
    """Carry a job out until so many shards are done."""
    calls = 0

    def stop(_done: int, _of: int) -> None:
        nonlocal calls
        calls += 1
        if calls > shards:
            raise Stopped

    with pytest.raises(Stopped):
        run(job, directory, progress=stop)


def contents(job: JobFile, manifest: Manifest) -> dict[tuple[str, int], dict[str, bytes]]:
    """All that a release has, but for when it was fitted."""
    releases, found = Releases(open_store(job.store)), {}
    for region, shards in manifest.regions.items():
        for at, artifact in enumerate(shards):
            there, _ = views("x", releases.get_artifact(artifact)) if artifact else ({}, {})
            found[region, at] = {name: a.tobytes() for name, a in there.items() if name != "index/fitted_at"}
    return found


def told(released: Released) -> list[dict[str, Any]]:
    """The records, but for how long it took."""
    return released.records.drop_columns(["fit_seconds"]).to_pylist()


@pytest.fixture(scope="module")
def whole(history: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[JobFile, Released]:
    """A job and the release it made without a break."""
    directory = tmp_path_factory.mktemp("whole")
    made = job(history, directory / "store")
    return made, run(made, directory / "work")


def test_a_job_publishes_all_series_in_the_shards_it_says_with_a_record_of_each_model(
    whole: tuple[JobFile, Released],
) -> None:
    made, released = whole
    manifest, table = released.manifest, released.records
    releases = Releases(open_store(made.store))
    assert releases.head().release == manifest.id
    assert {region: len(shards) for region, shards in manifest.regions.items()} == {"eu-west-1": 2, "us-east-1": 2}
    assert sum(artifact.series for artifact in manifest.artifacts) == SERIES
    assert (table.num_rows, released.resumed) == (2 * SERIES, 0)
    assert (released.left_out.rows, released.left_out.read) == (0, SERIES * DAYS * 288)
    assert released.counters == []
    assert manifest.rates == {}
    assert records.read(releases, manifest.id).equals(table)
    assert manifest.provenance["job"] == "small"
    assert manifest.provenance["adapters"] == "seasonal"


def test_what_it_kept_meanwhile_is_gone_afterwards(whole: tuple[JobFile, Released]) -> None:
    assert list((Path(whole[0].store.removeprefix("file://")).parent / "work").iterdir()) == []


def test_progress_is_told_in_rows(history: Path, tmp_path: Path) -> None:
    steps = list[tuple[int, int]]()
    run(job(history, tmp_path / "store"), tmp_path / "work", progress=lambda done, of: steps.append((done, of)))
    assert {of for _, of in steps} == {SERIES * DAYS * 288}
    assert steps[0][0] == 0
    assert sum(done for done, _ in steps) == SERIES * DAYS * 288


@pytest.mark.parametrize("shards", [1, 3])
def test_an_interrupted_job_goes_on_and_makes_what_it_would_have_made(
    history: Path, tmp_path: Path, whole: tuple[JobFile, Released], shards: int
) -> None:
    made = job(history, tmp_path / "store")
    interrupted(made, tmp_path / "work", shards)
    assert Releases(open_store(made.store)).head_or_none() is None
    steps = list[int]()
    again = run(made, tmp_path / "work", progress=lambda done, _of: steps.append(done))
    assert again.resumed == shards
    assert steps[0] > 0
    assert contents(made, again.manifest) == contents(whole[0], whole[1].manifest)
    assert told(again) == told(whole[1])


def test_a_shard_that_was_pruned_since_the_interruption_is_fitted_again(
    history: Path, tmp_path: Path, whole: tuple[JobFile, Released]
) -> None:
    made = job(history, tmp_path / "store")
    interrupted(made, tmp_path / "work", 2)
    store = open_store(made.store)
    store.delete(next(iter(store.list("artifacts/"))).name)
    again = run(made, tmp_path / "work")
    assert again.resumed == 1
    assert contents(made, again.manifest) == contents(whole[0], whole[1].manifest)


def test_a_job_that_was_changed_starts_from_nothing(history: Path, tmp_path: Path) -> None:
    interrupted(job(history, tmp_path / "store"), tmp_path / "work", 1)
    assert run(job(history, tmp_path / "store", coverage=0.4), tmp_path / "work").resumed == 0


def test_a_gate_that_fails_leaves_the_current_release_alone(history: Path, tmp_path: Path) -> None:
    before = run(job(history, tmp_path / "store"), tmp_path / "work").manifest
    gated = job(history, tmp_path / "store", gates={"bytes": 100, "failed": 0.5})
    with pytest.raises(Gated, match=r"^bytes: a model takes 474\.0 bytes on average, more than the 100 allowed$"):
        run(gated, tmp_path / "work")
    releases = Releases(open_store(gated.store))
    assert releases.head().release == before.id
    assert [manifest.id for manifest in releases.list()] == [before.id]
    assert [stored.name for stored in releases.store.list("records/")] == [f"records/{before.id}.parquet"]


def test_gates_that_hold_are_passed(history: Path, tmp_path: Path) -> None:
    gates = {"bytes": 474, "failed": 0, "calibration_factor": 5}
    run(job(history, tmp_path / "store", gates=gates), tmp_path / "work")


def test_an_update_keeps_the_other_series_and_their_records(history: Path, tmp_path: Path) -> None:
    before = run(job(history, tmp_path / "store"), tmp_path / "work")
    one = tmp_path / "one.parquet"
    table = pq.read_table(history)
    pq.write_table(table.filter(pc.equal(table["host"], "web-001")), one)
    some = job(one, tmp_path / "store", shards=5, metrics=[{"match": "cpu*", "candidates": ["ewma"]}])
    after = run(some, tmp_path / "work", update=True)
    assert sum(artifact.series for artifact in after.manifest.artifacts) == SERIES
    assert [len(shards) for shards in after.manifest.regions.values()] == [2, 2]
    adapters = {(row["host"], row["metric"]): row["adapter"] for row in after.records.to_pylist()}
    assert {key for key, adapter in adapters.items() if adapter == "ewma"} == {("web-001", "cpu_util")}
    assert after.records.num_rows == before.records.num_rows
    other = job(one, tmp_path / "store", windows={"5m": 1, "2h": 2})
    with pytest.raises(InvalidPoints, match="cannot be combined"):
        run(other, tmp_path / "work", update=True)


def test_a_short_history_is_filled_up_from_its_regions_and_scored_at_its_own_level(
    with_a_new_host: Path, tmp_path: Path
) -> None:
    filled = job(with_a_new_host, tmp_path / "filled", fallback=["region"])
    alone = job(with_a_new_host, tmp_path / "alone")
    series = Series("eu-west-1", NEW, "mem_util")
    table = pq.read_table(with_a_new_host, filters=[*zip(Series._fields, ["="] * 3, series, strict=True)])
    points = Points.of((table["timestamp"].to_numpy()[-36:], table["value"].to_numpy()[-36:]))
    level = float(np.median(table["value"].to_numpy()))
    expected_by = []
    for made in (filled, alone):
        released = run(made, tmp_path / "work")
        predictor = Predictor.open(open_store(made.store))
        scores = predictor.score(Query(Names.of([series]), points))
        predictor.close()
        assert scores.expected[0][-1] == pytest.approx(level, rel=0.2)
        assert np.nanmax(scores.score) < 1
        (row,) = _rows(released.records, series, "1h")
        assert (row["history_from"], row["points"]) == (END - DAY, 288)
        expected_by.append(scores.expected[0])
    assert not np.allclose(expected_by[0], expected_by[1])


def test_fallback_models_stand_for_regions_and_for_everything(history: Path, tmp_path: Path) -> None:
    made = job(history, tmp_path / "store", fallback=["region", "global"])
    released = run(made, tmp_path / "work")
    manifest, table = released.manifest, released.records
    assert set(manifest.regions) == {"eu-west-1", "us-east-1", ANY}
    assert sum(artifact.series for artifact in manifest.artifacts) == SERIES + 2 * 4 + 4
    pooled = table.filter(pc.equal(table["host"].cast(pa.string()), ANY))
    assert pooled.num_rows == 2 * (2 * 4 + 4)


def test_a_job_whose_rules_match_nothing_is_an_error(history: Path, tmp_path: Path) -> None:
    nothing = job(history, tmp_path / "store", metrics=[{"match": "disk_*"}])
    with pytest.raises(HistoryUnusable, match="nothing can be fitted: no metric of the history matches a rule"):
        run(nothing, tmp_path / "work")
    assert not (tmp_path / "store" / "CURRENT").exists()


def test_a_job_that_can_fit_nothing_says_why_of_each_kind_of_series(tmp_path: Path) -> None:
    rows = [("nothing", END - 300 * i, None) for i in range(100)] + [("new", END - 300 * i, 1.0) for i in range(3)]
    path = odd_file(tmp_path, *rows)
    with pytest.raises(HistoryUnusable) as refused:
        run(job(path, tmp_path / "store"), tmp_path / "work")
    assert "has no finite value (1 series, as eu/nothing/cpu)" in str(refused.value)
    assert "(1 series, as eu/new/cpu)" in str(refused.value)


def odd_file(directory: Path, *rows: tuple[str, object, object]) -> Path:
    """A CSV file of the hosts, times and values of a region's one metric."""
    lines = [f"eu,{host},cpu,{time},{'' if value is None else value}" for host, time, value in rows]
    path = directory / "odd.csv"
    path.write_text("\n".join(["region,host,metric,timestamp,value", *lines]))
    return path


def odd_rows() -> list[tuple[str, object, object]]:
    """A day and a half of a good series, one without a finite value, a few rows, and 3 of 904 that cannot be read."""
    draw = np.random.default_rng(0)
    good: list[tuple[str, object, object]] = [("good", END - 300 * i, draw.normal(100, 5)) for i in range(500)]
    counter = [("counter", END - 300 * i, 1000 - i) for i in range(300)]
    return [*good, *counter, *(("none", END - 300 * i, "NaN") for i in range(100)), ("new", END, 1), ("*", END, 1),
            ("a", "soon", 1), ("a", END, "5%")]  # fmt: skip


def test_series_and_rows_that_cannot_be_used_do_not_end_a_job_and_are_told(tmp_path: Path) -> None:
    released = run(job(odd_file(tmp_path, *odd_rows()), tmp_path / "store"), tmp_path / "work")
    assert released.left_out.rows == 3
    assert (released.left_out.read, len(released.left_out.first)) == (904, 3)
    assert released.counters == ["eu/counter/cpu"]
    assert sum(artifact.series for artifact in released.manifest.artifacts) == 2
    refused = {row["host"]: row["refused"] for row in released.records.to_pylist() if row["refused"]}
    assert refused.keys() == {"none", "new"}
    assert refused["none"] == "has no finite value"


def test_too_many_rows_that_cannot_be_read_end_a_job_before_anything_is_fitted(tmp_path: Path) -> None:
    strict = job(odd_file(tmp_path, *odd_rows()), tmp_path / "store")
    strict = strict.model_copy(update={"history": strict.history.model_copy(update={"left_out": 0.003})})
    with pytest.raises(InvalidPoints, match=r"3 of 904 rows cannot be read, more than 0\.30%"):
        run(strict, tmp_path / "work")
    assert not (tmp_path / "store").exists()


def test_a_job_that_goes_on_still_tells_what_was_left_out_and_what_looks_like_a_counter(tmp_path: Path) -> None:
    made = job(odd_file(tmp_path, *odd_rows()), tmp_path / "store")
    whole = run(job(odd_file(tmp_path, *odd_rows()), tmp_path / "other"), tmp_path / "work")
    interrupted(made, tmp_path / "work", 1)
    again = run(made, tmp_path / "work")
    assert again.resumed == 1
    assert (again.left_out, again.counters) == (whole.left_out, whole.counters)


def test_a_survey_counts_what_would_be_fitted_and_why_the_rest_would_not(tmp_path: Path) -> None:
    made = job(odd_file(tmp_path, *odd_rows()), tmp_path / "store")
    (tmp_path / "parts").mkdir()
    found = survey(made, tmp_path / "parts")
    assert found.metrics == {"cpu": 2}
    assert found.refused == {"has no finite value": 1, "fewer than 20 held-out points to calibrate on": 1}
    assert (found.left_out.rows, found.counters) == (3, ["eu/counter/cpu"])
    assert not (tmp_path / "store").exists()


def test_a_survey_counts_series_by_metric(history: Path, tmp_path: Path) -> None:
    metrics = ["cpu_util", "mem_util", "net_rx_mb", "req_latency_ms"]
    found = survey(job(history, tmp_path / "store"), tmp_path)
    assert found.metrics == dict.fromkeys(metrics, 2 * HOSTS)
    assert (found.refused, found.counters, found.left_out.rows) == ({}, [], 0)


def test_a_release_says_which_metrics_are_counters_and_no_update_changes_that(tmp_path: Path) -> None:
    path = odd_file(tmp_path, *odd_rows())
    rules = [{"match": "cpu", "rate": True, "candidates": ["ewma"]}, {"match": "*", "candidates": ["ewma"]}]
    made = job(path, tmp_path / "store", metrics=rules)
    released = run(made, tmp_path / "work")
    assert released.counters == []
    assert released.manifest.rates == {"cpu": True, "*": False}
    assert [released.manifest.is_counter(metric) for metric in ("cpu", "mem")] == [True, False]
    assert run(made, tmp_path / "work", update=True).manifest.rates == {"cpu": True, "*": False}
    with pytest.raises(InvalidJob, match=r"has other counters \(rate: true\); what is kept of it cannot stay"):
        run(job(path, tmp_path / "store", metrics=rules[1:]), tmp_path / "work", update=True)


@pytest.mark.parametrize("adapter", ["rhythm", "seasonal", "ewma", "mad", "blend"])
def test_one_wild_sample_among_many_leaves_an_outage_far_above_1(tmp_path: Path, adapter: str) -> None:
    """Of 2^64, as of a counter that overflowed once; the scores are those that there are without it."""
    draw = np.random.default_rng(0)
    times, usual = END - 300 * np.arange(20_000)[::-1], draw.normal(100, 0.1, 20_000)
    wild = usual.copy()
    wild[13_000] = 2.0**64
    after, outage = END + 300 * np.arange(1, 50), draw.normal(100, 0.1, 49)
    outage[-1] = 0
    found = []
    for name, values in (("usual", usual), ("wild", wild)):
        path, rule = one_series(tmp_path / f"{name}.parquet", times, values), {"match": "*", "candidates": [adapter]}
        made = job(path, tmp_path / name, windows={"5m": 1}, metrics=[rule])
        run(made, tmp_path / "work")
        found.append(scores_of(made, after, outage))
    assert found[1][-1] > 10
    assert np.nanmax(found[1][:-1]) < 2
    np.testing.assert_allclose(found[1], found[0], rtol=0.02)


def test_counters_are_scored_as_rates_across_their_restarts(tmp_path: Path) -> None:
    """As the same rates are that are no counters; ten points count nothing."""
    times, values = telemetry(4.5, step=300, until=END + DAY // 2).series(0)
    events = np.round(values * 300)
    after = int(np.sum(times < END))
    events[after + 100 : after + 110] = 0
    count = np.cumsum(events)
    count[after + 60 :] -= count[after + 59]
    found = []
    for name, first, given in (("rate", 1, events / 300), ("counter", 0, count)):
        path = one_series(tmp_path / f"{name}.parquet", times[first:after], given[first:after])
        rule = {"match": "x", "rate": name == "counter", "candidates": ["seasonal"]}
        made = job(path, tmp_path / name, metrics=[rule])
        run(made, tmp_path / "work")
        found.append(scores_of(made, times[after - 1 + first :], given[after - 1 + first :]))
    rates, counters = found[0], found[1][1:]
    np.testing.assert_array_equal(counters, rates)
    assert np.isnan(found[1][0])
    assert np.nanmin(counters[100:110]) > 1 > np.nanmax(counters[:100])


def one_series(path: Path, times: ArrayLike, values: ArrayLike) -> Path:
    """A file of one series, x/x/x."""
    labels = {name: pa.array(["x"] * np.size(times)) for name in Series._fields}
    pq.write_table(pa.table({**labels, "timestamp": times, "value": values}), path)
    return path


def scores_of(made: JobFile, times: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """The scores of that series by what a job has fitted."""
    predictor = Predictor.open(open_store(made.store))
    scores = predictor.score(Query(Names.of([Series("x", "x", "x")]), Points.of((times, values)))).score
    predictor.close()
    return scores


def _rows(table: pa.Table, series: Series, window: str) -> list[dict[str, Any]]:
    wanted = {**series._asdict(), "window": window}
    return [row for row in table.to_pylist() if wanted.items() <= row.items()]
