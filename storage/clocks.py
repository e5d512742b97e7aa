"""Clocks: how a manifest keeps what tells local time in a region."""

import itertools
from functools import cached_property

import msgspec
import numpy as np

from myriad.models.clock import Clock

MAX_CLOCK_CHANGES = 4096
"""Of a region: sixty years of a zone with two changes a year, and of a few dozen holidays."""
MAX_TIME = 1 << 40
MAX_SHIFT = 7 * 86_400
"""In seconds: of a time zone and by the days that a holiday is shifted."""


class RegionClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True, cache_hash=True):
    """What tells the time of day and the day of the week in a region, without a database of time zones.

    Local time is UTC and `shift` seconds, and from each change, epoch seconds, UTC and its seconds.
    """

    time_zone: str
    shift: int
    changes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, time_zone: str, clock: Clock) -> "RegionClock":
        """A clock as a manifest has it."""
        first, *shifts = clock.shifts.tolist()
        return cls(time_zone, first, tuple(zip(clock.changes.tolist(), shifts, strict=True)))

    @cached_property
    def clock(self) -> Clock:
        """What it is the text of."""
        changes = np.array([at for at, _ in self.changes], np.int64)
        return Clock(changes, np.array([self.shift, *(shift for _, shift in self.changes)], np.int64))

    @property
    def is_valid(self) -> bool:
        """Whether its changes rise and none of its shifts is longer than a clock's can be."""
        times, shifts = [at for at, _ in self.changes], [self.shift, *(shift for _, shift in self.changes)]
        rises = all(before < after for before, after in itertools.pairwise(times))
        in_time = not times or (times[0] >= -MAX_TIME and times[-1] <= MAX_TIME)
        return rises and in_time and len(times) <= MAX_CLOCK_CHANGES and max(map(abs, shifts)) <= MAX_SHIFT
