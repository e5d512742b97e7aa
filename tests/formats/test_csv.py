"""csv: text without types, however it is separated and compressed, and clear words about what is none."""

import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from myriad.formats.base import readable
from myriad.formats.columns.cells import COLUMNS, NO_TEXT
from myriad.formats.csv import Csv
from myriad.models.errors import InvalidPoints

HEAD = "region,host,metric,timestamp,value\n"
ROWS = HEAD + "r,1,NA,1764547140,1.5\nr,2,NA,1764547200,2.0\n"


def read(text: str | bytes, *columns: str, **options: Any) -> list[dict[str, bytes | None]]:
    """The rows of a file."""
    data = text.encode() if isinstance(text, str) else text
    with readable("h.csv"):
        parts = list(Csv().batches(pa.BufferReader(data), columns or COLUMNS, **options))
    return [row for part in parts for row in part.batch.to_pylist()]


def hosts(text: str | bytes) -> list[bytes | None]:
    """The host of each row."""
    return [row["host"] for row in read(text)]


def test_labels_that_look_like_numbers_or_like_nothing_are_text() -> None:
    assert [(row["host"], row["metric"], row["timestamp"]) for row in read(ROWS)] == [
        (b"1", b"NA", b"1764547140"),
        (b"2", b"NA", b"1764547200"),
    ]


def test_what_one_row_has_does_not_decide_what_others_may_have() -> None:
    found = read(ROWS + "r,3,NA,yesterday,many\n")
    assert [row["value"] for row in found] == [b"1.5", b"2.0", b"many"]


def test_bytes_that_are_no_text_harm_no_other_row() -> None:
    assert hosts(ROWS.encode() + b"r,\xff,m,1,1\nr,3,m,1,\xfe\n") == [b"1", b"2", NO_TEXT.encode(), b"3"]


def test_a_short_row_that_is_no_text_is_left_out_alone() -> None:
    told: list[tuple[int, str, str]] = []
    found = read(ROWS.encode() + b"r,\xff\nr,3,m,1,2\n", skipped=lambda *row: told.append(row))
    assert [row["host"] for row in found] == [b"1", b"2", b"3"]
    assert told == [(4, f"r,{NO_TEXT}", "has 2 cells, not 5")]


def test_characters_of_several_bytes_stay_whole_wherever_they_are_divided() -> None:
    many = "".join(f"r,é€😀{i},m,{i},1\n" for i in range(20_000))
    assert hosts(HEAD + many) == [f"é€😀{i}".encode() for i in range(20_000)]


def test_a_line_of_names_may_be_longer_than_a_block() -> None:
    names = [f"web-{i:05}" for i in range(10_000)]
    wide = f"Time,{','.join(names)}\n1,{','.join('2' for _ in names)}\n"
    assert Csv().column_names(pa.BufferReader(wide.encode())) == ["Time", *names]
    (row,) = read(wide, "Time", names[-1])
    assert row == {"Time": b"1", names[-1]: b"2"}


def test_a_line_of_names_without_an_end_has_no_rows() -> None:
    assert read(HEAD.strip()) == []


def test_cells_may_have_several_lines() -> None:
    noted = "".join(f'"a\nb",r,{i},m,{i},1\n' for i in range(60_000))
    assert len(read("note," + HEAD + noted)) == 60_000


def test_columns_may_be_in_any_order_and_others_are_left_out() -> None:
    (row,) = read("note,value,timestamp,metric,host,region\nx,1,2,m,h,r\n")
    assert list(row.items()) == [*zip(COLUMNS, [b"r", b"h", b"m", b"2", b"1"], strict=True)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_cells_are_separated_by_what_the_line_of_names_has_most_of(delimiter: str) -> None:
    text = ROWS.replace(",", delimiter)
    assert read(text) == read(ROWS)
    assert Csv().column_names(pa.BufferReader(text.encode())) == list(COLUMNS)


def test_what_stands_in_quotes_separates_no_cells() -> None:
    text = f'"a, b, c, and d, e, f, g";{HEAD.replace(",", ";")}x;r;h;m;1;"2;5"\n'
    assert [(row["host"], row["value"]) for row in read(text)] == [(b"h", b"2;5")]


@pytest.mark.parametrize("compressed", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_compressed_file_is_read_as_what_is_in_it(compressed: Any) -> None:
    data = compressed(ROWS.replace(",", "\t").encode())
    assert read(data) == read(ROWS)
    assert Csv().column_names(pa.BufferReader(data)) == list(COLUMNS)


@pytest.mark.parametrize("name", ["h.csv", "h.csv.gz", "h.csv.zst"])
def test_a_file_is_compressed_as_its_name_says(tmp_path: Path, name: str) -> None:
    path, table = tmp_path / name, pa.table({"host": ["a", "b"], "value": [1.5, None]})
    writer = Csv().writer(str(path), table.schema)
    writer.write_table(table)
    writer.close()
    begins = {"h.csv": b'"host"', "h.csv.gz": b"\x1f\x8b", "h.csv.zst": b"\x28\xb5\x2f\xfd"}
    assert path.read_bytes().startswith(begins[name])
    assert read(path.read_bytes(), "host", "value") == [
        {"host": b"a", "value": b"1.5"},
        {"host": b"b", "value": None},
    ]


@pytest.mark.parametrize("compressed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(compressed: Any) -> None:
    assert read(compressed(b"\xef\xbb\xbf" + ROWS.encode())) == read(ROWS)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf_16_is_told_from_what_is_no_csv(encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    with pytest.raises(InvalidPoints, match=r"h\.csv: is UTF-16 text; write it as UTF-8"):
        read((mark + ROWS).encode(encoding))


def test_a_row_of_another_length_is_left_out_where_somebody_is_told() -> None:
    told: list[tuple[int, str, str]] = []
    found = read(ROWS + "r,4\nr,5,m\nr,6,m,1,2\nr,7,m,1,2,3\n", skipped=lambda *row: told.append(row))
    assert [row["host"] for row in found] == [b"1", b"2", b"6"]
    assert told == [
        (4, "r,4", "has 2 cells, not 5"),
        (5, "r,5,m", "has 3 cells, not 5"),
        (7, "r,7,m,1,2,3", "has 6 cells, not 5"),
    ]


def test_a_row_of_another_length_is_an_error_where_nobody_is() -> None:
    with pytest.raises(InvalidPoints, match=r"h\.csv: cannot be read: .*Expected 5 columns"):
        read(ROWS + "r,4\n")


@pytest.mark.parametrize("every", [0, 1, 7, 100])
def test_rows_are_numbered_as_in_the_file_whatever_is_skipped_before_them(every: int) -> None:
    """Every so many rows is one that is skipped, in several blocks; each other row says its number itself."""
    lines = [HEAD.strip(), *(f"r,h,m,0,{number}" for number in range(2, 20_000))]
    lines = [line if not every or at % (every + 1) or not at else "r,short" for at, line in enumerate(lines)]
    told = list[int]()
    parts = Csv().batches(
        pa.BufferReader("\n".join(lines).encode()), ["value"], rows=1, skipped=lambda row, *_: told.append(row)
    )
    found = [
        (part.number(row), int(value))
        for part in parts
        for row, value in enumerate(part.batch.column("value").to_pylist())
    ]
    assert all(number == said for number, said in found)
    assert told == [at + 1 for at, line in enumerate(lines) if line == "r,short"]
    assert len(found) + len(told) == len(lines) - 1


def test_an_empty_cell_is_null_and_an_empty_text_in_quotes_is_text() -> None:
    assert hosts(HEAD + 'r,,m,1,1\nr,"",m,1,1\n') == [None, b""]


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe,x", gzip.compress(b"region", mtime=0), gzip.compress(b"x", mtime=0)[:-4]]
)
def test_what_is_no_csv_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidPoints, match=r"h\.csv: "):
        read(data)


def test_a_column_that_is_there_twice_is_named() -> None:
    with pytest.raises(InvalidPoints, match=r"column 'host' is there several times"):
        read("region,host,host,metric,timestamp,value\nr,a,b,m,1,2\n")


def test_dictionaries_are_written_as_text() -> None:
    sink, table = io.BytesIO(), pa.table({"host": pa.array(["a", "a"]).dictionary_encode(), "score": [1.5, None]})
    writer = Csv().writer(sink, table.schema)
    writer.write_table(table)
    writer.close()
    assert sink.getvalue() == b'"host","score"\n"a",1.5\n"a",\n'
