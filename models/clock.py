"""Clock: local time as a shift of UTC, for models that know the time of day and the day of the week.

A holiday is read as a free day: a clock shifts it, and the day after it, by whole days, onto days of the week that are
free or not just as these and the days before them are. Only the time of day and the day of the week of a local time
mean anything. Windows, steps and the order of points are in UTC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

import numpy as np
from numpy.typing import NDArray

DAY, WEEK_DAYS = 86_400, 7
FREE_DAYS: Mapping[str, frozenset[int]] = {"saturday-sunday": frozenset({2, 3}), "friday-saturday": frozenset({1, 2})}
"""Days of the week, counted from Thursday on: the epoch began on one."""
APART = DAY // 4
"""A zone does not change its offset twice in so many seconds."""


@dataclass(frozen=True)
class Clock:
    """Local time is the time plus the shift in force at it.

    Attributes:
        changes: when another shift comes into force, epoch seconds, rising, int64 (changes,).
        shifts: in seconds: before the first change, and from each on; int64 (changes + 1,).
    """

    changes: NDArray[np.int64]
    shifts: NDArray[np.int64]

    @classmethod
    def of_zone(cls, zone: tzinfo, end: int) -> "Clock":
        """The clock of a time zone from the epoch until before `end`, epoch seconds; the last shift stays in force."""

        def offset(at: int) -> int:
            difference = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
            return 0 if difference is None else round(difference.total_seconds())

        changes, shifts = list[int](), [offset(0)]
        for after in range(APART, end + APART, APART):
            if offset(after) != shifts[-1]:
                first, last = after - APART, after
                while last - first > 1:
                    middle = (first + last) // 2
                    first, last = (middle, last) if offset(middle) == shifts[-1] else (first, middle)
                changes.append(last)
                shifts.append(offset(last))
        return cls(np.array(changes, np.int64), np.array(shifts, np.int64))

    def local(self, timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Local times, seconds, not negative, int64 (n,), of epoch seconds."""
        return np.maximum(self._local(timestamps), 0)

    def with_holidays(self, holidays: Iterable[int], free_days: frozenset[int]) -> "Clock":
        """The clock that also reads holidays as free days.

        Args:
            holidays: local days since the epoch.
            free_days: one of `FREE_DAYS`; on these a holiday changes nothing.
        """
        days = _days_moved(frozenset(holidays), free_days)
        if not days:
            return self
        midnights = DAY * np.unique([[day, day + 1] for day in days])
        # A local day begins at one of these, whatever the shift is then.
        at = np.unique(np.concatenate([self.changes, (midnights[:, None] - np.unique(self.shifts)).ravel()]))
        local = self._local(at)
        moved = [DAY * days.get(day, 0) for day in (local // DAY).tolist()]
        return Clock(at, np.append(self.shifts[:1], local - at + np.array(moved, np.int64)))._least()

    def since(self, first: int) -> "Clock":
        """The same from a time on, without the changes before."""
        passed = int(np.searchsorted(self.changes, first, side="right"))
        return Clock(self.changes[passed:], self.shifts[passed:])

    def _local(self, timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
        return timestamps + self.shifts[np.searchsorted(self.changes, timestamps, side="right")]

    def _least(self) -> "Clock":
        """The same without changes that change nothing."""
        differs = np.diff(self.shifts) != 0
        return Clock(self.changes[differs], np.append(self.shifts[:1], self.shifts[1:][differs]))


def _days_moved(holidays: frozenset[int], free_days: frozenset[int]) -> dict[int, int]:
    """By how many days holidays and the days after them are shifted, where they are: to the nearest that is like them.

    The first of the free days is free after a working day, the last is free after a free one, and the day after that is
    a working day after a free one.
    """
    last = next(day for day in free_days if (day + 1) % WEEK_DAYS not in free_days)

    def is_free(day: int) -> bool:
        return day in holidays or day % WEEK_DAYS in free_days

    moved = {}
    for day in sorted(holidays | {day + 1 for day in holidays}):
        like = last + 1 if not is_free(day) else last if is_free(day - 1) else last - 1
        if shift := (like - day + 3) % WEEK_DAYS - 3:
            moved[day] = shift
    return moved
