"""Sources: every row of a history once, in the partition of its shard, whatever its files are like."""

import gzip
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from myriad.formats.columns.cells import COLUMNS, SCHEMA
from myriad.formats.left_out import LeftOut
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
    return partitions(History(**history), shards, directory, now=NOW, rows=rows)[0]


def rows_of(partition: Partition) -> list[dict[str, Any]]:
    """Its rows, series after series."""
    names, points = partition.series()
    return [
        {**names[i]._asdict(), "timestamp": timestamp, "value": value}
        for i, timestamp, value in zip(
            points.owner.tolist(), points.timestamps.tolist(), points.values.tolist(), strict=True
        )
    ]


def read(tmp_path: Path, **history: Any) -> list[dict[str, Any]]:
    """All rows of a history, one region after the other."""
    return [row for one in sorted_out(tmp_path, **history) for row in rows_of(one)]


def left_out_of(tmp_path: Path, *paths: Path, share: float = 1.0, **history: Any) -> tuple[list[str], LeftOut]:
    """The hosts of the rows of some files that can be read, and what is told of the others."""
    asked = History(files=tuple(map(str, paths)), left_out=share, **history)
    parts, left_out = partitions(asked, 1, Path(tempfile.mkdtemp(dir=tmp_path)), now=NOW)
    return [row["host"] for one in parts for row in rows_of(one)], left_out


@pytest.mark.parametrize("name", ["h.csv", "h.parquet", "h.pq"])
def test_a_file_is_read_whatever_its_kind(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, frame({}, {"host": "007", "metric": "NA"}))
    (partition,) = sorted_out(tmp_path, files=(str(path),))
    assert rows_of(partition) == [ROW, ROW | {"host": "007", "metric": "NA"}]
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
        (pa.array(["1,003.2"]).dictionary_encode(), 1003.2),
        (pa.nulls(1), np.nan),
        (pa.array(["n/a"]), np.nan),
        (pa.array([np.inf]), np.nan),
    ],
)
def test_values_may_be_written_in_many_ways(tmp_path: Path, values: pa.Array, expected: float | None) -> None:
    pq.write_table(pa.Table.from_pandas(frame({})).set_column(4, "value", values), tmp_path / "h.parquet")
    history: dict[str, Any] = {"files": (str(tmp_path / "h.parquet"),)}
    if pa.types.is_boolean(values.type):
        with pytest.raises(InvalidPoints, match=r"h\.parquet: column 'value' is bool, not a number"):
            read(tmp_path, **history)
    else:
        assert repr([row["value"] for row in read(tmp_path, **history)]) == repr([expected])


def test_labels_may_be_numbers_and_dictionaries_of_any_kind(tmp_path: Path) -> None:
    hosts = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(["a", "b"], pa.large_string()))
    table = pa.table({"region": [1, 1, 1], "host": hosts, "metric": pa.array([b"m"] * 3, pa.binary()),
                      "timestamp": [END] * 3, "value": [1] * 3})  # fmt: skip
    pq.write_table(table, tmp_path / "h.parquet")
    rows = read(tmp_path, files=(str(tmp_path / "h.parquet"),), left_out=0.5)
    assert [(row["region"], row["host"]) for row in rows] == [("1", "a"), ("1", "b")]


BAD = {
    "timestamp is not RFC 3339 text": {"timestamp": "yesterday"},
    "timestamp has no offset from UTC; add Z or +00:00, or name its time zone: --timezone, or timezone in a job's "
    "history": {"timestamp": "2026-01-05T00:00:00"},
    "timestamp is empty": {"timestamp": ""},
    "value is not a number": {"value": "many"},
    "value is beyond 1e+150": {"value": "1e999"},
    "value has a unit; write the number alone": {"value": "5ms"},
    "region is empty": {"region": ""},
    "region is reserved: it stands for every region": {"region": "*"},
    "host has 300 characters; at most 200 are allowed": {"host": "x" * 300},
    "metric has the character '\\x07', which a key cannot have": {"metric": "a\ab"},
    "metric is reserved: it stands for every metric": {"metric": "*"},
}


@pytest.mark.parametrize("name", ["h.csv", "h.parquet"])
def test_rows_that_cannot_be_read_are_left_out_and_told_by_their_reason(tmp_path: Path, name: str) -> None:
    rows = frame({}, *({"host": f"bad{i}"} | bad for i, bad in enumerate(BAD.values())), {"host": "b"})
    path = written(tmp_path / name, rows.astype({"timestamp": str, "value": str}))
    hosts, left_out = left_out_of(tmp_path, path)
    assert hosts == ["a", "b"]
    assert left_out.read == len(BAD) + 2
    assert left_out.reasons == dict.fromkeys(BAD, 1)
    assert {one.file for one in left_out.first} == {str(path)}


def test_more_rows_that_cannot_be_read_than_allowed_are_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "h.csv", frame(*({"value": "x" if i < 6 else "1"} for i in range(100))))
    assert left_out_of(tmp_path, path, share=0.06)[1].rows == 6
    told = rf"6 of 100 rows .* more than 5\.00% .*\n  {path}, row 2: value 'x' is not"
    with pytest.raises(InvalidPoints, match=told):
        left_out_of(tmp_path, path, share=0.05)


def test_the_share_is_of_all_files_together_and_examples_name_theirs(tmp_path: Path) -> None:
    good = written(tmp_path / "a.csv", frame(*({} for _ in range(50))))
    bad = written(tmp_path / "b.parquet", frame({"region": "*"}, {}))
    hosts, left_out = left_out_of(tmp_path, good, bad, share=0.02)
    assert (len(hosts), left_out.read, left_out.rows) == (51, 52, 1)
    assert [str(one) for one in left_out.first] == [f"{bad}, row 1: region '*' is reserved: it stands for every region"]


def test_regions_may_have_any_characters_and_lie_in_partitions_of_their_own(tmp_path: Path) -> None:
    regions = ["..", "/", "a/b", "a\\b", "é"]
    path = written(tmp_path / "h.parquet", frame(*({"region": region} for region in regions), {"region": None}))
    found = sorted_out(tmp_path, files=(str(path),), shards=8, left_out=1)
    assert [(one.region, one.rows) for one in found] == [(region, 1) for region in regions]
    assert all(one.path.parent == tmp_path / "partitions" for one in found)


def test_rows_of_a_csv_file_with_too_few_or_many_cells_are_left_out_and_told(tmp_path: Path) -> None:
    path = written(tmp_path / "h.csv", frame({}))
    path.write_text(path.read_text() + "eu,b\neu,b,m,1,2,3\n" + "eu,c,m,5,1\neu,d,m,5,x")
    hosts, left_out = left_out_of(tmp_path, path)
    assert hosts == ["a", "c"]
    assert (left_out.read, left_out.rows) == (5, 3)
    assert [str(one).removeprefix(f"{path}, ") for one in left_out.first] == [
        "row 3: 'eu,b' has 2 cells, not 5",
        "row 4: 'eu,b,m,1,2,3' has 6 cells, not 5",
        "row 6: value 'x' is not a number",
    ]


@pytest.mark.parametrize(
    ("name", "compressed"),
    [("h.csv.gz", gzip.compress), ("h.csv.zst", zstandard.compress), ("h.tsv", bytes), ("h.csv", gzip.compress)],
)
def test_a_file_may_be_compressed_and_separated_by_anything(tmp_path: Path, name: str, compressed: Any) -> None:
    for delimiter in ",;\t|":
        text = frame({}, {"host": "b"}).to_csv(index=False, sep=delimiter)
        (tmp_path / name).write_bytes(compressed(text.encode()))
        assert left_out_of(tmp_path, tmp_path / name) == (["a", "b"], LeftOut(2))


def test_a_file_may_have_a_column_of_values_for_each_host_or_metric(tmp_path: Path) -> None:
    (tmp_path / "hosts.csv").write_text(f"time,a,b\n{END - 60},1.5,2\n{END},x,\n")
    constants, columns = {"region": "eu", "metric": "m"}, {"timestamp": "time"}
    found, left_out = left_out_of(tmp_path, tmp_path / "hosts.csv", wide="host", constants=constants, columns=columns)
    assert found == ["a", "b", "b"]
    assert (left_out.read, left_out.reasons) == (4, {"value is not a number": 1})
    (tmp_path / "metrics").mkdir()
    path = written(tmp_path / "metrics.parquet", frame({}).rename(columns={"value": "cpu"}).assign(mem=2)
                   .drop(columns="metric"))  # fmt: skip
    rows = read(tmp_path / "metrics", files=(str(path),), wide="metric")
    assert rows == [ROW | {"metric": "cpu"}, ROW | {"metric": "mem", "value": 2.0}]


def test_a_column_that_is_missing_is_named_with_the_flags_that_say_what_it_is_called(tmp_path: Path) -> None:
    path = written(tmp_path / "h.csv", frame({}).drop(columns="region"))
    with pytest.raises(InvalidPoints, match=r"h\.csv: column 'region' is missing; the columns are host, .*--columns"):
        read(tmp_path, files=(str(path),))
    (tmp_path / "named").mkdir()
    assert read(tmp_path / "named", files=(str(path),), constants={"region": "eu"}) == [ROW]


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
        ("h.csv", b"region,host,metric,timestamp,value\nr,\xff,m,1,1\n", "row 2: host .* is not UTF-8 text"),
        ("h.csv", "region,host,metric,timestamp,value\n".encode("utf-16"), "is UTF-16 text; write it as UTF-8"),
        ("h.json", b"{}", r"h\.json: the name ends in none of \.csv, \.csv\.gz, .*, \.parquet, \.pq"),
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


@pytest.mark.parametrize("name", ["h.csv", "h.pq"])
def test_times_without_an_offset_need_a_zone(tmp_path: Path, name: str) -> None:
    """One of two hours in Berlin cannot be told from another."""
    local = pd.to_datetime(["2026-01-05 01:00", "2026-10-25 02:30"])
    path = written(tmp_path / name, frame({}, {"host": "b"}).assign(timestamp=local))
    with pytest.raises(InvalidPoints, match=rf"{name}, row \d: timestamp .* has no offset from UTC; .*--timezone"):
        left_out_of(tmp_path, path, share=0.9)
    hosts, left_out = left_out_of(tmp_path, path, timezone="Europe/Berlin")
    assert hosts == ["a"]
    assert left_out.reasons == {"timestamp is in an hour that the clocks show twice or not at all": 1}
    (tmp_path / "zone").mkdir()
    (row,) = read(tmp_path / "zone", files=(str(path),), timezone="Europe/Berlin", left_out=0.5)
    assert row["timestamp"] == END


def test_text_that_is_not_utf_8_leaves_out_its_row_alone(tmp_path: Path) -> None:
    given = pa.array([b"\xff", b"b"])
    broken = pa.Array.from_buffers(pa.string(), 2, [None, *given.buffers()[1:]])
    pq.write_table(pa.Table.from_pandas(frame({}, {})).set_column(1, "host", broken), tmp_path / "h.pq")
    hosts, left_out = left_out_of(tmp_path, tmp_path / "h.pq")
    assert hosts == ["b"]
    assert left_out.reasons == {"host is not UTF-8 text": 1}


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
    rows = read(tmp_path, dataset=f"file://{dataset(tmp_path / 'data')}/", left_out=0.4)
    days = ("2026-01-01", "2026-01-02")
    assert [(row["region"], row["host"]) for row in rows] == [(region, day) for region in ("eu", "u/s") for day in days]
    (tmp_path / "hosts").mkdir()
    named = {"columns": {"host": "date"}, "left_out": 0.4}
    by_day = read(tmp_path / "hosts", dataset=f"file://{tmp_path}/data", **named)
    assert {row["host"] for row in by_day} == set(days)


def test_a_dataset_in_s3_is_read_as_one_on_disk_is(tmp_path: Path, bucket: str) -> None:
    root = dataset(tmp_path / "data")
    client = boto3.client("s3")
    for path in root.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), bucket, f"some/where/{path.relative_to(root)}")
    (tmp_path / "local").mkdir()
    expected = read(tmp_path / "local", dataset=f"file://{root}", left_out=0.4)
    assert len(expected) == 4
    assert read(tmp_path, dataset=f"s3://{bucket}/some/where", left_out=0.4) == expected


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
    rows = read(tmp_path, files=(str(tmp_path / "*"),), days=2, left_out=0.1)
    assert [row["timestamp"] for row in rows] == times[-8:]
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
        for host in one.series()[0].parts[1]:
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
def test_no_row_is_lost_or_moved_within_its_series(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], at_once: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("rows")
    pq.write_table(pa.table(dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))) if rows else SCHEMA.empty_table(),
                   tmp_path / "h.parquet", row_group_size=4)  # fmt: skip
    history = {"files": (f"{tmp_path}/h.parquet",), "left_out": 1}
    found = [rows_of(one) for one in sorted_out(tmp_path, shards=3, rows=at_once, **history)]
    given = [dict(zip(COLUMNS, row, strict=True)) for row in rows if "" not in row]
    for part in found:
        for series in {(row["region"], row["host"], row["metric"]) for row in part}:
            assert [row for row in part if (row["region"], row["host"], row["metric"]) == series] == [
                row for row in given if (row["region"], row["host"], row["metric"]) == series
            ]
    assert sum(map(len, found)) == len(given)


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
    rows = rows_of(partition)
    assert rows[0] == ROW | {"timestamp": END - DAY, "value": 2.0}
    assert (len(rows), rows[-1]["timestamp"]) == (25, END)


def test_a_dictionary_that_has_a_label_twice_is_read_as_if_it_had_it_once(tmp_path: Path) -> None:
    hosts = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 1]), pa.array(["a", "b", "a"]))
    table = pa.table({name: [value] * 4 for name, value in ROW.items()}).set_column(1, "host", hosts)
    pq.write_table(table, tmp_path / "h.parquet")
    for shards in (1, 8):
        (tmp_path / str(shards)).mkdir()
        parts = sorted_out(tmp_path / str(shards), files=(f"{tmp_path}/h.parquet",), shards=shards)
        assert sorted(row["host"] for one in parts for row in rows_of(one)) == ["a", "a", "b", "b"]
