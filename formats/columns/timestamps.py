"""Timestamps: what people write, as epoch seconds."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import InvalidPoints

MILLISECONDS_FROM = 100_000_000_000
"""A number this large (the year 5138 in seconds) is milliseconds (of 1973)."""
MICROSECONDS_FROM, NANOSECONDS_FROM = MILLISECONDS_FROM * 1000, MILLISECONDS_FROM * 1_000_000
MAX_LENGTH = 40
"""Characters of a timestamp: RFC 3339 with nanoseconds and an offset has 35."""
LATEST = 7_258_118_400
"""The year 2200: nothing later is a time telemetry is from."""

NO_TIME = "is not a time between 1970 and 2200"
NO_OFFSET = "has no offset from UTC; add Z or +00:00"
TWICE = "is in an hour that the clocks show twice or not at all"
_LARGEST = (1 << 63) - 1

_EPOCH, _SECOND = datetime.fromtimestamp(0, UTC), timedelta(seconds=1)
_UNITS = ((NANOSECONDS_FROM, 10**9), (MICROSECONDS_FROM, 10**6), (MILLISECONDS_FROM, 1000))

_ZERO_OFFSET = re.compile(r"\s*(UTC|GMT|Z)$")
_SPACED_OFFSET = re.compile(r"\s+([+-][0-9]{2}:?[0-9]{2})$")
_APACHE = re.compile(r"\[?([0-9]{2})/([A-Z]{3})/([0-9]{4}):([0-9]{2}:[0-9]{2}:[0-9]{2}) ?([+-][0-9]{4}|Z)?\]?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LEAP_SECOND = re.compile(r"(T[0-9]{2}:[0-9]{2}:)60")


def epoch_seconds(times: Sequence[object] | NDArray[Any]) -> NDArray[np.int64]:
    """Epoch seconds, int64 (n,), from epoch seconds, milli-, micro- or nanoseconds (told apart by size) or text.

    Fractions of a second are cut off. Text is RFC 3339 or what `seconds_of_text` takes.

    Raises:
        InvalidPoints: one is none of these, or before 1970 or after 2200; it says which.
    """
    numbers = _array(times)
    if numbers.dtype == np.int64 and numbers.size and numbers.min() >= 0 and numbers.max() <= LATEST:
        return numbers
    seconds = seconds_of(numbers)
    if len(wrong := np.flatnonzero(seconds < 0)):
        at = int(wrong[0])
        (value,) = numbers[at : at + 1].tolist()
        raise InvalidPoints(f"timestamp {_shown(value)} {why_none(value)}", at)
    return seconds


def seconds_of(times: Sequence[object] | NDArray[Any], zone: str | None = None) -> NDArray[np.int64]:
    """As `epoch_seconds`, with -1 for what is no time; text without an offset is local time of the zone."""
    numbers = _array(times)
    if numbers.dtype.kind not in "iuf":
        return np.array([_seconds(value, zone) for value in numbers], np.int64)
    if numbers.dtype.kind == "f":
        floats = numbers.astype(np.float64)
        numbers = np.where(np.isfinite(floats) & (floats < 2.0**63), np.maximum(floats, -1), -1.0)
    elif numbers.dtype.kind == "u":
        numbers = np.minimum(numbers.astype(np.uint64), np.uint64(_LARGEST)).astype(np.int64)
    else:
        numbers = numbers.astype(np.int64)
    seconds = (numbers // 1).astype(np.int64)
    if seconds.max(initial=0) >= MILLISECONDS_FROM:
        for least, divisor in _UNITS:
            seconds = np.where(numbers >= least, numbers // divisor, seconds).astype(np.int64)
            numbers = np.where(numbers >= least, 0, numbers)
    return np.where((seconds < 0) | (seconds > LATEST), -1, seconds)


def are_seconds(times: NDArray[np.int64]) -> bool:
    """Whether all of these times are epoch seconds as they stand."""
    return not len(times) or bool(times.min() >= 0 and times.max() < MILLISECONDS_FROM)


def seconds_of_text(text: str, zone: str | None = None) -> int:
    """Epoch seconds of a time written as RFC 3339, also in lower case, with a space for the T, or with :60.

    Other zeros for an offset (`UTC`, `GMT`) and the times of Apache's logs (`10/Feb/2026:00:00:00 +0000`) are read too.

    Args:
        text: the time.
        zone: an IANA name such as Europe/Berlin, for times without an offset.

    Raises:
        ValueError: it is none, has no offset where no zone is given, or is in an hour that the zone has twice or not;
            the message goes after the text.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is not RFC 3339 text: it has {len(text)} characters, more than {MAX_LENGTH}")
    try:
        when = datetime.fromisoformat(text)  # nearly always, and ten times as fast as what follows
    except ValueError:
        when = None
    try:
        if when is None or when.tzinfo is None:
            when = _written_otherwise(text, zone)
        seconds = (when - _EPOCH) // _SECOND
    except OverflowError as exc:
        raise ValueError(NO_TIME) from exc
    if not 0 <= seconds <= LATEST:
        raise ValueError(NO_TIME)
    return seconds


def why_none(value: object, zone: str | None = None) -> str:
    """Why a value is no time; the words go after it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return "is neither a number nor text"
    try:
        seconds_of_text(value, zone) if isinstance(value, str) else None
    except ValueError as exc:
        return str(exc)
    return NO_TIME


@lru_cache(maxsize=64)
def time_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(f"there is no time zone {name!r}; name one as in Europe/Berlin or UTC") from exc


def _written_otherwise(text: str, zone: str | None) -> datetime:
    upper = _SPACED_OFFSET.sub(r"\1", _ZERO_OFFSET.sub("+00:00", text.strip().upper()))
    if (found := _APACHE.fullmatch(upper)) and found[2] in _MONTHS:
        upper = f"{found[3]}-{_MONTHS.index(found[2]) + 1:02}-{found[1]}T{found[4]}{found[5] or ''}"
    whole, leap = _LEAP_SECOND.subn(r"\g<1>59", upper.replace(" ", "T", 1))
    try:
        when = datetime.fromisoformat(whole)
    except ValueError as exc:
        raise ValueError("is not RFC 3339 text") from exc
    if when.tzinfo is None:
        if zone is None:
            raise ValueError(NO_OFFSET)
        when = _local(when, zone)
    return when + leap * _SECOND


def _local(naive: datetime, zone: str) -> datetime:
    first, second = (naive.replace(tzinfo=time_zone(zone), fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise ValueError(TWICE)
    return first


def _array(times: Sequence[object] | NDArray[Any]) -> NDArray[Any]:
    """The times as an array, of objects where some are not numbers.

    An array of NumPy's own text would be as wide everywhere as its longest text.
    """
    if isinstance(times, np.ndarray):
        return times
    return np.array(times, None if {*map(type, times)} <= {int, float} else object)


def _seconds(value: object, zone: str | None) -> int:
    if isinstance(value, str):
        try:
            return seconds_of_text(value, zone)
        except ValueError:
            return -1
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        return -1
    seconds = int(value // next((divisor for least, divisor in _UNITS if value >= least), 1))
    return seconds if seconds <= LATEST else -1


def _shown(value: object) -> str:
    return repr(value[:MAX_LENGTH] if isinstance(value, str) else value)[: MAX_LENGTH + 2]
