"""csv: text without types, and clear words about what is none."""

import gzip
import io

import pyarrow as pa
import pytest

from myriad.formats.base import readable
from myriad.formats.columns.table import COLUMNS
from myriad.formats.csv import Csv
from myriad.models.errors import InvalidPoints

HEAD = "region,host,metric,timestamp,value\n"
ROWS = HEAD + "r,1,NA,1764547140,1.5\nr,2,NA,1764547200,2.0\n"


def read(text: str | bytes, *columns: str, **options: object) -> list[dict[str, object]]:
    """The rows of a file."""
    data = text.encode() if isinstance(text, str) else text
    with readable("h.csv"):
        parts = list(Csv().batches(pa.BufferReader(data), columns or None, **options))  # type: ignore[arg-type]
    return [row for part in parts for row in part.to_pylist()]


def test_labels_that_look_like_numbers_or_like_nothing_are_text() -> None:
    assert [(row["host"], row["metric"], row["timestamp"]) for row in read(ROWS)] == [
        ("1", "NA", 1764547140),
        ("2", "NA", 1764547200),
    ]


def test_what_one_row_has_does_not_decide_what_others_may_have() -> None:
    found = read(ROWS + "r,3,NA,yesterday,many\n", *COLUMNS)
    assert [row["value"] for row in found] == ["1.5", "2.0", "many"]


def test_columns_may_be_in_any_order_and_others_are_left_out() -> None:
    (row,) = read("note,value,timestamp,metric,host,region\nx,1,2,m,h,r\n", *COLUMNS)
    assert list(row) == list(COLUMNS)


def test_a_row_of_another_length_is_left_out_where_somebody_is_told() -> None:
    told: list[tuple[int, str]] = []
    found = read(ROWS + "r,4\nr,5,m\n", *COLUMNS, left_out=lambda count, why: told.append((count, why)))
    assert len(found) == 2
    assert told == [(2, "rows without as many cells as there are columns")]


def test_a_row_of_another_length_is_an_error_where_nobody_is() -> None:
    with pytest.raises(InvalidPoints, match=r"h\.csv: cannot be read: .*Expected 5 columns"):
        read(ROWS + "r,4\n")


def test_an_empty_cell_is_null_and_an_empty_text_in_quotes_is_text() -> None:
    assert [row["host"] for row in read(HEAD + 'r,,m,1,1\nr,"",m,1,1\n', *COLUMNS)] == [None, ""]


@pytest.mark.parametrize("data", [b"", b"\xff\xfe,x", gzip.compress(b"region", mtime=0)])
def test_what_is_no_csv_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidPoints, match=r"h\.csv: "):
        read(data, *COLUMNS)


def test_a_column_that_is_there_twice_is_named() -> None:
    with pytest.raises(InvalidPoints, match=r"column 'host' is there several times"):
        read("region,host,host,metric,timestamp,value\nr,a,b,m,1,2\n", *COLUMNS)


def test_dictionaries_are_written_as_text() -> None:
    sink, table = io.BytesIO(), pa.table({"host": pa.array(["a", "a"]).dictionary_encode(), "score": [1.5, None]})
    writer = Csv().writer(sink, table.schema)
    writer.write_table(table)
    writer.close()
    assert sink.getvalue() == b'"host","score"\n"a",1.5\n"a",\n'
