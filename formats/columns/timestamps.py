"""Timestamps: what people write, as epoch seconds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import InvalidPoints

MILLISECONDS_FROM = 100_000_000_000
"""A number this large (the year 5138 in seconds) is milliseconds (of 1973)."""
LATEST = 7_258_118_400
"""The year 2200: nothing later is a time telemetry is from."""


def epoch_seconds(times: Sequence[object] | NDArray[Any]) -> NDArray[np.int64]:
    """Epoch seconds, int64 (n,), from epoch seconds or milliseconds (told apart by size) or RFC 3339 text.

    Fractions of a second are cut off.

    Raises:
        InvalidPoints: one is none of these, or before 1970 or after 2200; it says which.
    """
    numbers = np.asarray(times)
    if numbers.dtype == np.int64 and numbers.size and numbers.min() >= 0 and numbers.max() <= LATEST:
        return numbers
    seconds = seconds_of(numbers if numbers.dtype.kind in "iuf" else times)
    if len(wrong := np.flatnonzero(seconds < 0)):
        at = int(wrong[0])
        value = np.asarray(times, object)[at]
        _seconds(value, at)  # says more where it can
        raise InvalidPoints(f"timestamp {repr(value)[:40]} is not a time between 1970 and 2200", at)
    return seconds


def seconds_of(times: Sequence[object] | NDArray[Any]) -> NDArray[np.int64]:
    """As `epoch_seconds`, with -1 for what is no time."""
    numbers = np.asarray(times)
    if numbers.dtype.kind not in "iuf":
        numbers = np.array([_seconds_or_none(value) for value in times], np.float64)
    if numbers.dtype.kind == "f":
        numbers = np.where(np.isfinite(numbers), np.clip(numbers, -1, 1e15), -1.0)
    seconds = np.where(numbers >= MILLISECONDS_FROM, numbers // 1000, numbers // 1).astype(np.int64)
    return np.where((seconds < 0) | (seconds > LATEST), -1, seconds)


def _seconds_or_none(value: object) -> float:
    try:
        return _seconds(value, 0)
    except InvalidPoints:
        return -1.0


def _seconds(value: object, at: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidPoints(f"timestamp {value!r} is neither a number nor text", at)
    if not isinstance(value, str):
        return float(value) if abs(value) < 1e15 else -1.0
    try:
        when = datetime.fromisoformat(value)
    except ValueError as exc:
        raise InvalidPoints(f"timestamp {value[:40]!r} is not RFC 3339 text", at) from exc
    if when.tzinfo is None:
        raise InvalidPoints(f"timestamp {value[:40]!r} has no offset from UTC; add Z or +00:00", at)
    seconds = when.timestamp()
    return seconds if seconds <= LATEST else -1.0  # never to be taken for milliseconds
