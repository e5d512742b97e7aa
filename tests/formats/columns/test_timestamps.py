import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad.formats.columns.timestamps import LATEST, MILLISECONDS_FROM, epoch_seconds
from myriad.models.errors import InvalidPoints

AT = 1_767_571_200


@pytest.mark.parametrize(
    "written",
    [
        AT,
        AT * 1000,
        AT + 0.9,
        AT * 1000 + 999,
        "2026-01-05T00:00:00Z",
        "2026-01-05T00:00:00.999+00:00",
        "2026-01-05T05:30:00+05:30",
        "2026-01-04 19:00:00-05:00",
    ],
)
def test_a_time_may_be_written_in_seconds_milliseconds_or_rfc_3339(written: float | str) -> None:
    assert epoch_seconds([written]).tolist() == [AT]


def test_every_time_of_a_list_is_read_for_itself() -> None:
    assert epoch_seconds([AT, AT * 1000 + 1000, "2026-01-05T00:00:02Z"]).tolist() == [AT, AT + 1, AT + 2]


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


def test_a_number_is_milliseconds_from_the_year_5138_in_seconds() -> None:
    assert epoch_seconds([MILLISECONDS_FROM]).tolist() == [MILLISECONDS_FROM // 1000]
    with pytest.raises(InvalidPoints):
        epoch_seconds([MILLISECONDS_FROM - 1])


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


@given(st.integers(MILLISECONDS_FROM, LATEST * 1000))
def test_fractions_of_a_second_are_cut_off(milliseconds: int) -> None:
    assert epoch_seconds([milliseconds]).tolist() == [milliseconds // 1000]


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.float16, np.float32])
def test_numbers_too_small_for_milliseconds_are_seconds(kind: type[np.generic]) -> None:
    assert epoch_seconds(np.array([100, 7], kind)).tolist() == [100, 7]


def test_the_largest_numbers_are_no_times() -> None:
    for numbers in (np.array([2**64 - 1], np.uint64), np.array([2**63 - 1, -(2**63)], np.int64)):
        with pytest.raises(InvalidPoints, match="is not a time between 1970 and 2200"):
            epoch_seconds(numbers)
