"""Layout: rows of files as other tools write them, and those that cannot be read told one by one."""

import io
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from myriad.formats.base import ROWS, Format, Rows
from myriad.formats.columns.cells import COLUMNS, LABELS, SCHEMA
from myriad.formats.csv import Csv
from myriad.formats.layout import Layout
from myriad.formats.left_out import LeftOut
from myriad.formats.parquet import Parquet
from myriad.models.errors import InvalidPoints

AT = 1_767_571_200
ROW = {"region": "eu", "host": "a", "metric": "m", "timestamp": AT, "value": 1.5}
HEAD = ",".join(COLUMNS)
USUAL = Layout()
TO_THOSE = {"region": "dc", "host": "machine", "metric": "what", "timestamp": "t", "value": "v"}
ZONE = "name its time zone: --timezone, or timezone in a job's history"

Found = tuple[list[dict[str, Any]], LeftOut]


def read(
    kind: Format, data: bytes, layout: Layout = USUAL, given: Mapping[str, str | None] | None = None, rows: int = ROWS
) -> Found:
    """The rows of a file, and what was left out."""
    source, left_out, constants = pa.BufferReader(data), LeftOut(), given or {}
    columns = [*layout.demanded(constants), *layout.values_of(kind.column_names(source), constants)]
    parts = kind.batches(source, columns, rows=rows)
    batches = [batch for part in parts for batch in layout.read("h", part, constants, left_out)]
    assert all(batch.schema == SCHEMA for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()], left_out


def of_csv(*lines: str, head: str = HEAD, layout: Layout = USUAL, **options: Any) -> Found:
    """The rows of a CSV file."""
    return read(Csv(), "\n".join([head, *lines]).encode(), layout, **options)


def of_parquet(layout: Layout = USUAL, *, int96: bool = False, **columns: Any) -> Found:
    """The rows of a Parquet file of rows like `ROW`, some columns replaced; with times as older writers have them."""
    count = len(next(iter(columns.values())))
    table = pa.table({name: [value] * count for name, value in ROW.items()} | columns)
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, use_deprecated_int96_timestamps=int96)
    return read(Parquet(), sink.getvalue(), layout)


def column(found: Found, name: str) -> list[Any]:
    """What the rows have in a column, NaN as None."""
    return [None if row[name] != row[name] else row[name] for row in found[0]]


def told(found: Found) -> list[tuple[int, str, str, str]]:
    """The row, column, value and reason of each of the first rows that were left out."""
    return [(one.row, one.column, one.value, one.why) for one in found[1].first]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)), [1.5, None]),
        (pa.array([Decimal("1.50"), Decimal(10) ** 70], pa.decimal256(76, 2)), [1.5, 1e70]),
        (pa.array(["1.5", "1,003.2"], pa.string()), [1.5, 1003.2]),
        (pa.array(["1.5", "n/a"], pa.string_view()), [1.5, None]),
        (pa.array([b"1.5", b" 2 "], pa.large_binary()), [1.5, 2.0]),
        (pa.array([2**53, 2**64 - 1], pa.uint64()), [2.0**53, 2.0**64]),
        (pa.array(np.array([1.5, np.inf], np.float16)), [1.5, None]),
    ],
    ids=lambda given: str(given.type) if isinstance(given, pa.Array) else "",
)
def test_values_in_parquet_may_be_numbers_or_text_of_any_type(values: pa.Array, expected: list[float | None]) -> None:
    found = of_parquet(value=values)
    assert column(found, "value") == expected
    assert found[1].rows == 0


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([7, 8]), ["7", "8"]),
        (pa.array([2**64 - 1, 0], pa.uint64()), [str(2**64 - 1), "0"]),
        (pa.array([b"a", "é".encode()]), ["a", "é"]),
        (pa.array([b"ab", b"cd"], pa.binary(2)), ["ab", "cd"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array(["a", "b"], pa.large_string()).dictionary_encode(), ["a", "b"]),
        (pa.array(["a/b", ".."]), ["a/b", ".."]),
    ],
    ids=lambda given: str(given.type) if isinstance(given, pa.Array) else "",
)
def test_labels_in_parquet_may_be_text_bytes_or_integers(name: str, labels: pa.Array, expected: list[str]) -> None:
    found = of_parquet(**{name: labels})
    assert column(found, name) == expected
    assert found[1].rows == 0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_in_parquet_are_when_their_zone_says_or_the_one_that_is_named(unit: str, zone: str | None) -> None:
    times = pa.array([AT], pa.timestamp("s")).cast(pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    found = of_parquet(timestamp=times)
    assert column(found, "timestamp") == ([AT] if zone else [])
    named = of_parquet(Layout(timezone="Europe/Berlin"), timestamp=times)
    assert column(named, "timestamp") == [AT if zone else AT - 3600]
    if zone is None:
        assert told(found) == [(1, "timestamp", "2026-01-05 00:00:00", f"has no offset from UTC; {ZONE}")]


def test_the_times_of_older_writers_of_parquet_have_no_zone() -> None:
    times = pa.array([AT * 10**9, None], pa.timestamp("ns"))
    assert of_parquet(int96=True, timestamp=times)[0] == []
    found = of_parquet(Layout(timezone="Europe/Berlin"), int96=True, timestamp=times)
    assert column(found, "timestamp") == [AT - 3600]
    assert told(found) == [(2, "timestamp", "", "is empty")]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_days_in_parquet_need_a_zone(kind: pa.DataType) -> None:
    days = pa.array([date(2026, 1, 5)], kind)
    assert told(of_parquet(timestamp=days)) == [(1, "timestamp", "2026-01-05", f"has no offset from UTC; {ZONE}")]
    assert column(of_parquet(Layout(timezone="Europe/Berlin"), timestamp=days), "timestamp") == [AT - 3600]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_nested_column_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidPoints, match=rf"column '{name}' is nested \(list<.*>\); a row can have one value"):
        of_parquet(USUAL, int96=False, **{name: [["x"]]})


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("value", pa.array([True]), "column 'v' is bool, not a number"),
        ("host", pa.array([1.5]), "column 'machine' is double, not text"),
        ("timestamp", pa.array([True]), "column 't' is bool, not a time"),
    ],
)
def test_a_column_of_a_type_it_cannot_be_is_named_as_the_file_has_it(name: str, given: pa.Array, why: str) -> None:
    columns = {TO_THOSE[label]: [value] for label, value in ROW.items()} | {TO_THOSE[name]: given}
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), sink)
    with pytest.raises(InvalidPoints, match=f"^{why}$"):
        read(Parquet(), sink.getvalue(), Layout(TO_THOSE))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"timestamp": "soon"}, ("timestamp", "'soon'", "is not RFC 3339 text")),
        ({"timestamp": ""}, ("timestamp", "", "is empty")),
        ({"timestamp": "2200-01-02T00:00:00Z"}, ("timestamp", "'2200-01-02T00:00:00Z'",
                                                 "is not a time between 1970 and 2200")),
        ({"timestamp": "2026-01-05 00:00"}, ("timestamp", "'2026-01-05 00:00'",
                                             f"has no offset from UTC; add Z or +00:00, or {ZONE}")),
        ({"value": "5 %"}, ("value", "'5 %'", "is a per cent; write the number alone")),
        ({"value": "12ms"}, ("value", "'12ms'", "has a unit; write the number alone")),
        ({"value": '"1,003"'}, ("value", "'1,003'", "has a comma that may stand for thousands or for the decimal "
                                                    "point; write a point")),
        ({"value": "many"}, ("value", "'many'", "is not a number")),
        ({"value": "1e200"}, ("value", "'1e200'", "is beyond 1e+150")),
        ({"region": ""}, ("region", "", "is empty")),
        ({"host": '""'}, ("host", "''", "is empty")),
        ({"host": "*"}, ("host", "'*'", "is reserved: it stands for every host")),
        ({"region": "*"}, ("region", "'*'", "is reserved: it stands for every region")),
        ({"metric": "*"}, ("metric", "'*'", "is reserved: it stands for every metric")),
        ({"metric": "a\x7fb"}, ("metric", r"'a\x7fb'", r"has the character '\x7f', which a key cannot have")),
        ({"host": "x" * 201}, ("host", "'" + "x" * 99, "has 201 characters; at most 200 are allowed")),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_left_out_and_told_with_its_reason(
    changed: dict[str, str], expected: tuple[str, str, str]
) -> None:
    good = ",".join(map(str, ROW.values()))
    bad = ",".join((({name: str(value) for name, value in ROW.items()}) | changed).values())
    found = of_csv(good, bad, good)
    assert found[0] == [ROW, ROW]
    assert told(found) == [(3, *expected)]
    assert (found[1].read, found[1].rows) == (3, 1)
    assert found[1].reasons == {f"{expected[0]} {expected[2]}": 1}


def test_the_same_cell_is_one_example_however_often_it_is_there() -> None:
    lines = [f"eu,a,m,{AT},{value}" for value in ("1", "5%", "5%", "6%", "x", "5%")]
    found = of_csv(*lines)
    assert found[1].reasons == {"value is a per cent; write the number alone": 4, "value is not a number": 1}
    assert sorted(told(found)) == [
        (3, "value", "'5%'", "is a per cent; write the number alone"),
        (5, "value", "'6%'", "is a per cent; write the number alone"),
        (6, "value", "'x'", "is not a number"),
    ]


def test_a_row_with_several_cells_that_cannot_be_read_is_counted_once() -> None:
    found = of_csv(",*,m,soon,many", f"eu,*,m,{AT},many", f"eu,a,m,{AT},many")
    assert found[1].rows == 3
    assert [(row, name) for row, name, _, _ in told(found)] == [(2, "region"), (3, "host"), (4, "value")]


def test_bytes_that_are_no_text_in_one_cell_leave_out_its_row_alone() -> None:
    data = f"{HEAD}\neu,a,m,{AT},1.5\n".encode() + b"eu,\xff,m,1,1\n" + f"eu,a,m,{AT},1.5\n".encode()
    found = read(Csv(), data)
    assert found[0] == [ROW, ROW]
    assert [(row, name, why) for row, name, _, why in told(found)] == [(3, "host", "is not UTF-8 text")]


def test_words_for_nothing_are_values_that_are_not_there() -> None:
    found = of_csv(*(f"eu,a,m,{AT},{word}" for word in ("", "-", "NA", "#N/A", "NaN", "null", "None", "+Inf", '""')))
    assert column(found, "value") == [None] * 9
    assert found[1].rows == 0


def test_a_fraction_may_come_after_ever_so_many_whole_numbers() -> None:
    """Also ones no float64 has all digits of: what a column is like so far decides nothing."""
    lines = [f"eu,a,m,{AT},{2**53}"] * 5000
    found = of_csv(*lines, f"eu,a,m,{AT},5.5", f"eu,a,m,{AT},x", rows=1)
    assert column(found, "value") == [2.0**53] * 5000 + [5.5]
    assert told(found) == [(5003, "value", "'x'", "is not a number")]


def test_labels_that_look_like_numbers_or_like_nothing_are_text() -> None:
    assert of_csv(f"1e3,007,NA,{AT},1")[0] == [ROW | {"region": "1e3", "host": "007", "metric": "NA", "value": 1.0}]


def test_columns_may_be_called_something_else() -> None:
    found = of_csv(f"1.5,x,{AT},m,a,eu", head="v,value,t,what,machine,dc", layout=Layout(TO_THOSE))
    assert found[0] == [ROW]


def test_one_column_may_be_two_labels() -> None:
    found, _ = of_csv("a,m,5,1", head="host,metric,timestamp,value", layout=Layout(columns={"region": "host"}))
    assert [(row["region"], row["host"]) for row in found] == [("a", "a")]


def test_labels_that_are_the_same_in_every_row_need_no_column() -> None:
    layout = Layout(constants={"region": "eu", "metric": "m"})
    assert layout.demanded({}) == ["host", "timestamp", "value"]
    assert of_csv(f"a,{AT},1.5", f"a,{AT},1.5", head="host,timestamp,value", layout=layout)[0] == [ROW, ROW]


def test_what_a_files_directories_say_of_its_rows_is_read_as_if_it_were_a_column() -> None:
    """A directory without a label leaves out all its rows."""
    given = {"region": "eu", "day": "2026-01-05"}
    assert of_csv(f"a,m,{AT},1.5", head="host,metric,timestamp,value", given=given)[0] == [ROW]
    layout = Layout({"host": "day", "region": "dc"})
    found = of_csv(f"eu,m,{AT},1.5", head="dc,metric,timestamp,value", layout=layout, given=given)
    assert found[0] == [ROW | {"host": "2026-01-05"}]
    nowhere = of_csv(f"a,m,{AT},1.5", head="host,metric,timestamp,value", given={"region": None})
    assert nowhere[0] == []
    assert told(nowhere) == [(2, "region", "", "is empty")]


def test_a_file_may_have_a_column_for_each_host() -> None:
    layout = Layout({"timestamp": "t"}, {"region": "eu", "metric": "m"}, "host")
    found = of_csv(f"{AT},1.5,", f"{AT + 60},many,2", head="t,web-1,web/2", layout=layout)
    assert [(row["host"], row["timestamp"], row["metric"]) for row in found[0]] == [
        ("web-1", AT, "m"),
        ("web/2", AT, "m"),
        ("web/2", AT + 60, "m"),
    ]
    assert column(found, "value") == [1.5, None, 2.0]
    assert told(found) == [(3, "value", "'many'", "is not a number")]
    assert found[1].read == 4


def test_a_file_may_have_a_column_for_each_metric() -> None:
    layout = Layout(wide="metric")
    found = of_csv(f"eu,a,{AT},1,2", f"eu,b,{AT},3,4", head="region,host,timestamp,cpu,mem", layout=layout)
    assert [(row["host"], row["metric"], row["value"]) for row in found[0]] == [
        ("a", "cpu", 1.0),
        ("b", "cpu", 3.0),
        ("a", "mem", 2.0),
        ("b", "mem", 4.0),
    ]
    assert found[1].rows == 0


def test_a_column_of_a_wide_file_whose_name_telemetry_cannot_have_is_left_out() -> None:
    found = of_csv(f"eu,a,{AT},1,2", head="region,host,timestamp,*,mem", layout=Layout(wide="metric"))
    assert column(found, "metric") == ["mem"]
    assert told(found) == [(2, "metric", "'*'", "is reserved: it stands for every metric")]


def test_columns_of_a_wide_parquet_file_may_each_be_of_a_type_of_their_own() -> None:
    table = pa.table({"timestamp": [AT, AT], "a": ["1", "x"], "b": [2, None], "c": pa.array([3.5, 4.5], pa.float32())})
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    found = read(Parquet(), sink.getvalue(), Layout({}, {"region": "eu", "metric": "m"}, "host"))
    assert [*zip(column(found, "host"), column(found, "value"), strict=True)] == [
        ("a", 1.0), ("b", 2.0), ("b", None), ("c", 3.5), ("c", 4.5),
    ]  # fmt: skip
    assert told(found) == [(2, "value", "'x'", "is not a number")]


def test_times_without_an_offset_are_local_and_others_when_they_say() -> None:
    lines = [
        f"eu,a,m,{time},1" for time in ("2026-01-05T01:00:00", "2026-01-05 00:00:00Z", str(AT), "2026-10-25 02:30")
    ]
    found = of_csv(*lines, layout=Layout(timezone="Europe/Berlin"))
    assert column(found, "timestamp") == [AT] * 3
    assert told(found) == [
        (5, "timestamp", "'2026-10-25 02:30'", "is in an hour that the clocks show twice or not at all")
    ]


def test_rows_that_were_skipped_before_are_counted_in_the_numbers_of_others() -> None:
    batch = pa.RecordBatch.from_pydict({name: [value] * 3 for name, value in ROW.items()})
    batch = batch.set_column(4, "value", pa.array(["1", "x", "y"]))
    left_out = LeftOut()
    (found,) = Layout().read("h", Rows(batch, 10, (11, 12)), {}, left_out)
    assert found.num_rows == 1
    assert [one.row for one in left_out.first] == [13, 14]


@pytest.mark.parametrize("kind", [Csv(), Parquet()], ids=["csv", "parquet"])
def test_a_file_without_rows_has_none(kind: Format) -> None:
    assert read(kind, kind.write(SCHEMA.empty_table())) == ([], LeftOut())
