"""Tables: which rows become points of a query, and that each gets its own point's score back."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from myriad.formats.bodies.tables import TableQuery, answer_table, table_query
from myriad.formats.columns.table import grouping_of, labels_of
from myriad.models.errors import InvalidPoints
from myriad.models.windows import Window
from myriad.serving.predictor import Predictor
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from tests.training.small import fitted, released

ROWS: list[dict[str, Any]] = [
    {"host": "b", "timestamp": 120, "value": 4.0},
    {"host": "a", "timestamp": 180, "value": 1.0},
    {"host": "a", "timestamp": 60, "value": 2.0},
    {"host": "a\nb", "timestamp": 60, "value": 9.0},
    {"host": "b", "timestamp": 120, "value": 5.0},
    {"host": "b", "timestamp": 60, "value": None},
]
"""Rows in no order: two of the same series and timestamp, one of a bad name, one without a value."""


def table(rows: list[dict[str, Any]] = ROWS) -> pa.Table:
    """Rows of region `r` and metric `cpu` as a table."""
    return pa.Table.from_pylist([{"region": "r", "metric": "cpu", **row} for row in rows])


def query_of(of: pa.Table) -> TableQuery:
    """The query of a table, at all windows."""
    return table_query(of, None, "weighted", grouping_of(labels_of(of)))


def test_rows_become_points_in_order_of_series_and_time_the_last_of_duplicates() -> None:
    query = query_of(table())
    assert [series.host for series in query.query.names.series] == ["b", "a"]
    assert query.query.points.timestamps.tolist() == [120, 60, 180]
    assert query.query.points.values.tolist() == [5, 2, 1]


def test_each_scorable_row_is_mapped_to_its_point() -> None:
    query = query_of(table())
    assert dict(zip(query.rows.tolist(), query.points.tolist(), strict=True)) == {0: 0, 4: 0, 2: 1, 1: 2}
    assert (query.good.tolist(), list(query.bad)) == ([0, 1], [2])


def test_the_answer_has_the_tables_rows_with_nan_where_there_is_no_score() -> None:
    releases = Releases(MemoryStore())
    released(releases, fitted("r/a/cpu", "r/b/cpu"))
    query = query_of(table())
    scores = Predictor.open(releases.store).score(query.query)
    answer = answer_table(query, scores)
    assert answer.column_names == ["score", "1m", "5m", "expected_1m", "expected_5m", "status"]
    assert answer["status"].to_pylist() == ["ok", "ok", "ok", "bad_series", "ok", "ok"]
    expected = [scores.score[0], scores.score[2], scores.score[1], np.nan, scores.score[0], np.nan]
    np.testing.assert_array_equal(answer["score"].to_numpy(), expected)
    assert np.isfinite(scores.score).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"value": ["4", "1", "2", "9", "many", "5"]},
        {"value": [4.0, 1.0, 2.0, 9.0, 1e200, 5.0]},
        {"timestamp": [120, 180, 60, 60, -1, 60]},
        {"timestamp": ["120", "180", "60", "60", "soon", "60"]},
        {"timestamp": [120, 180, 60, 60, None, 60]},
    ],
    ids=["text", "too large", "before 1970", "no time", "null"],
)
def test_a_cell_that_cannot_be_read_fails_its_series_alone(changed: dict[str, list[Any]]) -> None:
    rows = table()
    for name, column in changed.items():
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(column))
    query = query_of(rows)
    assert [series.host for series in query.query.names.series] == ["a"]
    assert (query.good.tolist(), sorted(query.bad)) == ([1], [0, 2])
    assert query.query.points.values.tolist() == [2, 1]


def test_values_that_are_text_are_the_numbers_they_are() -> None:
    texts = table().set_column(table().column_names.index("value"), "value", pa.array(["4", "1", "2", "9", " 5.0", ""]))
    assert query_of(texts).query.points.values.tolist() == query_of(table()).query.points.values.tolist()


def test_labels_that_are_numbers_are_their_text() -> None:
    numbers = table().set_column(table().column_names.index("host"), "host", pa.array([7, 8, 8, 9, 7, 7]))
    assert [series.host for series in query_of(numbers).query.names.series] == ["7", "8", "9"]


def test_means_aggregated_already_are_the_values_of_their_windows() -> None:
    rows = [
        {"host": "a", "timestamp": 120, "1m": 3.0, "15m": None},
        {"host": "a", "timestamp": 60, "1m": 1.0, "15m": 2.0},
        {"host": "a", "timestamp": 180, "1m": None, "15m": None},
    ]
    query = query_of(table(rows))
    assert query.query.values is not None
    assert query.query.points.timestamps.tolist() == [60, 120]
    np.testing.assert_array_equal(query.query.values[Window(60)], [1, 3])
    np.testing.assert_array_equal(query.query.values[Window(900)], [2, np.nan])


def test_a_table_with_neither_values_nor_means_is_refused() -> None:
    with pytest.raises(InvalidPoints, match="value"):
        query_of(table([{"host": "a", "timestamp": 60}]))
