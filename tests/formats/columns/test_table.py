from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from myriad.formats.columns.cells import COLUMNS, LABELS
from myriad.formats.columns.table import Grouped, grouped
from myriad.models.errors import InvalidPoints
from myriad.models.key import Series

Encoding = Callable[[list[str | None]], Any]
ENCODINGS: dict[str, Encoding] = {
    "string": lambda names: pa.array(names, pa.string()),
    "large string": lambda names: pa.array(names, pa.large_string()),
    "dictionary": lambda names: pa.array(names, pa.string()).dictionary_encode(),
    "chunks": lambda names: pa.chunked_array([names[:1], names[1:]], pa.string()),
    "chunks with dictionaries of their own": lambda names: pa.chunked_array(
        [pa.array(some, pa.string()).dictionary_encode() for some in (names[:1], names[1:])]
    ),
}


def table(**columns: Any) -> pa.Table:
    """Points of eu/b/cpu at 1 and 3 and of eu/a/cpu at 2, some columns replaced."""
    usual = {
        "region": ["eu", "eu", "eu"],
        "host": ["b", "a", "b"],
        "metric": ["cpu", "cpu", "cpu"],
        "timestamp": [1, 2, 3],
        "value": [10.0, 20.0, 30.0],
    }
    return pa.table({**usual, **columns})


def many(rows: int) -> dict[str, list[Any]]:
    return {"region": ["eu"] * rows, "metric": ["cpu"] * rows, "timestamp": [1] * rows, "value": [1.0] * rows}


def names_of(rows: Grouped) -> list[Series]:
    return [rows.grouping.names[i] for i in range(len(rows.grouping.names))]


def times(unit: str, zone: str | None = "UTC", *seconds: float) -> pa.Array:
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    return pa.array([int(s * factor) for s in seconds], pa.timestamp(unit, zone))


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=list(ENCODINGS))
def test_rows_are_grouped_by_series_in_order_of_their_first(encoding: Encoding) -> None:
    labels = {"region": ["eu", "eu", "eu"], "host": ["b", "a", "b"], "metric": ["cpu", "cpu", "cpu"]}
    rows = grouped(table(**{name: encoding([*names]) for name, names in labels.items()}))
    assert names_of(rows) == [Series("eu", "b", "cpu"), Series("eu", "a", "cpu")]
    assert rows.points.timestamps.tolist() == [1, 3, 2]
    assert rows.points.values.tolist() == [10, 30, 20]
    assert rows.points.offsets.tolist() == [0, 2, 3]
    assert rows.grouping.order.tolist() == [0, 2, 1]


def test_series_that_differ_in_one_label_are_kept_apart() -> None:
    names = [("a", "b", "c"), ("b", "a", "c"), ("a", "c", "b"), ("a", "b", "d"), ("a", "b", "c")]
    region, host, metric = ([*column] for column in zip(*names, strict=True))
    rows = grouped(
        pa.table({"region": region, "host": host, "metric": metric, "timestamp": range(5), "value": range(5)})
    )
    assert names_of(rows) == [Series(*name) for name in names[:4]]
    assert rows.points.lengths.tolist() == [2, 1, 1, 1]


def test_the_rows_of_a_series_stay_in_the_order_of_the_table() -> None:
    host = np.random.default_rng(0).integers(0, 3, 300)
    names = {"region": ["eu"] * 300, "metric": ["cpu"] * 300}
    rows = grouped(pa.table({**names, "host": host.astype(str), "timestamp": [1] * 300, "value": range(300)}))
    for i, one in enumerate(names_of(rows)):
        assert rows.points.series(i)[1].tolist() == np.flatnonzero(host == int(one.host)).tolist()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(InvalidPoints, match=f"column '{name}' is missing; the columns are "):
        grouped(table().drop_columns([name]))


def test_other_columns_do_not_disturb() -> None:
    assert len(names_of(grouped(table(rack=[1, 2, 3])))) == 2


def test_a_table_may_have_no_rows() -> None:
    for empty in (table().slice(0, 0), table().schema.empty_table()):
        rows = grouped(empty)
        assert names_of(rows) == []
        assert len(rows.points) == 0


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_text_or_integers(name: str) -> None:
    assert [one._asdict()[name] for one in names_of(grouped(table(**{name: [7, 8, 7]})))] == ["7", "8"]
    with pytest.raises(InvalidPoints, match=f"column '{name}' is double, not text"):
        grouped(table(**{name: [1.5, 2.5, 3.5]}))


def test_a_bad_key_does_not_disturb_its_neighbours() -> None:
    rows = grouped(table(host=["b", "a\n..", "b"]))
    assert rows.bad.keys() == {1}
    assert r"has the character '\n'" in str(rows.bad[1])
    assert rows.points.lengths.tolist() == [2, 1]


def test_slashes_and_dots_are_characters_like_any() -> None:
    rows = grouped(table(host=["..", "a/b", ".."]))
    assert names_of(rows) == [Series("eu", "..", "cpu"), Series("eu", "a/b", "cpu")]
    assert not rows.bad


def test_bytes_that_are_no_text_spoil_their_series_alone() -> None:
    bad = grouped(table(host=pa.array([b"b", b"\xff", b"b"]))).bad
    assert {i: str(why) for i, why in bad.items()} == {1: "host None is not a string"}


def test_a_dictionary_may_have_the_same_word_twice() -> None:
    rows = grouped(table(host=pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), ["b", "a", "b"])))
    assert names_of(rows) == [Series("eu", "b", "cpu"), Series("eu", "a", "cpu")]


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=list(ENCODINGS))
@pytest.mark.parametrize("name", LABELS)
def test_a_label_that_is_null_is_a_bad_key(name: str, encoding: Encoding) -> None:
    whole = table().column(name).to_pylist()
    bad = grouped(table(**{name: encoding([whole[0], None, whole[2]])})).bad
    assert {i: str(why) for i, why in bad.items()} == {1: f"{name} None is not a string"}


@pytest.mark.parametrize(
    "values", [[1.0, None, 3.0], [1.0, float("nan"), 3.0], [1.0, float("-inf"), 3.0], [1, None, 3]]
)
def test_a_value_that_is_no_number_is_nan(values: list[float | None]) -> None:
    np.testing.assert_array_equal(grouped(table(value=values)).points.values, [1, 3, np.nan])


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint16(), pa.float16(), pa.float32()])
def test_values_may_be_of_any_number_type(kind: pa.DataType) -> None:
    rows = grouped(table(value=pa.array(np.array([1, 2, 3], kind.to_pandas_dtype()), kind)))
    assert rows.points.values.tolist() == [1, 3, 2]
    assert rows.points.values.dtype == np.float64


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.string_view(), pa.large_string()], ids=str)
def test_values_may_be_text(kind: pa.DataType) -> None:
    rows = grouped(table(value=pa.array([b"1", b" 2.5", b"n/a"], pa.binary()).cast(kind)))
    np.testing.assert_array_equal(rows.points.values, [1, np.nan, 2.5])
    assert not rows.bad


def test_values_are_numbers() -> None:
    with pytest.raises(InvalidPoints, match=r"column 'value' is bool, not a number"):
        grouped(table(value=[True, False, True]))


@pytest.mark.parametrize("values", [["1", "many", "3"], [1e150, -1.1e150, -1e150]])
def test_a_value_that_is_none_or_too_large_to_square_spoils_its_series_alone(values: list[object]) -> None:
    bad = grouped(table(value=values)).bad
    assert {i: str(why) for i, why in bad.items()} == {1: "a value is no number, or beyond 1e+150"}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_may_be_of_any_unit(unit: str) -> None:
    rows = grouped(table(timestamp=times(unit, "UTC", 1_767_571_200, 1_767_571_201, 1_767_571_202)))
    assert rows.points.timestamps.tolist() == [1_767_571_200, 1_767_571_202, 1_767_571_201]


def test_a_timestamp_long_ago_is_not_taken_for_milliseconds() -> None:
    assert grouped(table(timestamp=times("ms", "UTC", 1.5, 2.5, 3.5))).points.timestamps.tolist() == [1, 3, 2]


def test_a_time_zone_changes_how_a_time_is_shown_and_not_when_it_is() -> None:
    assert grouped(table(timestamp=times("ms", "Asia/Tokyo", 1, 2, 3))).points.timestamps.tolist() == [1, 3, 2]


def test_timestamps_without_a_time_zone_are_refused() -> None:
    with pytest.raises(InvalidPoints, match="column 'timestamp' has no time zone; make it UTC"):
        grouped(table(timestamp=times("ms", None, 1, 2, 3)))


@pytest.mark.parametrize(
    "column",
    [
        [1_767_571_200_000, 1_767_571_201_000, 1_767_571_202_000],
        [1_767_571_200.0, 1_767_571_201.0, 1_767_571_202.0],
        [datetime.fromtimestamp(1_767_571_200 + i, UTC).isoformat() for i in range(3)],
    ],
    ids=["milliseconds", "floats", "text"],
)
def test_timestamps_may_be_numbers_or_text(column: list[object]) -> None:
    assert grouped(table(timestamp=column)).points.timestamps.tolist() == [1_767_571_200, 1_767_571_202, 1_767_571_201]


@pytest.mark.parametrize(
    "column", [[1, -5, 3], [1, None, 3], ["1970-01-01T00:00:01Z", "soon", "1970-01-01T00:00:03Z"], ["1", "", "3"]]
)
def test_a_timestamp_that_is_none_spoils_its_series_alone(column: list[object]) -> None:
    rows = grouped(table(timestamp=column))
    assert {i: str(why) for i, why in rows.bad.items()} == {1: "a timestamp is not a time between 1970 and 2200"}
    assert rows.points.series(0)[0].tolist() == [1, 3]


def test_dictionaries_may_have_as_many_labels_as_their_codes_can_tell() -> None:
    hosts = pa.DictionaryArray.from_arrays(pa.array(range(128), pa.int8()), [f"h{i}" for i in range(128)])
    rows = grouped(pa.table({**many(128), "host": hosts}))
    assert len(rows.grouping.names) == 128
