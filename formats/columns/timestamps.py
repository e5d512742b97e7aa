"""Timestamps: what people write, as epoch seconds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import InvalidPoints

MILLISECONDS_FROM = 100_000_000_000
"""A number this large (the year 5138 in seconds) is milliseconds (of 1973)."""
MAX_LENGTH = 40
"""Characters of a timestamp: RFC 3339 with nanoseconds and an offset has 35."""
LATEST = 7_258_118_400
"""The year 2200: nothing later is a time telemetry is from."""


def epoch_seconds(times: Sequence[object] | NDArray[Any]) -> NDArray[np.int64]:
    """Epoch seconds, int64 (n,), from epoch seconds or milliseconds (told apart by size) or RFC 3339 text.

    Fractions of a second are cut off.

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
        _seconds(value, at)  # says more where it can
        raise InvalidPoints(f"timestamp {repr(value)[:MAX_LENGTH]} is not a time between 1970 and 2200", at)
    return seconds


def seconds_of(times: Sequence[object] | NDArray[Any]) -> NDArray[np.int64]:
    """As `epoch_seconds`, with -1 for what is no time."""
    numbers = _array(times)
    if numbers.dtype.kind not in "iuf":
        numbers = np.array([_seconds_or_none(value) for value in numbers], np.float64)
    if numbers.dtype.kind == "i":
        numbers = numbers.astype(np.int64)
    elif numbers.dtype.kind == "u":
        numbers = np.minimum(numbers.astype(np.uint64), np.uint64(1 << 62)).astype(np.int64)
    else:
        numbers = numbers.astype(np.float64)
        numbers = np.where(np.isfinite(numbers), np.clip(numbers, -1, 1e15), -1.0)
    seconds = np.where(numbers >= MILLISECONDS_FROM, numbers // 1000, numbers // 1).astype(np.int64)
    return np.where((seconds < 0) | (seconds > LATEST), -1, seconds)


def _array(times: Sequence[object] | NDArray[Any]) -> NDArray[Any]:
    """The times as an array, of objects where some are not numbers.

    An array of NumPy's own text would be as wide everywhere as its longest text.
    """
    if isinstance(times, np.ndarray):
        return times
    return np.array(times, None if {*map(type, times)} <= {int, float} else object)


def _seconds_or_none(value: object) -> float:
    try:
        return _seconds(value, 0)
    except InvalidPoints:
        return -1.0


def _seconds(value: object, at: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidPoints(f"timestamp {repr(value)[:MAX_LENGTH]} is neither a number nor text", at)
    if not isinstance(value, str):
        return float(value) if abs(value) < 1e15 else -1.0
    if len(value) > MAX_LENGTH:
        why = f"is not RFC 3339 text: it has {len(value)} characters, more than {MAX_LENGTH}"
        raise InvalidPoints(f"timestamp {value[:MAX_LENGTH]!r} {why}", at)
    try:
        when = datetime.fromisoformat(value)
    except ValueError as exc:
        raise InvalidPoints(f"timestamp {value!r} is not RFC 3339 text", at) from exc
    if when.tzinfo is None:
        raise InvalidPoints(f"timestamp {value!r} has no offset from UTC; add Z or +00:00", at)
    seconds = when.timestamp()
    return seconds if seconds <= LATEST else -1.0  # never to be taken for milliseconds
