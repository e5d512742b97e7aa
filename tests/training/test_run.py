"""Running a job: what is published, what goes on where it stopped, and what leaves everything as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from myriad.models.errors import Gated, HistoryUnusable, InvalidPoints
from myriad.models.key import ANY, Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.serving.predictor import Predictor
from myriad.serving.scoring import Query
from myriad.storage.artifact import views
from myriad.storage.release import Manifest, Releases
from myriad.storage.url import open_store
from myriad.training import records
from myriad.training.fleets.synthetic import DAY, fleet
from myriad.training.job.config import JobFile
from myriad.training.run import Released, count_series, run
from tests.conftest import END

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
    made, (manifest, table, resumed) = whole
    releases = Releases(open_store(made.store))
    assert releases.head().release == manifest.id
    assert {region: len(shards) for region, shards in manifest.regions.items()} == {"eu-west-1": 2, "us-east-1": 2}
    assert sum(artifact.series for artifact in manifest.artifacts) == SERIES
    assert (table.num_rows, resumed) == (2 * SERIES, 0)
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
    manifest, table, _ = run(made, tmp_path / "work")
    assert set(manifest.regions) == {"eu-west-1", "us-east-1", ANY}
    assert sum(artifact.series for artifact in manifest.artifacts) == SERIES + 2 * 4 + 4
    pooled = table.filter(pc.equal(table["host"].cast(pa.string()), ANY))
    assert pooled.num_rows == 2 * (2 * 4 + 4)


def test_a_job_whose_rules_match_nothing_is_an_error(history: Path, tmp_path: Path) -> None:
    nothing = job(history, tmp_path / "store", metrics=[{"match": "disk_*"}])
    with pytest.raises(HistoryUnusable, match="no datapoints of the metrics of this job"):
        run(nothing, tmp_path / "work")
    assert not (tmp_path / "store" / "CURRENT").exists()


def test_a_dry_run_counts_series_by_metric(history: Path, tmp_path: Path) -> None:
    metrics = ["cpu_util", "mem_util", "net_rx_mb", "req_latency_ms"]
    assert count_series(job(history, tmp_path / "store"), tmp_path) == dict.fromkeys(metrics, 2 * HOSTS)


def _rows(table: pa.Table, series: Series, window: str) -> list[dict[str, Any]]:
    wanted = {**series._asdict(), "window": window}
    return [row for row in table.to_pylist() if wanted.items() <= row.items()]
