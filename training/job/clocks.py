"""Clocks: time zones and holidays of a job's regions, as it names them and as they are kept."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, ValidationInfo

from myriad.formats.columns.timestamps import time_zone
from myriad.models.clock import FREE_DAYS, Clock
from myriad.storage.clocks import RegionClock
from myriad.training.job.fields import directory, wrong

YEARS_AHEAD = 10
"""Changes of a zone, and holidays of a country, are kept for so long."""
YEARS_BACK = 10
"""Holidays of a country are known for so long before."""
MOST_HOLIDAYS = 1000
MAX_BYTES = 4 << 20
UNZONED = "UTC"
EPOCH = date(1970, 1, 1)

_COUNTRY = re.compile(r"([A-Z]{2})(?:-([A-Z0-9]{1,3}))?")
_ALL_DAY = re.compile(r"(DTSTART|DTEND)(?:;[^:]*)?;VALUE=DATE(?:;[^:]*)?:([0-9]{8})", re.IGNORECASE)

T = TypeVar("T")
FreeDays = Literal["saturday-sunday", "friday-saturday"]


def by_region(read: Callable[[Any, ValidationInfo, tuple[str, ...]], T]) -> BeforeValidator:
    """A field that is one value for all regions, or a mapping of globs of regions to values."""

    def read_all(given: Any, info: ValidationInfo) -> dict[str, T]:
        if not isinstance(given, dict):
            return {"*": read(given, info, ())}
        return {glob: read(one, info, (glob,)) for glob, one in given.items()}

    return BeforeValidator(read_all)


def _zone(given: Any, _: ValidationInfo, place: tuple[str, ...]) -> str:
    if not isinstance(given, str):
        raise wrong("must be an IANA name such as Europe/Berlin, or a mapping of globs of regions to such", *place)
    try:
        return time_zone(given).key
    except ValueError as exc:
        raise wrong(str(exc), *place) from exc


def _free(given: Any, _: ValidationInfo, place: tuple[str, ...]) -> FreeDays:
    named: tuple[FreeDays, ...] = get_args(FreeDays)
    if given not in named:
        raise wrong(f"must be {' or '.join(named)}", *place)
    return named[named.index(given)]


def _holidays(given: Any, info: ValidationInfo, place: tuple[str, ...]) -> tuple[int, ...]:
    """Days since the epoch, rising."""
    if isinstance(given, list):
        days = {_listed(one, (*place, i)) for i, one in enumerate(given)}
    elif isinstance(given, str):
        try:
            country = _COUNTRY.fullmatch(given)
            days = {*(_of_country(country[1], country[2]) if country else _of_file(directory(info) / given))}
        except ValueError as exc:
            raise wrong(str(exc), *place) from exc
    else:
        raise wrong(
            "must be a list of dates, a file of them, a country such as DE, or globs of regions to such", *place
        )
    if len(days) > MOST_HOLIDAYS:
        raise wrong(f"has {len(days)} days; {MOST_HOLIDAYS} are the most", *place)
    return tuple(sorted(days))


ZoneByRegion = Annotated[dict[str, str], by_region(_zone)]
HolidaysByRegion = Annotated[dict[str, tuple[int, ...]], by_region(_holidays)]
FreeDaysByRegion = Annotated[dict[str, FreeDays], by_region(_free)]


def clock(zone: str | None, holidays: tuple[int, ...], free_days: FreeDays) -> RegionClock | None:
    """What tells local time; None where neither a zone nor a holiday is given.

    Args:
        zone: its IANA name.
        holidays: local days since the epoch.
        free_days: of each week.
    """
    if zone is None and not holidays:
        return None
    return _resolved(zone or UNZONED, holidays, free_days, datetime.now(UTC).year + YEARS_AHEAD + 1)


@cache
def _resolved(zone: str, holidays: tuple[int, ...], free_days: FreeDays, end: int) -> RegionClock:
    """The clock until the first day of the year `end`."""
    of_zone = Clock.of_zone(ZoneInfo(zone), int(datetime(end, 1, 1, tzinfo=UTC).timestamp()))
    return RegionClock.of(zone, of_zone.with_holidays(holidays, FREE_DAYS[free_days]))


def _listed(given: Any, place: tuple[str | int, ...]) -> int:
    try:
        return _day(given)
    except ValueError as exc:
        raise wrong(str(exc), *place) from exc


def _day(given: object) -> int:
    """The day since the epoch of a date as text."""
    try:
        day = (date.fromisoformat(str(given)) - EPOCH).days
    except ValueError as exc:
        raise ValueError(f"{str(given)[:40]!r} is not a date such as 2026-12-25") from exc
    if not 0 <= day < (date(2200, 1, 1) - EPOCH).days:
        raise ValueError(f"{given} is not between 1970 and 2200")
    return day


def _of_country(country: str, part: str | None) -> Iterator[int]:
    """The public holidays of a country, or of a part of it."""
    try:
        import holidays
    except ImportError as exc:
        raise ValueError("holidays of a country need the library holidays; the extra [holidays] installs it") from exc
    this = datetime.now(UTC).year
    try:
        found = holidays.country_holidays(country, part, years=range(this - YEARS_BACK, this + YEARS_AHEAD + 1))
    except NotImplementedError as exc:
        raise ValueError(f"the library holidays does not know {country}{f'-{part}' if part else ''}") from exc
    return ((day - EPOCH).days for day in found)


def _of_file(path: Path) -> Iterator[int]:
    """The days of a text file, or of the all-day events of a calendar (RFC 5545)."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValueError(f"{path}: cannot be read: {exc}") from exc
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: has more than {MAX_BYTES} bytes")
    lines = text.splitlines()
    is_calendar = bool(lines) and lines[0].strip().upper() == "BEGIN:VCALENDAR"
    return _of_calendar(path, lines) if is_calendar else _of_lines(path, lines)


def _of_lines(path: Path, lines: list[str]) -> Iterator[int]:
    """The first cell of each line; empty lines, comments and a line of column names are left out."""
    for number, line in enumerate(lines, 1):
        cell = re.split("[,;\t]", line, maxsplit=1)[0].strip().strip('"')
        if not cell or cell.startswith("#") or (number == 1 and not re.search("[0-9]", cell)):
            continue
        try:
            yield _day(cell)
        except ValueError as exc:
            raise ValueError(f"{path}:{number}: {exc}") from exc


def _of_calendar(path: Path, lines: list[str]) -> Iterator[int]:
    first: date | None = None
    last: date | None = None
    for number, line in enumerate(lines, 1):
        upper = line.strip().upper()
        if upper == "BEGIN:VEVENT":
            first = last = None
        elif upper.startswith(("RRULE", "RDATE")):
            raise ValueError(f"{path}:{number}: an event that repeats is not read; write its days out")
        elif found := _ALL_DAY.fullmatch(upper):
            try:
                day = EPOCH + timedelta(_day(found[2]))
            except ValueError as exc:
                raise ValueError(f"{path}:{number}: {exc}") from exc
            first, last = (day, last) if found[1] == "DTSTART" else (first, day)
        elif upper == "END:VEVENT" and first:
            yield from range((first - EPOCH).days, max((last or first) - EPOCH, first - EPOCH + timedelta(1)).days)
