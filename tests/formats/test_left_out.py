"""Left out: rows that cannot be read, counted by reason, and too many of them an error that shows some."""

import json

import pytest

from myriad.formats.left_out import MOST_REASONS, SHOWN, Example, LeftOut
from myriad.models.errors import InvalidPoints
from myriad.models.key import MAX_ECHO


def left_out(*rows: tuple[str, str, int], read: int = 100) -> LeftOut:
    """Of a hundred rows: column, why, and how many."""
    found = LeftOut(read)
    for at, (column, why, count) in enumerate(rows):
        found.add(Example("h.csv", at + 2, column, "'x'", why), count)
    return found


def test_rows_are_counted_by_reason() -> None:
    found = left_out(("value", "is no number", 3), ("timestamp", "is empty", 1), ("value", "is no number", 2))
    assert found.rows == 6
    assert found.reasons == {"value is no number": 5, "timestamp is empty": 1}
    assert found.summary == "value is no number (5); timestamp is empty (1)"


def test_a_row_that_cannot_be_read_at_all_is_counted_as_one() -> None:
    assert left_out(("", "has 2 cells, not 5", 1)).reasons == {"row has 2 cells, not 5": 1}


def test_the_first_rows_are_kept_and_what_stands_there_is_cut() -> None:
    found = LeftOut(100)
    for row in range(2, 100):
        found.add(Example("h.csv", row, "host", "x" * 1000, f"is bad {row}"))
    assert found.rows == 98
    assert [one.row for one in found.first] == list(range(2, 2 + SHOWN))
    assert {len(one.value) for one in found.first} == {MAX_ECHO}


def test_reasons_that_differ_in_every_row_are_counted_together_after_the_first_hundred() -> None:
    found = left_out(*(("host", f"has the character {i}", 2) for i in range(150)), read=400)
    assert found.rows == 300
    assert len(found.reasons) == MOST_REASONS + 1
    assert found.reasons["other reasons"] == 100
    assert found.summary.startswith("other reasons (100); ")


@pytest.mark.parametrize(
    ("example", "text"),
    [
        (Example("h.csv", 1234, "value", "'5%'", "is a per cent"), "h.csv, row 1,234: value '5%' is a per cent"),
        (Example("h.csv", 2, "timestamp", "", "is empty"), "h.csv, row 2: timestamp is empty"),
        (Example("http://p", 0, "host", "'*'", "is reserved"), "http://p: host '*' is reserved"),
        (Example("h.csv", 3, "", "'eu,b'", "has 2 cells"), "h.csv, row 3: 'eu,b' has 2 cells"),
    ],
)
def test_an_example_is_a_sentence(example: Example, text: str) -> None:
    assert str(example) == text


@pytest.mark.parametrize(("rows", "share"), [(0, 0.0), (5, 0.05), (100, 1.0)])
def test_as_many_as_are_allowed_are_no_error(rows: int, share: float) -> None:
    left_out(("value", "is no number", rows)).check(share)


def test_nothing_that_was_read_is_no_error() -> None:
    LeftOut().check(0)


def test_more_than_the_share_that_is_allowed_is_an_error_with_the_reasons_and_some_rows() -> None:
    found = left_out(("value", "is no number", 5), ("timestamp", "is empty", 1), read=1234)
    found.check(0.005)
    with pytest.raises(InvalidPoints) as refused:
        found.check(0.004)
    assert str(refused.value) == (
        "6 of 1,234 rows cannot be read, more than 0.40% (--left-out, or left_out in a job's history, allows another "
        "share): value is no number (5); timestamp is empty (1); the first of them:\n"
        "  h.csv, row 2: value 'x' is no number\n"
        "  h.csv, row 3: timestamp 'x' is empty"
    )


def test_it_is_the_same_after_it_was_json() -> None:
    found = left_out(("value", "is no number", 5), ("", "has 2 cells, not 5", 1), read=1234)
    again = LeftOut.of(json.loads(json.dumps(found.as_dict())), found.read)
    assert again == found
    assert str(again.first[0]) == "h.csv, row 2: value 'x' is no number"
    assert LeftOut.of(LeftOut().as_dict(), 0) == LeftOut()
