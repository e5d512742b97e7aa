"""parquet: what the footer states is used before anything is decoded."""

import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet
import pytest

from myriad.formats.base import Bounds
from myriad.formats.parquet import Parquet
from myriad.models.errors import InvalidPoints, TooLarge
from tests.formats.contract import START, table


def written(rows: pa.Table, **options: object) -> pa.BufferReader:
    """A file of rows."""
    sink = io.BytesIO()
    pyarrow.parquet.write_table(rows, sink, **options)
    return pa.BufferReader(sink.getvalue())


def test_row_groups_that_are_not_wanted_are_not_read_and_still_counted() -> None:
    source = written(table(series=1, points=10), row_group_size=2)
    seen: list[int] = []

    def wanted(last: int) -> bool:
        seen.append(last)
        return last == START + 60 * 3 or last > START + 500

    parts = list(Parquet().batches(source, ["value"], time_column="timestamp", wanted=wanted))
    assert [part.number(row) for part in parts for row in range(part.batch.num_rows)] == [3, 4, 9, 10]
    assert seen == [START + 60 * t for t in (1, 3, 5, 7, 9)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_latest_time_is_known_from_the_footer(unit: str) -> None:
    times = pa.array([datetime.fromtimestamp(START, UTC)] * 3, pa.timestamp(unit, "UTC"))
    assert Parquet().latest(written(table(series=3, points=1, timestamp=times)), "timestamp") == START


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_the_latest_of_times_that_are_numbers_is_known_too(factor: int) -> None:
    times = [START * factor, (START + 60) * factor, START * factor]
    assert Parquet().latest(written(table(series=3, points=1, timestamp=times)), "timestamp") == START + 60


@pytest.mark.parametrize(
    "times",
    [
        pa.array(["2026-01-05T00:00:00Z"] * 3),
        pa.array([START] * 3, pa.timestamp("s")),
        pa.array([-5] * 3),
    ],
    ids=["text", "without a zone", "before 1970"],
)
def test_a_file_whose_times_have_no_order_may_be_of_any_time(times: pa.Array) -> None:
    assert Parquet().latest(written(table(series=3, points=1, timestamp=times)), "timestamp") == -1


def test_a_file_without_statistics_may_be_of_any_time() -> None:
    assert Parquet().latest(written(table(), write_statistics=False), "timestamp") == -1
    assert Parquet().latest(written(table()), "nothing") == -1


@pytest.mark.parametrize("nested", [[[1.0]] * 3, [{"v": 1.0}] * 3], ids=["list", "struct"])
def test_a_nested_column_is_refused_by_name_and_one_that_is_not_asked_for_does_not_matter(nested: list[object]) -> None:
    source = written(table(series=3, points=1, value=nested))
    with pytest.raises(InvalidPoints, match=r"column 'value' is nested \((list|struct)<.*\); a row can have one value"):
        list(Parquet().batches(source, ["host", "value"]))
    (part,) = Parquet().batches(source, ["host"])
    assert part.batch.num_rows == 3


def test_a_small_file_that_states_many_rows_is_refused_by_its_footer() -> None:
    rows = table(series=1, points=1, value=[1.0]).take(pa.array([0] * 100_000))
    sink = io.BytesIO()
    pyarrow.parquet.write_table(rows, sink)
    data = sink.getvalue()
    assert len(data) < 20_000
    with pytest.raises(TooLarge, match="100000 datapoints; at most 1000"):
        Parquet().read(data, Bounds(points=1000, series=10))
