import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad.formats.columns.timestamps import (
    LATEST,
    MICROSECONDS_FROM,
    MILLISECONDS_FROM,
    NANOSECONDS_FROM,
    epoch_seconds,
    seconds_of,
    seconds_of_text,
    time_zone,
    why_none,
)
from myriad.models.errors import InvalidPoints

AT = 1_767_571_200
TWICE = "is in an hour that the clocks show twice or not at all"


@pytest.mark.parametrize(
    "written",
    [
        AT,
        AT * 1000,
        AT + 0.9,
        AT * 1000 + 999,
        AT * 10**6,
        AT * 10**6 + 999_999,
        AT * 10**9,
        AT * 10**9 + 999_999_999,
        "2026-01-05T00:00:00Z",
        "2026-01-05T00:00:00.999+00:00",
        "2026-01-05T05:30:00+05:30",
        "2026-01-04 19:00:00-05:00",
        "2026-01-05t00:00:00z",
        "2026-01-05T00:00:00.123456789Z",
        "2026-01-05 00:00:00 UTC",
        "2026-01-05 00:00:00.5 utc",
        "2026-01-05T00:00:00GMT",
        "2026-01-05 01:00:00 +0100",
        " 2026-01-05T00:00:00Z ",
        "2026-01-04T23:59:60Z",
        "2026-01-04 18:59:60-05:00",
        "05/Jan/2026:00:00:00 +0000",
        "[05/Jan/2026:05:30:00 +0530]",
    ],
)
def test_a_time_may_be_a_number_of_any_unit_or_text_of_several_kinds(written: float | str) -> None:
    assert epoch_seconds([written]).tolist() == [AT]


def test_every_time_of_a_list_is_read_for_itself() -> None:
    given = [AT, AT * 1000 + 1000, "2026-01-05T00:00:02Z", (AT + 3) * 10**9, (AT + 4) * 10**6, 7]
    assert epoch_seconds(given).tolist() == [*range(AT, AT + 5), 7]
    assert epoch_seconds(given[::-1]).tolist() == [7, *range(AT + 4, AT - 1, -1)]
    assert epoch_seconds(np.array([AT, AT * 1000, AT * 10**6, AT * 10**9, 7])).tolist() == [AT] * 4 + [7]


@pytest.mark.parametrize(
    "numbers",
    [np.array([AT]), np.array([AT], np.uint64), np.array([AT * 1000.0 + 0.5]), np.array([AT * 1000], np.uint64)],
)
def test_numbers_may_come_as_an_array_of_any_number_type(numbers: NDArray[np.generic]) -> None:
    assert epoch_seconds(numbers).tolist() == [AT]


def test_no_times_are_no_times() -> None:
    times = epoch_seconds([])
    assert times.tolist() == []
    assert times.dtype == np.int64


def test_the_first_and_the_last_second_are_times() -> None:
    assert epoch_seconds([0, LATEST, LATEST * 1000]).tolist() == [0, LATEST, LATEST]


@pytest.mark.parametrize(
    ("least", "divisor"), [(MILLISECONDS_FROM, 10**3), (MICROSECONDS_FROM, 10**6), (NANOSECONDS_FROM, 10**9)]
)
def test_the_size_of_a_number_tells_its_unit(least: int, divisor: int) -> None:
    """From the year 5138 in the next larger unit on."""
    assert epoch_seconds([least]).tolist() == [least // divisor]
    assert epoch_seconds(np.array([least, float(least)])).tolist() == [least // divisor] * 2
    with pytest.raises(InvalidPoints):
        epoch_seconds([least - 1])


@pytest.mark.parametrize(
    "wrong",
    [-1, -0.5, LATEST + 1, 1e30, 2**70, float("nan"), float("inf"), "1969-12-31T23:59:59Z", "2200-01-02T00:00:00Z"],
)
def test_what_is_not_between_1970_and_2200_is_refused_by_its_position(wrong: float | str) -> None:
    with pytest.raises(InvalidPoints, match=rf"timestamp {re.escape(repr(wrong))} is not a time between") as caught:
        epoch_seconds([AT, AT, wrong, -1])
    assert caught.value.at == 2


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("yesterday", "timestamp 'yesterday' is not RFC 3339 text"),
        ("", "timestamp '' is not RFC 3339 text"),
        ("2026-01-05T00:00:00", "has no offset from UTC; add Z"),
        ("x" * 1000, f"timestamp '{'x' * 40}' is not"),
        (None, "timestamp None is neither a number nor text"),
        (True, "timestamp True is neither a number nor text"),
    ],
)
def test_what_is_not_a_time_is_refused_by_its_position(wrong: object, why: str) -> None:
    with pytest.raises(InvalidPoints, match=re.escape(why)) as caught:
        epoch_seconds(["2026-01-05T00:00:00Z", wrong])
    assert caught.value.at == 1


@given(st.integers(0, LATEST))
def test_seconds_and_their_text_are_the_same_time(seconds: int) -> None:
    assert epoch_seconds([datetime.fromtimestamp(seconds, UTC).isoformat()]).tolist() == [seconds]


@given(
    st.integers(MILLISECONDS_FROM, LATEST * 10**3).map(lambda given: (given, 10**3))
    | st.integers(MICROSECONDS_FROM, LATEST * 10**6).map(lambda given: (given, 10**6))
    | st.integers(NANOSECONDS_FROM, LATEST * 10**9).map(lambda given: (given, 10**9))
)
def test_fractions_of_a_second_are_cut_off(given_in: tuple[int, int]) -> None:
    number, divisor = given_in
    assert epoch_seconds([number]).tolist() == [number // divisor]
    assert epoch_seconds(np.array([number], np.uint64)).tolist() == [number // divisor]


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.float16, np.float32])
def test_numbers_too_small_for_milliseconds_are_seconds(kind: type[np.generic]) -> None:
    assert epoch_seconds(np.array([100, 7], kind)).tolist() == [100, 7]


def test_the_largest_numbers_are_no_times() -> None:
    for numbers in (np.array([2**64 - 1], np.uint64), np.array([2**63 - 1, -(2**63)], np.int64)):
        with pytest.raises(InvalidPoints, match="is not a time between 1970 and 2200"):
            epoch_seconds(numbers)


def test_what_is_no_time_among_many_is_minus_1() -> None:
    given = [AT, None, "soon", "2026-01-05T00:00:00Z", True, -1, float("nan"), 10**400, LATEST + 1, b"5"]
    assert seconds_of(np.array(given, object)).tolist() == [AT, -1, -1, AT, *[-1] * 6]
    assert seconds_of(np.array([AT, np.nan, np.inf, -np.inf, 1e300, -0.5])).tolist() == [AT, *[-1] * 5]
    assert seconds_of(np.array([AT, 2**64 - 1, 2**63], np.uint64)).tolist() == [AT, -1, -1]


@pytest.mark.parametrize(
    ("text", "zone", "seconds"),
    [
        ("2026-01-05T01:00:00", "Europe/Berlin", AT),
        ("2026-01-05 01:00", "Europe/Berlin", AT),
        ("05/Jan/2026:01:00:00", "Europe/Berlin", AT),
        ("2026-01-05 00:59:60", "Europe/Berlin", AT),
        ("2026-01-05", "UTC", AT),
        ("2026-01-05T05:30:00", "Asia/Kolkata", AT),
        ("2026-07-05T02:00:00", "Europe/Berlin", AT + 181 * 86400),
        ("2026-01-05T00:00:00Z", "Europe/Berlin", AT),
        ("2026-01-05 00:00:00 UTC", "Europe/Berlin", AT),
    ],
)
def test_a_time_without_an_offset_is_local_time_of_the_zone_that_is_named(text: str, zone: str, seconds: int) -> None:
    assert seconds_of_text(text, zone) == seconds


@pytest.mark.parametrize(
    ("local", "is_time"),
    [
        ("2026-03-29 01:59:59", True),
        ("2026-03-29 02:00:00", False),
        ("2026-03-29 02:59:59", False),
        ("2026-03-29 03:00:00", True),
        ("2026-10-25 01:59:59", True),
        ("2026-10-25 02:00:00", False),
        ("2026-10-25 02:59:59", False),
        ("2026-10-25 03:00:00", True),
    ],
)
def test_an_hour_that_clocks_show_twice_or_never_is_no_time(local: str, is_time: bool) -> None:
    assert bool(seconds_of(np.array([local], object), "Europe/Berlin")[0] >= 0) is is_time
    assert is_time or why_none(local, "Europe/Berlin") == TWICE
    assert seconds_of(np.array([f"{local}+01:00"], object), "Europe/Berlin")[0] >= 0


@pytest.mark.parametrize(
    "text",
    [
        "1/5/2026 00:00",
        "05/Foo/2026:00:00:00 +0000",
        "31/Feb/2026:00:00:00 +0000",
        "2026-01-05T00:60:00Z",
        "2026-01-05T00:00:61Z",
        "2026-13-05T00:00:00Z",
        "2026-01-05T00:00:00 CET",
        "UTC",
        "Z",
    ],
)
def test_what_only_looks_like_a_time_is_none(text: str) -> None:
    assert why_none(text) == "is not RFC 3339 text"
    with pytest.raises(ValueError, match="is not RFC 3339 text"):
        seconds_of_text(text, "UTC")


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "a\0b", "Europe"])
def test_a_zone_that_is_none_is_said_to_be_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"there is no time zone .*; name one as in Europe/Berlin or UTC"):
        time_zone(name)


@given(st.text(max_size=45), st.sampled_from([None, "UTC", "Europe/Berlin"]))
def test_any_text_is_a_time_or_none(text: str, zone: str | None) -> None:
    (seconds,) = seconds_of(np.array([text], object), zone).tolist()
    if seconds >= 0:
        assert seconds_of_text(text, zone) == seconds <= LATEST
        return
    with pytest.raises(ValueError, match=re.escape(why_none(text, zone))):
        seconds_of_text(text, zone)


@pytest.mark.parametrize("wrong", ["9999-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_at_the_ends_of_the_calendar_are_none(wrong: str) -> None:
    with pytest.raises(InvalidPoints, match="is not a time between 1970 and 2200"):
        epoch_seconds([wrong])
