"""Sources: every row of a history once, in the partition of its shard, whatever its files are like."""

import logging
import tracemalloc
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from myriad.formats.columns.cells import COLUMNS, SCHEMA
from myriad.formats.columns.table import grouped
from myriad.models.errors import InvalidPoints, MyriadError, Unavailable
from myriad.models.key import Series, shard_of
from myriad.storage.release import Manifest
from myriad.training import sources
from myriad.training.fleets.synthetic import DAY, fleet
from myriad.training.job.config import History
from myriad.training.sources import Partition, partitions
from tests.conftest import END
from tests.training.promserver import promserver

NOW = float(END)
ROW = {"region": "eu", "host": "a", "metric": "m", "timestamp": END - 60, "value": 1.5}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """A row like `ROW` for each of these differences from it."""
    return pd.DataFrame([ROW | row for row in rows])


def written(path: Path, rows: pd.DataFrame) -> Path:
    """A file of rows, of the kind its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path, index=False)
    return path


def sorted_out(
    tmp_path: Path, *, shards: sources.Shards = 1, rows: int = sources.ROWS, **history: Any
) -> list[Partition]:
    """The partitions of a history."""
    directory = tmp_path / "partitions"
    directory.mkdir()
    return partitions(History(**history), shards, directory, now=NOW, rows=rows)


def read(tmp_path: Path, **history: Any) -> list[dict[str, Any]]:
    """All rows of a history, one region after the other."""
    return [row for one in sorted_out(tmp_path, **history) for row in one.table().to_pylist()]


@pytest.mark.parametrize("name", ["h.csv", "h.parquet", "h.pq"])
def test_a_file_is_read_whatever_its_kind(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, frame({}, {"host": "007", "metric": "NA"}))
    (partition,) = sorted_out(tmp_path, files=(str(path),))
    table = partition.table()
    assert table.schema == SCHEMA
    assert table.to_pylist() == [ROW, ROW | {"host": "007", "metric": "NA"}]
    assert (partition.region, partition.shard, partition.rows, partition.since) == ("eu", 0, 2, 0)


def test_files_are_those_that_match_each_read_once(tmp_path: Path) -> None:
    for name in ("b.csv", "sub/a.parquet", "c.txt"):
        written(tmp_path / name, frame({"host": name}))
    globs = (f"{tmp_path}/*.csv", f"{tmp_path}/**/*.[cp][sa]*", f"{tmp_path}/b.csv")
    assert [row["host"] for row in read(tmp_path, files=globs)] == ["b.csv", "sub/a.parquet"]


def test_columns_may_have_other_names_and_order(tmp_path: Path) -> None:
    names = {"region": "dc", "host": "machine", "value": "v"}
    table = frame({}).rename(columns=names)[["v", "machine", "timestamp", "metric", "dc"]].assign(value="x", host=3)
    for name in ("h.csv", "h.parquet"):
        (tmp_path / name).mkdir()
        path = written(tmp_path / name / name, table)
        assert read(tmp_path / name, files=(str(path),), columns=names) == [ROW]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([END]),
        pa.array([END], pa.uint32()),
        pa.array([END * 1000]),
        pa.array([float(END) + 0.25]),
        pa.array([END * 10**9 + 5], pa.timestamp("ns", "UTC")),
        pa.array([END], pa.timestamp("s", "Europe/Berlin")),
        pa.array(["2026-01-05T00:00:00Z"]),
        pa.array(["2026-01-05T01:00:00.5+01:00"]).dictionary_encode(),
        pa.array([f" {END}"], pa.large_string()),
    ],
)
def test_times_may_be_written_in_many_ways(tmp_path: Path, times: pa.Array) -> None:
    table = pa.Table.from_pandas(frame({})).set_column(3, "timestamp", times)
    pq.write_table(table, tmp_path / "h.parquet")
    (row,) = read(tmp_path, files=(str(tmp_path / "h.parquet"),))
    assert row["timestamp"] == END


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([3], pa.int8()), 3.0),
        (pa.array([True]), None),
        (pa.array([2**60 + 1]), float(2**60)),
        (pa.array(["1.50"]).cast(pa.decimal128(5, 2)), 1.5),
        (pa.array([" +2.5e1 "]), 25.0),
        (pa.nulls(1), None),
    ],
)
def test_values_may_be_written_in_many_ways(tmp_path: Path, values: pa.Array, expected: float | None) -> None:
    pq.write_table(pa.Table.from_pandas(frame({})).set_column(4, "value", values), tmp_path / "h.parquet")
    history: dict[str, Any] = {"files": (str(tmp_path / "h.parquet"),)}
    if pa.types.is_boolean(values.type):
        with pytest.raises(InvalidPoints, match=r"h\.parquet: column 'value' is bool, not a number"):
            read(tmp_path, **history)
    else:
        assert [row["value"] for row in read(tmp_path, **history)] == [expected]


def test_labels_may_be_numbers_and_dictionaries_of_any_kind(tmp_path: Path) -> None:
    hosts = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(["a", "b"], pa.large_string()))
    table = pa.table({"region": [1, 1, 1], "host": hosts, "metric": pa.array([b"m"] * 3, pa.binary()),
                      "timestamp": [END] * 3, "value": [1] * 3})  # fmt: skip
    pq.write_table(table, tmp_path / "h.parquet")
    rows = read(tmp_path, files=(str(tmp_path / "h.parquet"),))
    assert [(row["region"], row["host"]) for row in rows] == [("1", "a"), ("1", "b"), ("1", None)]


BAD = [
    {"timestamp": "yesterday"},
    {"timestamp": "2026-01-05T00:00:00"},
    {"timestamp": ""},
    {"value": "many"},
    {"value": "1e999"},
    {"region": ""},
    {"region": "a/b"},
    {"host": ""},
    {"host": "x" * 300},
    {"metric": ".."},
]


@pytest.mark.parametrize("name", ["h.csv", "h.parquet"])
def test_rows_that_cannot_be_scored_are_left_to_those_who_group_tables(tmp_path: Path, name: str) -> None:
    rows = frame({}, *({"host": f"bad{i}"} | bad for i, bad in enumerate(BAD))).astype({"timestamp": str, "value": str})
    path = written(tmp_path / name, rows)
    tables = [one.table() for one in sorted_out(tmp_path, files=(str(path),))]
    assert sum(table.num_rows for table in tables) == 1 + len(BAD)
    groups = [grouped(table) for table in tables]
    bad = [str(why) for group in groups for why in group.bad.values()]
    assert len(bad) == len([row for row in BAD if "value" not in row])
    unknown = sum(int(np.isnan(group.points.values).sum()) for group in groups)
    assert unknown == 2
    good = [group.grouping.names[i] for group in groups for i in range(len(group.grouping.names)) if i not in group.bad]
    assert Series("eu", "a", "m") in good


def test_regions_that_cannot_be_lie_in_one_partition(tmp_path: Path) -> None:
    path = written(tmp_path / "h.parquet", frame(*({"region": f"a/{i}"} for i in range(50)), {"region": None}))
    (partition,) = sorted_out(tmp_path, files=(str(path),), shards=8)
    assert (partition.region, partition.shard, partition.rows) == ("", 0, 51)


def test_rows_of_a_csv_file_with_too_few_or_many_cells_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "h.csv", frame({}))
    path.write_text(path.read_text() + "eu,b\neu,b,m,1,2,3\n" + "eu,c,m,5,1")
    with caplog.at_level(logging.WARNING):
        assert [row["host"] for row in read(tmp_path, files=(str(path),))] == ["a", "c"]
    assert "h.csv: 2 rows without as many cells" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("h.parquet", b"not parquet", "cannot be read"),
        ("h.parquet", b"", "cannot be read"),
        ("h.csv", b"", "cannot be read"),
        (
            "h.csv",
            b"region,host,metric,timestamp\nr,h,m,1\n",
            "column 'value' is missing; the columns are region, host",
        ),
        ("h.csv", b"value,region,host,metric,timestamp,value\n", "column 'value' is there several times"),
        ("h.csv", b"region,host,metric,timestamp,value\nr,\xff,m,1,1\n", "cannot be read"),
        ("h.json", b"{}", r"h\.json: the name ends in none of \.csv, \.parquet, \.pq"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    written(tmp_path / "a.csv", frame({}))
    with pytest.raises(InvalidPoints, match=why) as refused:
        read(tmp_path, files=(str(tmp_path / "*.csv"), str(tmp_path / name)))
    assert str(tmp_path / name) in str(refused.value)


@pytest.mark.parametrize("history", [{"files": ("no*.csv",)}, {"dataset": "file:///nowhere/at/all"}])
def test_a_history_without_files_is_an_error_that_says_where(tmp_path: Path, history: dict[str, Any]) -> None:
    with pytest.raises(InvalidPoints, match=r"no\*\.csv: there is no|/nowhere/at/all: there are no"):
        read(tmp_path, **history)


def test_a_time_without_a_zone_is_refused_by_its_file(tmp_path: Path) -> None:
    pq.write_table(
        pa.Table.from_pandas(frame({})).set_column(3, "timestamp", pa.array([1], pa.timestamp("s"))), tmp_path / "h.pq"
    )
    with pytest.raises(InvalidPoints, match=r"h\.pq: column 'timestamp' has no time zone"):
        read(tmp_path, files=(str(tmp_path / "h.pq"),))


def test_text_that_is_not_utf_8_is_refused_by_its_file(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, [None, *pa.array([b"\xff"]).buffers()[1:]])
    pq.write_table(pa.Table.from_pandas(frame({})).set_column(1, "host", broken), tmp_path / "h.pq")
    with pytest.raises(InvalidPoints, match=r"h\.pq: column 'host' cannot be read: Invalid UTF8"):
        read(tmp_path, files=(str(tmp_path / "h.pq"),))


def dataset(root: Path) -> Path:
    """Two regions of two days, in directories as Hive has them, and what other tools leave there."""
    for region in ("eu", "u%2Fs", "__HIVE_DEFAULT_PARTITION__"):
        for day in ("2026-01-01", "2026-01-02"):
            written(
                root / f"region={region}" / f"date={day}" / "x.parquet", frame({"host": day}).drop(columns="region")
            )
    written(root / "_temporary" / "0.parquet", frame({"host": "no"}))
    (root / "_SUCCESS").touch()
    (root / ".x.parquet").write_bytes(b"no")
    return root


def test_a_dataset_has_columns_in_the_names_of_its_directories(tmp_path: Path) -> None:
    rows = read(tmp_path, dataset=f"file://{dataset(tmp_path / 'data')}/")
    found = [(row["region"], row["host"]) for row in rows]
    days = ("2026-01-01", "2026-01-02")
    assert sorted(found, key=str) == sorted([(region, day) for region in ("eu", "u/s", None) for day in days], key=str)
    (tmp_path / "hosts").mkdir()
    by_day = read(tmp_path / "hosts", dataset=f"file://{tmp_path}/data", columns={"host": "date"})
    assert {row["host"] for row in by_day} == set(days)


def test_a_dataset_in_s3_is_read_as_one_on_disk_is(tmp_path: Path, bucket: str) -> None:
    root = dataset(tmp_path / "data")
    client = boto3.client("s3")
    for path in root.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), bucket, f"some/where/{path.relative_to(root)}")
    (tmp_path / "local").mkdir()
    expected = read(tmp_path / "local", dataset=f"file://{root}")
    assert read(tmp_path, dataset=f"s3://{bucket}/some/where") == expected


def test_s3_that_refuses_or_has_nothing_is_an_error_that_says_where(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(InvalidPoints, match=f"s3://{bucket}/none: there are no Parquet files"):
        read(tmp_path, dataset=f"s3://{bucket}/none")
    boto3.client("s3").put_object(Bucket=bucket, Key="x/y.parquet", Body=b"PAR1 no PAR1")
    with pytest.raises(MyriadError, match=f"s3://{bucket}/x/y.parquet: cannot be read"):
        partitions(History(dataset=f"s3://{bucket}/x"), 1, tmp_path)


def test_s3_out_of_reach_may_be_tried_again(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match=bucket):
        read(tmp_path, dataset=f"s3://{bucket}/x")


def test_only_the_latest_days_are_kept_and_older_row_groups_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [END - 10 * DAY + i * DAY // 4 for i in range(40)]
    pq.write_table(pa.Table.from_pandas(frame(*({"timestamp": t} for t in times))), tmp_path / "1.pq", row_group_size=4)
    written(tmp_path / "2.csv", frame({"timestamp": END - 20 * DAY}, {"timestamp": None}))
    seen: list[int] = []
    of = sources._Latest.of

    def watched(self: sources._Latest, batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(batch.num_rows)
        return of(self, batch)

    monkeypatch.setattr(sources._Latest, "of", watched)
    rows = read(tmp_path, files=(str(tmp_path / "*"),), days=2)
    assert [row["timestamp"] for row in rows] == [*times[-8:], None]
    assert sum(seen) <= 8 + 4 + 2


def test_a_day_in_the_future_does_not_make_all_others_too_old(tmp_path: Path) -> None:
    for name in ("h.csv", "h.parquet"):
        (tmp_path / name).mkdir()
        path = written(tmp_path / name / name, frame({"timestamp": END + 900 * DAY}, {"timestamp": END}, {}))
        assert len(read(tmp_path / name, files=(str(path),), days=1)) == 3


def test_what_is_earlier_in_a_file_than_the_latest_of_another_is_dropped_at_the_end(tmp_path: Path) -> None:
    written(tmp_path / "1.csv", frame({"timestamp": END - 3 * DAY}))
    written(tmp_path / "2.csv", frame({}))
    assert [row["timestamp"] for row in read(tmp_path, files=(str(tmp_path / "*.csv"),), days=1)] == [END - 60]


def test_a_row_lies_in_the_shard_its_models_will_be_in(tmp_path: Path) -> None:
    table = fleet(end=END, days=1, hosts=9, incidents=0).table(END - DAY, END)
    pq.write_table(table, tmp_path / "h.parquet")
    found = sorted_out(tmp_path, files=(str(tmp_path / "h.parquet"),), shards=4, rows=5000)
    assert sum(one.rows for one in found) == table.num_rows
    assert [(one.region, one.shard) for one in found] == sorted({(one.region, one.shard) for one in found})
    for one in found:
        for host in one.table()["host"].unique().to_pylist():
            series = Series(one.region, host, "any")
            assert shard_of(series.host_hash, 4) == one.shard
            manifest = Manifest(id="", created_at="", windows=(), weights=(), coverage=0, rate=0, adapters={},
                                regions={one.region: tuple(range(4))}, provenance={})  # type: ignore[arg-type]  # fmt: skip
            assert manifest.artifact(one.region, series.host_hash) == one.shard  # type: ignore[comparison-overlap]


def test_shards_may_be_a_function_of_region_and_hosts(tmp_path: Path) -> None:
    path = written(tmp_path / "h.csv", frame({}, {"region": "us"}, {"region": "us", "host": "b"}))

    def shards(region: str, hashes: sources.Hashes) -> Any:
        assert region == "eu" or set(hashes) == {Series("us", host, "").host_hash for host in "ab"}
        return np.full(len(hashes), 7 if region == "us" else 3)

    found = sorted_out(tmp_path, files=(str(path),), shards=shards)
    assert [(one.region, one.shard, one.rows) for one in found] == [("eu", 3, 1), ("us", 7, 2)]


_LABEL = st.sampled_from(["a", "b", "c", "", "d/e", "é"])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(_LABEL, _LABEL, _LABEL, st.integers(0, END), st.floats(-9, 9)), max_size=30), st.integers(1, 9)
)
def test_no_row_is_lost_or_moved_within_its_partition(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], at_once: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("rows")
    pq.write_table(pa.table(dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))) if rows else SCHEMA.empty_table(),
                   tmp_path / "h.parquet", row_group_size=4)  # fmt: skip
    found = [
        one.table().to_pylist()
        for one in sorted_out(tmp_path, files=(f"{tmp_path}/h.parquet",), shards=3, rows=at_once)
    ]
    given = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    for part in found:
        for host in {(row["region"], row["host"]) for row in part}:
            assert [row for row in part if (row["region"], row["host"]) == host] == [
                row for row in given if (row["region"], row["host"]) == host
            ]
    assert sum(map(len, found)) == len(rows)


def test_memory_is_bounded_whatever_the_size_of_a_row_group(tmp_path: Path) -> None:
    """Of a file with a single row group, far more than is kept at once."""
    rows = 3_000_000
    labels = {name: pa.array([name]).dictionary_encode().take(pa.array(np.zeros(rows, int))) for name in COLUMNS[:3]}
    draw = np.random.default_rng(0)
    table = pa.table({**labels, "timestamp": END + np.arange(rows), "value": draw.normal(size=rows)})
    pq.write_table(table, tmp_path / "h.parquet", row_group_size=rows)
    del table, labels
    before = pa.total_allocated_bytes()
    peak = 0
    append = sources._Files.append

    def watched(self: Any, batches: Any) -> None:
        nonlocal peak
        peak = max(peak, pa.total_allocated_bytes() - before)
        append(self, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources._Files, "append", watched)
        tracemalloc.start()
        (partition,) = sorted_out(tmp_path, files=(str(tmp_path / "h.parquet"),), rows=200_000)
        python = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert partition.rows == rows
    assert peak < 40e6
    assert python < 60e6


def test_prometheus_is_asked_for_the_latest_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with promserver() as server:
        server.series = {"up": [({"instance": "a"}, lambda t: "2")]}
        asked = {"url": server.url, "queries": {"m": "up"}, "region": "eu", "step": "1h"}
        (partition,) = sorted_out(tmp_path, prometheus=asked, days=1)
    rows = partition.table().to_pylist()
    assert rows[0] == ROW | {"timestamp": END - DAY, "value": 2.0}
    assert (len(rows), rows[-1]["timestamp"]) == (25, END)
