"""What every format does. A check takes a format and fails where it does something else."""

import copy
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from myriad.formats.base import ROWS, Bounds, Format, Rows, Telemetry
from myriad.formats.columns.cells import COLUMNS, LABELS
from myriad.formats.columns.table import grouped
from myriad.models.errors import InvalidPoints, TooLarge

Check = Callable[[Format], None]
CHECKS: dict[str, Check] = {}
ANY_SIZE = Bounds(points=10**9, series=10**9)
START = 1_764_547_200


def check(function: Check) -> Check:
    """Add a check to those of the contract."""
    CHECKS[function.__name__] = function
    return function


def table(*, series: int = 3, points: int = 5, **columns: list[Any]) -> pa.Table:
    """Rows of a small fleet, a minute apart, of which the third value is missing; with other columns where given."""
    rows = [(i, START + 60 * t, 10.0 * i + t / 8) for t in range(points) for i in range(series)]
    made = {
        "region": ["eu"] * len(rows),
        "host": [f'wéb,"{i}"' for i, _, _ in rows],
        "metric": ["NA"] * len(rows),
        "timestamp": [time for _, time, _ in rows],
        "value": [None if row == 2 else value for row, (_, _, value) in enumerate(rows)],
    }
    return pa.table(made | columns)


def same(found: Telemetry, wanted: Telemetry) -> bool:
    """Whether two requests say the same of the same series."""
    return (
        found.names.series == wanted.names.series
        and np.array_equal(found.points.timestamps, wanted.points.timestamps)
        and np.array_equal(found.points.values, wanted.points.values, equal_nan=True)
        and np.array_equal(found.points.offsets, wanted.points.offsets)
        and {i: str(why) for i, why in found.refused.items()} == {i: str(why) for i, why in wanted.refused.items()}
    )


def telemetry(rows: pa.Table) -> Telemetry:
    """What a format is to make of rows."""
    groups = grouped(rows)
    return Telemetry(groups.grouping.names, groups.points, groups.bad)


@check
def the_same_points_give_the_same_telemetry(kind: Format) -> None:
    rows = table()
    assert same(kind.read(kind.write(rows), ANY_SIZE), telemetry(rows))


@check
def no_rows_are_no_series(kind: Format) -> None:
    found = kind.read(kind.write(table(series=0)), ANY_SIZE)
    assert (len(found.names), len(found.points.values), found.refused) == (0, 0, {})


@check
def dictionaries_of_text_are_written_like_text(kind: Format) -> None:
    rows = table()
    for i, name in enumerate(LABELS):
        rows = rows.set_column(i, name, rows[name].dictionary_encode())
    assert same(kind.read(kind.write(rows), ANY_SIZE), telemetry(table()))


@check
def several_tables_are_written_one_after_the_other(kind: Format) -> None:
    rows, sink = table(), io.BytesIO()
    writer = kind.writer(sink, rows.schema)
    writer.write_table(rows.slice(0, 4))
    writer.write_table(rows.slice(4))
    writer.close()
    assert same(kind.read(sink.getvalue(), ANY_SIZE), telemetry(rows))


@check
def a_bad_series_harms_no_neighbour(kind: Format) -> None:
    good, hosts, times = telemetry(table()), table()["host"].to_pylist(), table()["timestamp"].to_pylist()
    hosts = ["x" * 201 if i % 3 == 1 else host for i, host in enumerate(hosts)]
    times = [-5 if i == 5 else time for i, time in enumerate(times)]
    found = kind.read(kind.write(table(host=hosts, timestamp=times)), ANY_SIZE)
    assert sorted(found.refused) == [1, 2]
    assert found.names[0] == good.names[0]
    assert np.array_equal(found.points.series(0)[1], good.points.series(0)[1])


@check
def text_that_is_no_number_spoils_its_series_alone(kind: Format) -> None:
    values = [f"{i}.5" for i in range(15)]
    found = kind.read(kind.write(table(value=[*values[:13], "many", values[14]])), ANY_SIZE)
    assert list(found.refused) == [1]
    for i in (0, 2):
        assert found.points.series(i)[1].tolist() == [float(value) for value in values[i::3]]


@check
def columns_come_as_asked_for_and_no_others(kind: Format) -> None:
    names = ["value", "host"]
    data = kind.write(table(note=["x"] * 15))
    batches = [rows.batch for rows in kind.batches(pa.BufferReader(data), names)]
    assert all(batch.schema.names == names for batch in batches)
    assert sum(batch.num_rows for batch in batches) == 15


@check
def the_names_of_all_columns_are_told_in_the_order_of_the_file(kind: Format) -> None:
    data = kind.write(table(note=["x"] * 15).select(["note", *reversed(COLUMNS)]))
    assert kind.column_names(pa.BufferReader(data)) == ["note", *reversed(COLUMNS)]
    assert kind.column_names(pa.BufferReader(kind.write(table(series=0)))) == list(COLUMNS)


@check
def a_file_may_be_read_several_times_while_it_is_open(kind: Format) -> None:
    source = pa.BufferReader(kind.write(table()))
    for _ in range(2):
        assert kind.column_names(source) == list(COLUMNS)
        assert sum(rows.batch.num_rows for rows in kind.batches(source, COLUMNS)) == 15
        kind.stated_rows(source)
        kind.latest(source, "timestamp")


@check
def rows_are_numbered_as_people_count(kind: Format) -> None:
    """A line of column names is the first, where there is one."""
    count = 5000
    data = kind.write(table(series=1, points=count, host=["h" * 200] * count))
    parts = kind.batches(pa.BufferReader(data), COLUMNS, rows=1000)
    numbers = [part.number(row) for part in parts for row in range(part.batch.num_rows)]
    assert numbers in (list(range(1, count + 1)), list(range(2, count + 2)))


@check
def a_missing_column_is_named(kind: Format) -> None:
    data = kind.write(table().drop_columns(["metric"]))
    for read in (
        lambda: kind.read(data, ANY_SIZE),
        lambda: list(kind.batches(pa.BufferReader(data), ["value", "metric"])),
    ):
        with pytest.raises(InvalidPoints, match="column 'metric' is missing; the columns are region, host, timestamp"):
            read()


@check
def a_file_of_any_size_is_read_in_batches(kind: Format) -> None:
    rows = 50_000
    data = kind.write(table(series=100, points=rows // 100))
    sizes = [part.batch.num_rows for part in kind.batches(pa.BufferReader(data), COLUMNS, rows=1000)]
    assert sum(sizes) == rows
    assert max(sizes) <= 4000


@check
def points_and_series_beyond_the_bounds_are_refused(kind: Format) -> None:
    data = kind.write(table(series=3, points=5))
    kind.read(data, Bounds(points=15, series=3))
    with pytest.raises(TooLarge, match="15 datapoints; at most 14"):
        kind.read(data, Bounds(points=14, series=3))
    with pytest.raises(TooLarge, match="3 series; at most 2"):
        kind.read(data, Bounds(points=15, series=2))


@check
def no_more_is_decoded_than_the_bounds_allow(kind: Format) -> None:
    """The same row over and over takes a few bits in some formats, and a hundred bytes once decoded."""
    row = table(series=1, points=1, host=["h" * 100], value=[1.0])
    data = kind.write(row.take(pa.array(np.zeros(300_000, np.int64))))
    decoded: list[int] = []

    def counted(*given: Any, **options: Any) -> Iterator[Rows]:
        for rows in batches(*given, **options):
            decoded.append(rows.batch.num_rows)
            yield rows

    batches, counting = kind.batches, copy.copy(kind)
    counting.batches = counted  # type: ignore[method-assign]
    with pytest.raises(TooLarge):
        counting.read(data, Bounds(points=1000, series=10))
    assert sum(decoded) <= 2 * ROWS
    if kind.stated_rows(pa.BufferReader(data)) >= 0:
        assert not decoded


@check
def what_is_not_of_the_format_is_refused(kind: Format) -> None:
    whole = kind.write(table())
    draw = np.random.default_rng(0)
    for data in (b"", b"\xff\xfe,x", b"\x00" * 100, draw.bytes(1000), b'{"a": 1}', whole[: len(whole) // 40]):
        with pytest.raises(InvalidPoints):
            kind.read(data, ANY_SIZE)


@check
def a_part_that_is_not_wanted_may_be_left_out_but_never_one_that_is(kind: Format) -> None:
    data = kind.write(table())

    def rows(wanted: Callable[[int], bool]) -> int:
        source = pa.BufferReader(data)
        parts = kind.batches(source, COLUMNS, time_column="timestamp", wanted=wanted)
        return sum(part.batch.num_rows for part in parts)

    last = START + 4 * 60
    assert kind.latest(pa.BufferReader(data), "timestamp") in (-1, last)
    assert rows(lambda seen: seen < 0 or seen >= last) == 15
    assert rows(lambda seen: seen < 0 or seen > last) in (0, 15)


@check
def what_it_states_of_its_rows_is_true(kind: Format) -> None:
    assert kind.stated_rows(pa.BufferReader(kind.write(table()))) in (-1, 15)


@check
def its_files_end_in_something(kind: Format) -> None:
    assert kind.suffixes
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in kind.suffixes)
