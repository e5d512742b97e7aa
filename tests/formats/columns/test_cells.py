"""Cells: what other tools write is read, and what cannot be is null, each cell for itself."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myriad.formats.columns.cells import COLUMNS, LABEL, LABELS, SCHEMA, labels, times, values, why_unreadable
from myriad.models.errors import InvalidPoints
from myriad.models.points import MAX_MAGNITUDE

AT = 1_767_571_200
TEXT = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]
TWICE = "is in an hour that the clocks show twice or not at all"


def texts(given: list[str | None], kind: pa.DataType) -> pa.Array:
    """Text as a column of a type of text or bytes."""
    return pa.array([None if one is None else one.encode() for one in given], pa.binary()).cast(kind)


def numbers(*given: str | None) -> list[float | None]:
    """The values of a column of text."""
    return [*values(pa.array(given, pa.string()), "value").to_pylist()]


def seconds(given: list[Any], kind: pa.DataType, zone: str | None = None) -> list[int | None]:
    """The times of a column."""
    return [*times(pa.array(given, kind), "timestamp", zone).to_pylist()]


def same(found: Sequence[float | None], expected: Sequence[float | None]) -> bool:
    """Whether both have the same numbers, nulls and NaN."""
    return [*map(repr, found)] == [*map(repr, expected)]


def test_the_schema_has_the_columns_in_their_order() -> None:
    assert SCHEMA.names == list(COLUMNS)
    assert COLUMNS[:3] == LABELS


@pytest.mark.parametrize("kind", TEXT, ids=str)
def test_labels_may_be_text_or_bytes_of_any_kind(kind: pa.DataType) -> None:
    for column in (texts(["é", None, "b"], kind), texts(["é", None, "b"], kind)[:2], texts(["x", "b"], kind)[1:]):
        found = labels(column, "host")
        assert found.type == LABEL
        assert found.to_pylist() == column.cast(pa.binary()).cast(pa.string()).to_pylist()


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int64(), pa.uint64()], ids=str)
def test_labels_may_be_integers(kind: pa.DataType) -> None:
    assert labels(pa.array([7, None, 0], kind), "host").to_pylist() == ["7", None, "0"]


def test_the_largest_integer_is_its_digits() -> None:
    assert labels(pa.array([2**64 - 1], pa.uint64()), "host").to_pylist() == [str(2**64 - 1)]


def test_labels_may_be_dictionaries_of_any_kind_with_nulls_anywhere() -> None:
    for words in (pa.array(["a", None], pa.large_string()), pa.array([b"a", None], pa.binary()), pa.array([3, None])):
        for codes in (pa.int8(), pa.uint32(), pa.int64()):
            found = labels(pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0], codes), words), "host")
            assert found.type == LABEL
            assert found.to_pylist() == ["3" if words[0].as_py() == 3 else "a", None, None, found[0].as_py()]


def test_a_column_of_nothing_has_no_labels_times_or_values() -> None:
    assert labels(pa.nulls(2), "host").to_pylist() == [None, None]
    assert times(pa.nulls(2), "timestamp").to_pylist() == [None, None]
    assert same(values(pa.nulls(2), "value").to_pylist(), [np.nan, np.nan])


def test_bytes_that_are_no_text_are_no_label_and_harm_no_other() -> None:
    for column in (pa.array([b"a", b"\xff", b"b", b"a"]), pa.array([b"a", b"\xff", b"b", b"a"]).dictionary_encode()):
        assert labels(column, "host").to_pylist() == ["a", None, "b", "a"]
        assert values(column, "value").to_pylist() == [None] * 4
        assert times(column, "timestamp").to_pylist() == [None] * 4


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True]),
        pa.array([1.5]),
        pa.array([1], pa.timestamp("s", "UTC")),
        pa.array([Decimal(1)]),
    ],
    ids=lambda column: str(column.type),
)
def test_labels_are_neither_fractions_nor_times_nor_truths(column: pa.Array) -> None:
    with pytest.raises(InvalidPoints, match=r"column 'dc' is .*, not text"):
        labels(column, "dc")


@pytest.mark.parametrize("kind", TEXT, ids=str)
def test_values_and_times_may_be_text_or_bytes(kind: pa.DataType) -> None:
    assert same(values(texts(["1.5", None, "x", " 2 ", ""], kind), "v").to_pylist(), [1.5, np.nan, None, 2.0, np.nan])
    assert times(texts([str(AT), None, "x", "2026-01-05T00:00:00Z"], kind), "t").to_pylist() == [AT, None, None, AT]
    encoded = texts(["1.5", None, "x", "1.5"], kind).cast(pa.string()).dictionary_encode()
    assert same(values(encoded, "v").to_pylist(), [1.5, np.nan, None, 1.5])


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.decimal128(10, 3), pa.decimal256(60, 3)],
    ids=str,
)
def test_values_may_be_numbers_of_any_type(kind: pa.DataType) -> None:
    given = [np.float16(1), None, np.float16(2)] if pa.types.is_float16(kind) else [1, None, 2]
    assert same(values(pa.array(given, kind), "v").to_pylist(), [1.0, np.nan, 2.0])


def test_numbers_that_say_there_is_no_value_are_nan_and_what_is_too_large_is_unreadable() -> None:
    column = pa.array([np.nan, np.inf, -np.inf, MAX_MAGNITUDE, -MAX_MAGNITUDE, 1.1 * MAX_MAGNITUDE, 2.0**53])
    found = values(column, "v").to_pylist()
    assert same(found, [np.nan] * 3 + [MAX_MAGNITUDE, -MAX_MAGNITUDE, None, 2.0**53])


@pytest.mark.parametrize(
    "column",
    [pa.array([True]), pa.array([1], pa.timestamp("s")), pa.array([1], pa.duration("s")), pa.array([[1.0]])],
    ids=lambda column: str(column.type),
)
def test_values_are_numbers_or_text(column: pa.Array) -> None:
    with pytest.raises(InvalidPoints, match=r"column 'v' is .*, not a number"):
        values(column, "v")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5.0),
        (" +2.5e1\t", 25.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1E-3", 0.001),
        ("1,003.2", 1003.2),
        ("-1,003,004", -1003004.0),
        ("12,345,678.5", 12345678.5),
        ("9007199254740992", 2.0**53),
        ("1e150", 1e150),
        (repr(1e-308), 1e-308),
    ],
)
def test_text_is_read_as_the_number_it_can_only_be(text: str, number: float) -> None:
    assert numbers(text, "x", text) == [number, None, number]


@pytest.mark.parametrize(
    "word", ["", "  ", "-", "--", "NA", "n/a", "#N/A", "NaN", "-nan", "nil", "None", "NULL", "Inf", "+inf", "-inf"]
)
def test_words_for_nothing_say_that_there_is_no_value(word: str) -> None:
    assert same(numbers(word, "1", f" {word} "), [np.nan, 1.0, np.nan])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("many", "is not a number"),
        ("1 2", "has a unit; write the number alone"),
        ("12ms", "has a unit; write the number alone"),
        ("-3.5 GB", "has a unit; write the number alone"),
        ("5%", "is a per cent; write the number alone"),
        ("99.5 %", "is a per cent; write the number alone"),
        ("1,003.5 %", "is a per cent; write the number alone"),
        ("1,003", "has a comma that may stand for thousands or for the decimal point; write a point"),
        ("0,5", "has a comma that may stand for thousands or for the decimal point; write a point"),
        ("1e151", "is beyond 1e+150"),
        ("-1e999", "is beyond 1e+150"),
        ("9" * 500, "is beyond 1e+150"),
        ("true", "is not a number"),
    ],
)
def test_text_that_is_no_number_says_why(text: str, why: str) -> None:
    assert numbers("1", text) == [1.0, None]
    assert why_unreadable("value", text) == why_unreadable("value", text.encode()) == why


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+05:30"])
def test_times_with_a_zone_are_when_they_are_whatever_their_unit(unit: str, zone: str) -> None:
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    kind = pa.timestamp(unit, zone)
    assert seconds([AT * factor + factor // 2, None, -factor], kind) == [AT, None, None]
    assert seconds([AT * factor], kind, "Asia/Tokyo") == [AT]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_without_a_zone_are_those_of_the_zone_that_is_named(unit: str) -> None:
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    kind = pa.timestamp(unit)
    assert seconds([AT * factor, None], kind) == [None, None]
    assert seconds([AT * factor, None], kind, "UTC") == [AT, None]
    assert seconds([AT * factor], kind, "Europe/Berlin") == [AT - 3600]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_days_begin_at_midnight_of_the_zone_that_is_named(kind: pa.DataType) -> None:
    assert seconds([date(2026, 1, 5), None], kind) == [None, None]
    assert seconds([date(2026, 1, 5), None], kind, "Europe/Berlin") == [AT - 3600, None]


@pytest.mark.parametrize("local", ["2026-03-29 02:30:00", "2026-10-25 02:30:00"])
def test_an_hour_that_clocks_show_twice_or_never_is_no_time(local: str) -> None:
    """In Berlin; the hours around it are, and so is it where an offset says which it is."""
    moment = datetime.fromisoformat(local)
    hours = [moment.replace(hour=hour) for hour in (1, 2, 3)]
    for column in (pa.array(hours, pa.timestamp("us")), pa.array([hour.isoformat(" ") for hour in hours])):
        before, within, after = times(column, "t", "Europe/Berlin").to_pylist()
        assert within is None
        assert after - before == (3600 if moment.month == 3 else 3 * 3600)
        assert times(column, "t", "UTC").null_count == 0
    assert times(pa.array([f"{local}+02:00"]), "t", "Europe/Berlin").null_count == 0
    assert why_unreadable("timestamp", moment, "Europe/Berlin") == TWICE
    assert why_unreadable("timestamp", local, "Europe/Berlin") == TWICE


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.uint64(), pa.float64(), pa.decimal128(25, 4), pa.decimal256(40, 4)], ids=str
)
def test_times_may_be_numbers_of_any_type_and_unit(kind: pa.DataType) -> None:
    for factor in (1, 10**3, 10**6, 10**9):
        assert seconds([float(AT * factor) if pa.types.is_floating(kind) else AT * factor, None], kind) == [AT, None]
    assert seconds([7, 0], kind) == [7, 0]


@pytest.mark.parametrize("column", [pa.array([True]), pa.array([1], pa.time32("s")), pa.array([1], pa.duration("s"))])
def test_times_are_not_truths_or_hours_or_spans(column: pa.Array) -> None:
    with pytest.raises(InvalidPoints, match=r"column 'when' is .*, not a time"):
        times(column, "when")


def test_texts_of_all_kinds_may_stand_in_one_column_of_times() -> None:
    given = [
        str(AT),
        f"{AT}.75",
        str(AT * 1000),
        str(AT * 10**9 + 999_999_999),
        "2026-01-05T00:00:00Z",
        "2026-01-05 00:00:00 UTC",
        "05/Jan/2026:01:00:00 +0100",
        "2026-01-05T01:00:00",
        "soon",
        None,
    ]
    assert seconds(given, pa.string(), "Europe/Berlin") == [AT] * 8 + [None] * 2
    assert seconds(given, pa.string()) == [AT] * 7 + [None] * 3


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (None, "is empty"),
        ("", "is empty"),
        (b"\xff", "is not UTF-8 text"),
        ("soon", "is not RFC 3339 text"),
        (b"soon", "is not RFC 3339 text"),
        (-5, "is not a time between 1970 and 2200"),
        (1e30, "is not a time between 1970 and 2200"),
        (datetime(1969, 1, 1, tzinfo=UTC), "is not a time between 1970 and 2200"),
        ("9999-12-31T00:00:00Z", "is not a time between 1970 and 2200"),
    ],
)
def test_a_cell_that_is_no_time_says_why(cell: object, why: str) -> None:
    assert why_unreadable("timestamp", cell) == why


@pytest.mark.parametrize("cell", ["2026-01-05T00:00:00", datetime(2026, 1, 5), date(2026, 1, 5)])
def test_a_time_without_a_zone_says_how_to_name_one(cell: object) -> None:
    why = why_unreadable("timestamp", cell)
    assert why.startswith("has no offset from UTC; ")
    assert why.endswith("name its time zone: --timezone, or timezone in a job's history")


@given(st.lists(st.none() | st.text(max_size=8) | st.floats().map(str) | st.integers().map(str), max_size=20))
def test_no_text_is_an_error_and_the_same_text_is_read_alike_wherever_it_stands(given: list[str | None]) -> None:
    column = pa.array(given, pa.string())
    for read in (values, times, labels):
        found = read(column, "c").to_pylist()
        assert same(found, [read(column[i : i + 1], "c")[0].as_py() for i in range(len(column))])
        assert same(found, read(column.dictionary_encode(), "c").to_pylist())


@given(st.lists(st.binary(max_size=4), max_size=20))
def test_no_bytes_are_an_error(given: list[bytes]) -> None:
    found = labels(pa.array(given, pa.binary()), "host").to_pylist()
    for data, label in zip(given, found, strict=True):
        assert label == (None if data.decode(errors="ignore").encode() != data else data.decode())


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("-5", "is not a time between 1970 and 2200"),
        (b"99999999999999999999", "is not a time between 1970 and 2200"),
        (b"", "is empty"),
        (b"a\x1a", "is not UTF-8 text"),
        (datetime(1969, 12, 31), "is not a time between 1970 and 2200"),
    ],
)
def test_a_cell_that_is_no_time_says_why_with_a_zone_too(cell: object, why: str) -> None:
    assert why_unreadable("timestamp", cell, "Europe/Berlin") == why


def test_nanoseconds_beside_nothing_keep_all_their_digits() -> None:
    last = 1_767_571_200 * 10**9 + 999_999_999
    assert times(pa.array([last, None]), "t").to_pylist() == [1_767_571_200, None]


def test_times_just_before_1970_are_none() -> None:
    assert times(pa.array([-1, 1], pa.timestamp("ms", "UTC")), "t").to_pylist() == [None, 0]
