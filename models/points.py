"""Points: the datapoints of many series in three flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myriad.kernels import spans
from myriad.kernels.deviations import within
from myriad.kernels.quantiles import medians, ranked, usual_largest
from myriad.models.arrays import Vector
from myriad.models.errors import InvalidPoints

SMALLEST_MAGNITUDE = 1e-290
"""A series whose values all are below this counts as 0: fractions of smaller values are not normal float64s."""

MAX_MAGNITUDE = 1e150
"""The largest absolute value that is scored: its square still is a finite float64."""

RARE = 1e-3
"""The share of a series' values, and one at least, that does not say how large its values are."""
LEAST_TO_JUDGE = 30
"""Of fewer values none is rare."""
WILD = 100.0


@dataclass(frozen=True)
class Points:
    """Ragged datapoints; series i owns `offsets[i]:offsets[i + 1]`.

    Attributes:
        timestamps: int64 (n,), epoch seconds, UTC.
        values: float64 (n,); NaN where a window has no value.
        offsets: int64 (series + 1,), from 0 to n.
        clock: local times, seconds, int64 (n,), which in a series may go back; None where they are the timestamps.
    """

    timestamps: NDArray[np.int64]
    values: Vector
    offsets: NDArray[np.int64]
    clock: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, *series: tuple[ArrayLike, ArrayLike]) -> Self:
        """Points from one (timestamps, values) pair a series."""
        times = [np.asarray(t, np.int64).ravel() for t, _ in series]
        values = [np.asarray(v, np.float64).ravel() for _, v in series]
        if any(len(t) != len(v) for t, v in zip(times, values, strict=True)):
            raise InvalidPoints("a series has not as many values as timestamps")
        offsets = np.cumsum([0, *map(len, times)], dtype=np.int64)
        none = np.empty(0)
        return cls(np.concatenate([none.astype(np.int64), *times]), np.concatenate([none, *values]), offsets)

    def __len__(self) -> int:
        """How many series."""
        return len(self.offsets) - 1

    @property
    def local(self) -> NDArray[np.int64]:
        """What tells the time of day and the day of the week of each point, seconds, int64 (n,)."""
        return self.timestamps if self.clock is None else self.clock

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Points per series, int64 (series,)."""
        return self.offsets[1:] - self.offsets[:-1]

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """The position of the series each point belongs to, int64 (n,)."""
        if len(self) == 1:
            return np.zeros(len(self.timestamps), np.int64)
        return np.repeat(np.arange(len(self)), self.lengths)

    def series(self, i: int) -> tuple[NDArray[np.int64], Vector]:
        """Timestamps and values of series i, as views."""
        span = slice(self.offsets[i], self.offsets[i + 1])
        return self.timestamps[span], self.values[span]

    def take(self, series: Sequence[int] | NDArray[np.int64]) -> "Points":
        """The points of these series, in this order."""
        chosen = np.asarray(series, np.int64)
        if len(chosen) == len(self) and np.array_equal(chosen, np.arange(len(self))):
            return self
        return self._copied(self.offsets[chosen], self.offsets[chosen + 1])

    def between(self, first: NDArray[np.int64], end: NDArray[np.int64]) -> "Points":
        """Of each series the points at the positions `first` to `end`, both int64 (series,), the last excluded."""
        return self._copied(first, end)

    def latest(self, count: int) -> "Points":
        """The last points of each series, `count` at most."""
        return self._copied(np.maximum(self.offsets[1:] - count, self.offsets[:-1]), self.offsets[1:])

    def _copied(self, first: NDArray[np.int64], end: NDArray[np.int64]) -> "Points":
        times, values = np.ascontiguousarray(self.timestamps), np.ascontiguousarray(self.values)
        found = Points(*spans.copied(times, values, first, end - first))
        if self.clock is None:
            return found
        return found.with_clock(spans.copied(np.ascontiguousarray(self.clock), values, first, end - first)[0])

    def spans(self, series: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions of the points of these series, int64 (their points,)."""
        return ranges(self.offsets[series], self.offsets[series + 1] - self.offsets[series])

    def concatenated(self, other: "Points") -> "Points":
        """These series, followed by those of `other`."""
        if not len(self):
            return other
        times = np.concatenate([self.timestamps, other.timestamps])
        values = np.concatenate([self.values, other.values])
        joined = Points(times, values, np.append(self.offsets, self.offsets[-1] + other.offsets[1:]))
        if self.clock is None and other.clock is None:
            return joined
        return joined.with_clock(np.concatenate([self.local, other.local]))

    def where(self, keep: NDArray[np.bool_]) -> "Points":
        """Only the points at which `keep`, bool (n,), is true; the series stay, some perhaps empty."""
        if keep.all():
            return self
        found = Points(*spans.where(self.timestamps, self.values, self.offsets, keep.view(np.uint8)))
        return found if self.clock is None else found.with_clock(self.clock[keep])

    def with_clock(self, clock: NDArray[np.int64] | None) -> "Points":
        """The same points with other local times."""
        return replace(self, clock=clock)

    def with_values(self, values: Vector) -> "Points":
        """The same timestamps with other values."""
        changed = Points(self.timestamps, values, self.offsets, self.clock)
        if "owner" in self.__dict__:
            changed.__dict__["owner"] = self.owner
        return changed

    @cached_property
    def usual_largest(self) -> Vector:
        """The largest |value| of each series but for the few `RARE` ones, float64 (series,); 0 where there is no value.

        A counter that overflowed once must not be what all else is measured by. Where all others are 0, it is the
        largest.
        """
        usual = usual_largest(self.values, self.offsets, np.zeros(len(self)), RARE, LEAST_TO_JUDGE)
        if usual.all():
            return np.nan_to_num(usual)
        largest = ranked(np.abs(self.values), self.offsets, np.zeros(len(self), np.int64))
        return np.nan_to_num(np.where(usual > 0, usual, largest))

    def tidied(self) -> "Tidied":
        """Each series in time order, with one value for each timestamp: the last one posted."""
        rising = self.timestamps[1:] > self.timestamps[:-1]
        if len(self) > 1:
            inner = self.offsets[1:-1]
            rising[inner[(inner > 0) & (inner < len(self.timestamps))] - 1] = True
        if rising.all():
            return Tidied(self, np.zeros(len(self), np.int64), np.arange(len(self.timestamps)))
        owner = self.owner
        order = np.lexsort((self.timestamps, owner))  # stable: equal timestamps stay in posted order
        times, owner = self.timestamps[order], owner[order]
        last = np.ones(len(times), bool)
        last[:-1] = (times[1:] != times[:-1]) | (owner[1:] != owner[:-1])
        clock = None if self.clock is None else self.clock[order]
        tidy = Points(times, self.values[order], self.offsets, clock).where(last)
        place = np.empty(len(order), np.int64)
        place[order] = np.cumsum(last) - last
        return Tidied(tidy, self.lengths - tidy.lengths, place)


class Tidied(NamedTuple):
    """Points in time order without duplicates.

    Attributes:
        points: the same series.
        duplicates: how many points of each series were dropped, int64 (series,).
        place: the new position of each original point, or of the point that replaced it, int64 (original n,).
    """

    points: Points
    duplicates: NDArray[np.int64]
    place: NDArray[np.int64]


def counted(values: Vector, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many values of each series are not NaN, int64 (series,)."""
    missing = np.flatnonzero(np.isnan(values))
    if not len(missing):
        return np.diff(offsets)
    return np.diff(offsets) - np.diff(np.searchsorted(missing, offsets))


def magnitudes(points: Points) -> Vector:
    """The usual largest |value| of each series, to divide by: 1 where that is 0 or nearly so; float64 (series,)."""
    usual = points.usual_largest
    return np.where(usual > SMALLEST_MAGNITUDE, usual, 1.0)


def without_wild(points: Points) -> Points:
    """The points without samples that nothing real can be: `WILD` times as far from the median as any but `RARE` ones.

    Args:
        points: values finite.
    """
    centers = np.nan_to_num(medians(points.values, points.offsets))
    usual = usual_largest(points.values, points.offsets, centers, RARE, LEAST_TO_JUDGE)
    most = np.where((usual == 0) | (points.lengths < LEAST_TO_JUDGE), np.inf, WILD * usual)
    return points.where(within(points.values, points.offsets, centers, most))


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The concatenation of `arange(s, s + n)` for each start s and length n, int64 (lengths.sum(),)."""
    if len(lengths) and lengths.min() == lengths.max() == 1:  # one new point of each series
        return starts
    before = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(starts - before, lengths)
