"""Clocks: local times are those of the zone at every instant, and holidays are read as free days."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myriad.models.clock import DAY, FREE_DAYS, Clock

EPOCH = date(1970, 1, 1)
START, END = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2020, 2030))
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tehran")
CLOCKS = {name: Clock.of_zone(ZoneInfo(name), END) for name in ZONES}
WEEKEND = FREE_DAYS["saturday-sunday"]


def day(text: str) -> int:
    """The day since the epoch of a date."""
    return (date.fromisoformat(text) - EPOCH).days


def told(clock: Clock, at: datetime) -> str:
    """The day of the week and the time of day by a clock."""
    (local,) = clock.local(np.array([int(at.timestamp())])).tolist()
    return datetime.fromtimestamp(local, UTC).strftime("%a %H:%M")


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ZONES), st.integers(START, END - 1))
def test_local_time_is_that_of_the_zone_at_every_instant(name: str, at: int) -> None:
    local = datetime.fromtimestamp(int(CLOCKS[name].local(np.array([at]))[0]), UTC)
    assert local.replace(tzinfo=None) == datetime.fromtimestamp(at, ZoneInfo(name)).replace(tzinfo=None)


@pytest.mark.parametrize("name", ZONES)
def test_it_is_that_of_the_zone_up_to_the_second_before_and_from_the_second_of_each_change(name: str) -> None:
    clock, zone = CLOCKS[name], ZoneInfo(name)
    at = np.ravel([clock.changes - 1, clock.changes])
    offsets = [datetime.fromtimestamp(one, zone).utcoffset() for one in at.tolist()]
    assert [timedelta(seconds=one) for one in (clock.local(at) - at)[at > DAY].tolist()] == [
        one for one, when in zip(offsets, at.tolist(), strict=True) if when > DAY
    ]


def test_before_the_first_change_the_first_shift_is_in_force_and_after_the_last_the_last() -> None:
    clock = Clock(np.array([1000, 2000]), np.array([3600, 7200, 60]))
    assert clock.local(np.array([0, 999, 1000, 1999, 2000, 10**9])).tolist() == [
        3600, 4599, 8200, 9199, 2060, 10**9 + 60,
    ]  # fmt: skip


def test_no_local_time_is_negative() -> None:
    assert Clock(np.empty(0, np.int64), np.array([-3600])).local(np.array([0, 3600, 3601])).tolist() == [0, 0, 1]


@given(st.integers(0, END), st.sampled_from(ZONES))
def test_a_clock_from_a_time_on_tells_the_same_from_then_on(first: int, name: str) -> None:
    later = np.array([first, first + 1, first + 200 * DAY, END])
    assert CLOCKS[name].since(first).local(later).tolist() == CLOCKS[name].local(later).tolist()


def test_holidays_are_read_as_free_days_and_the_days_after_them_as_days_after_free_days() -> None:
    easter = [day(text) for text in ("2026-04-03", "2026-04-06")]
    christmas = [day(text) for text in ("2026-12-24", "2026-12-25")]
    labour = [day("2026-05-20"), day("2026-08-15")]  # a Wednesday and a Saturday
    clock = CLOCKS["Europe/Berlin"].with_holidays([*easter, *christmas, *labour], WEEKEND)

    def week(first: str) -> list[str]:
        noon = datetime.fromisoformat(f"{first}T12:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
        return [told(clock, noon + timedelta(days=i)) for i in range(7)]

    assert week("2026-03-30") == [f"{name} 12:00" for name in ["Mon", "Tue", "Wed", "Thu", "Sat", "Sun", "Sun"]]
    assert week("2026-04-06") == [f"{name} 12:00" for name in ["Sun", "Mon", "Wed", "Thu", "Fri", "Sat", "Sun"]]
    assert week("2026-12-21") == [f"{name} 12:00" for name in ["Mon", "Tue", "Wed", "Sat", "Sun", "Sun", "Sun"]]
    assert week("2026-05-18") == [f"{name} 12:00" for name in ["Mon", "Tue", "Sat", "Mon", "Fri", "Sat", "Sun"]]
    assert week("2026-08-10") == [f"{name} 12:00" for name in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]]


def test_a_holiday_begins_and_ends_at_local_midnight_on_days_when_clocks_change_too() -> None:
    clock = CLOCKS["Europe/Berlin"].with_holidays([day("2026-03-30"), day("2026-10-26")], WEEKEND)
    zone = ZoneInfo("Europe/Berlin")
    for text, before in (("2026-03-30", "Sun 23:59"), ("2026-10-26", "Sun 23:59")):
        midnight = datetime.fromisoformat(f"{text}T00:00").replace(tzinfo=zone)
        assert told(clock, midnight - timedelta(minutes=1)) == before
        assert told(clock, midnight) == "Sun 00:00"
        assert told(clock, midnight + timedelta(hours=23, minutes=59)) == "Sun 23:59"
        assert told(clock, midnight + timedelta(days=1)) == "Mon 00:00"


@given(st.sets(st.integers(START // DAY, START // DAY + 60)), st.sampled_from([*FREE_DAYS]), st.sampled_from(ZONES))
def test_whatever_days_are_holidays_each_day_looks_as_free_as_it_and_the_day_before_are(
    holidays: set[int], named: str, zone: str
) -> None:
    free_days, plain = FREE_DAYS[named], CLOCKS[zone]
    clock = plain.with_holidays(holidays, free_days)
    at = np.arange(START - DAY, START + 70 * DAY, 1800)
    local, told_as = plain.local(at), clock.local(at)
    assert (local % DAY == told_as % DAY).all()
    for real, seen in zip((local // DAY).tolist(), (told_as // DAY).tolist(), strict=True):
        is_free, was_free = (one in holidays or one % 7 in free_days for one in (real, real - 1))
        assert (seen % 7 in free_days, (seen - 1) % 7 in free_days) == (is_free, was_free)
        assert abs(seen - real) <= 3
    assert (np.diff(clock.changes) > 0).all()
