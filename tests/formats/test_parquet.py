"""parquet: what the footer states is used before anything is decoded."""

import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet
import pytest

from myriad.formats.base import Bounds
from myriad.formats.parquet import Parquet
from myriad.models.errors import TooLarge
from tests.formats.contract import START, table


def written(rows: pa.Table, **options: object) -> pa.BufferReader:
    """A file of rows."""
    sink = io.BytesIO()
    pyarrow.parquet.write_table(rows, sink, **options)
    return pa.BufferReader(sink.getvalue())


def test_row_groups_that_are_not_wanted_are_not_read() -> None:
    source = written(table(series=1, points=10), row_group_size=2)
    seen: list[int] = []

    def wanted(last: int) -> bool:
        seen.append(last)
        return last > START + 500

    batches = Parquet().batches(source, ["value"], time_column="timestamp", wanted=wanted)
    assert sum(batch.num_rows for batch in batches) == 2
    assert seen == [START + 60 * t for t in (1, 3, 5, 7, 9)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_latest_time_is_known_from_the_footer(unit: str) -> None:
    times = pa.array([datetime.fromtimestamp(START, UTC)] * 3, pa.timestamp(unit, "UTC"))
    assert Parquet().latest(written(table(series=3, points=1, timestamp=times)), "timestamp") == START


def test_a_file_without_statistics_may_be_of_any_time() -> None:
    assert Parquet().latest(written(table(), write_statistics=False), "timestamp") == -1
    assert Parquet().latest(written(table()), "nothing") == -1


def test_a_small_file_that_states_many_rows_is_refused_by_its_footer() -> None:
    rows = pa.concat_tables([table(series=1, points=1, value=[1.0])] * 100_000)
    data = Parquet().write(rows)
    assert len(data) < 20_000
    with pytest.raises(TooLarge, match="100000 datapoints; at most 1000"):
        Parquet().read(data, Bounds(points=1000, series=10))
