"""Predictors: what fitted rows of the in-house models expect of each point; the twins of `_predictors.pxi`.

A predictor is made of the arrays of a model, a row each. It gives what is expected of each point and half the band:
how far from that the score is 1, max(threshold * spread, floor). Series are ragged: series i owns
`offsets[i]:offsets[i + 1]` of the points. Values may be NaN.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from myriad.kernels._levels_py import one_step, two_levels
from myriad.kernels._quantiles_py import rolling_medians
from myriad.kernels.arrays import Integers, Matrix, Vector

Arrays = Mapping[str, NDArray[Any]]

STD_TO_MEAN_DEVIATION = float(np.sqrt(2 / np.pi))
QUARTER, BIN, HOUR, DAY = 900, 1800, 3600, 86400
DAY_HOURS, WEEK_HOURS = 24, 168
DAY_BINS = DAY // BIN
CLIP = 4.0
"""Larger innovations of a level count as this many spreads."""
RHYTHM_BOUNDS = (0.5, 30.0)
"""Of the spread, as multiples of the fitted one."""
EWMA_BOUNDS = (0.7, 3.0)
EWMA_WIDENING = 0.03
LOOKBACK = 30
"""A rolling median is that of this many points."""
PRIOR = 3
"""The fitted centre counts as this many points more: at the start of a request there are no others."""
WIDEST = 3.0
"""A blend's band is at most this many times as wide as where the product of its members' scores is 1."""
NEAR = 3.0
"""A blend's score is at most so many times that of its slow level: a value near that is not odd."""


class Predictor:
    """Rows of one model."""

    carried: ClassVar[tuple[str, ...]] = ()
    """What is carried from point to point, a number each."""
    has_lines = True
    """Whether what is expected of a first point is a straight line in time within a quarter of an hour."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays

    def predict(
        self, rows: Integers, times: Integers, values: Vector, offsets: Integers, clock: Integers | None = None
    ) -> tuple[Vector, Vector]:
        """The expected value and half the band at each point, both (n,), of points before which there are none.

        Args:
            rows: of each series, (series,).
            times: rising within each series, epoch seconds, (n,).
            values: (n,), NaN where there is none.
            offsets: (series + 1,).
            clock: the local times, seconds, not negative, (n,); the times where None.

        Raises:
            IndexError: there is no such row.
        """
        return self.advance(rows, self.begin(rows), times if clock is None else clock, values, offsets)

    def begin(self, rows: Integers) -> Matrix:
        """What is carried before any point, (series, carried).

        Args:
            rows: of each series, (series,).

        Raises:
            IndexError: there is no such row.
        """
        self._demand(rows)
        return self._begin(rows)

    def advance(
        self, rows: Integers, state: Matrix, times: Integers, values: Vector, offsets: Integers
    ) -> tuple[Vector, Vector]:
        """As `predict`, of points that follow others: cut as one likes, they get the same to the last bit.

        Args:
            rows: as for `predict`, as are the others.
            state: what is carried from the points before; moved behind the last, (series, carried).
            times: local ones, which may go back; not negative, (n,).
            values: see there.
            offsets: see there.

        Raises:
            IndexError: there is no such row.
            ValueError: the state is of another number of series or of another predictor.
        """
        self._demand(rows)
        if state.shape != (len(rows), len(self.carried)):
            raise ValueError("the state is not that of these series")
        return self._predict(rows, state, np.repeat(rows, np.diff(offsets)), times, values, offsets)

    def _demand(self, rows: Integers) -> None:
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self._arrays["threshold"]):
            raise IndexError("there is no such row")

    def _begin(self, rows: Integers) -> Matrix:
        return np.empty((len(rows), 0))

    def lines(self, rows: Integers, start: int) -> Matrix:
        """What is expected of the first point of a series in a quarter of an hour, (rows, 4).

            expected = base + (added at the start + slope * (time - start))

        The last column is half the band.

        Args:
            rows: (rows,).
            start: of the quarter, epoch seconds.
        """
        starts, nothing = np.full(len(rows), start), np.zeros(len(rows))
        at_start, slope = self._effect(rows, starts)
        _, half = self.predict(rows, starts, nothing, np.arange(len(rows) + 1))
        return np.stack([self._base(rows), at_start, slope, half], axis=1)

    def _predict(
        self, rows: Integers, state: Matrix, at: Integers, times: Integers, values: Vector, offsets: Integers
    ) -> tuple[Vector, Vector]:
        """As `predict`; `at` is the row of each point."""
        raise NotImplementedError

    def _base(self, rows: Integers) -> Vector:
        """What an effect is added to, for a first point."""
        return np.asarray(self._arrays["level"][rows])

    def _effect(self, at: Integers, starts: Integers) -> tuple[Vector, Vector]:
        """What is added at the start of each quarter of an hour, and by how much that rises a second, both (n,)."""
        del starts
        return np.zeros(len(at)), np.zeros(len(at))

    def _effect_at(self, at: Integers, times: Integers) -> Vector:
        starts = times // QUARTER * QUARTER
        at_start, slope = self._effect(at, starts)
        return at_start + slope * (times - starts)

    def _half_band(self, at: Integers, spread: Vector) -> Vector:
        return np.maximum(spread * self._arrays["threshold"][at], self._arrays["floor"][at])


class _Level(Predictor):
    """A level that follows."""

    carried: ClassVar[tuple[str, ...]] = ("level", "variance", "factor")

    def _begin(self, rows: Integers) -> Matrix:
        level, spread, alpha, uncertainty = self._fitted(rows)
        noise = spread * np.sqrt(1 - alpha)
        return np.stack([level, (uncertainty * spread / noise) ** 2, np.ones(len(rows))], axis=1)

    def _fitted(self, rows: Integers) -> list[Vector]:
        return [self._arrays[name][rows].astype(np.float64) for name in ("level", "spread", "alpha", "uncertainty")]

    def _level(
        self,
        rows: Integers,
        state: Matrix,
        values: Vector,
        offsets: Integers,
        widening: Vector,
        bounds: tuple[float, float],
    ) -> tuple[Vector, Vector]:
        """The level and the spread of its errors before each point.

        The level is that of a local-level model (Durbin and Koopman, "Time Series Analysis by State Space Methods",
        2012, section 2.2), filtered as there, with variances in units of the observation variance. After a gap, and at
        the start, the level is uncertain: its gain is near 1 and the band is wide. With more points the gain falls to
        the fitted smoothing constant and the band narrows. The spread grows while errors are larger than a normal
        distribution's and shrinks while they are smaller. See `_levels_py.one_step`.
        """
        _, spread, alpha, _ = self._fitted(rows)
        drift = alpha**2 / np.maximum(1 - alpha, 1e-6)  # the steady state's gain is then alpha
        noise = spread * np.sqrt(1 - alpha)  # the settled one-step spread is then `spread`
        added = widening / STD_TO_MEAN_DEVIATION
        return one_step(values, offsets, state, drift, noise, 1 - widening, added, CLIP, *bounds)


class Rhythm(_Level):
    """A level that follows, and a profile of the day's half hours on it; see `adapters.rhythm`."""

    def _predict(
        self, rows: Integers, state: Matrix, at: Integers, times: Integers, values: Vector, offsets: Integers
    ) -> tuple[Vector, Vector]:
        profile = self._effect_at(at, times)
        widening = self._arrays["widening"][rows].astype(np.float64)
        level, spread = self._level(rows, state, values - profile, offsets, widening, RHYTHM_BOUNDS)
        return level + profile, self._half_band(at, spread)

    def _effect(self, at: Integers, starts: Integers) -> tuple[Vector, Vector]:
        bin_, second = np.divmod((starts - BIN // 2) % DAY, BIN)
        profile, spread = self._arrays["profile"], self._arrays["spread"][at]
        before = profile[at, bin_].astype(np.float64)
        rise = profile[at, (bin_ + 1) % profile.shape[1]] - before
        return (before + rise * (second / BIN)) * spread, rise / BIN * spread


class Ewma(_Level):
    """A level that follows; see `adapters.ewma`."""

    def _predict(
        self, rows: Integers, state: Matrix, at: Integers, times: Integers, values: Vector, offsets: Integers
    ) -> tuple[Vector, Vector]:
        del times
        widening = np.full(len(rows), EWMA_WIDENING)
        level, spread = self._level(rows, state, values, offsets, widening, EWMA_BOUNDS)
        return level, self._half_band(at, spread)


class Mad(Predictor):
    """The median of the last points; see `adapters.mad`."""

    carried = tuple(f"value_{i}" for i in range(LOOKBACK))

    def _begin(self, rows: Integers) -> Matrix:
        return np.full((len(rows), LOOKBACK), np.nan)

    def _predict(
        self, rows: Integers, state: Matrix, at: Integers, times: Integers, values: Vector, offsets: Integers
    ) -> tuple[Vector, Vector]:
        del times
        expected = rolling_medians(values, offsets, self._arrays["center"][rows], state, PRIOR)
        return expected, self._half_band(at, self._arrays["spread"][at])

    def _base(self, rows: Integers) -> Vector:
        return np.asarray(self._arrays["center"][rows])


class Seasonal(Predictor):
    """A level for each hour of the week and a spread for each hour of the day; see `adapters.seasonal`."""

    def _predict(
        self, rows: Integers, state: Matrix, at: Integers, times: Integers, values: Vector, offsets: Integers
    ) -> tuple[Vector, Vector]:
        del rows, state, values, offsets
        spread = self._arrays["unit"][at] * self._arrays["spread"][at, times // HOUR % DAY_HOURS]
        return self._base(at) + self._effect_at(at, times), self._half_band(at, spread)

    def _base(self, rows: Integers) -> Vector:
        return np.asarray(self._arrays["center"][rows])

    def _effect(self, at: Integers, starts: Integers) -> tuple[Vector, Vector]:
        hour, second = np.divmod(starts - HOUR // 2, HOUR)
        low, unit = self._of_hour(at, hour), self._arrays["unit"][at]
        rise = self._of_hour(at, hour + 1) - low
        return unit * (low + rise * (second / HOUR)), unit * rise / HOUR

    def _of_hour(self, at: Integers, hour: Integers) -> Vector:
        """The sum of the effects in the middle of an hour since the epoch, in units, (n,)."""
        in_week = hour % WEEK_HOURS
        effect = self._arrays["hour"][at, in_week % DAY_HOURS].astype(np.float64)
        effect = effect + self._arrays["day"][at, in_week // DAY_HOURS] + self._arrays["week"][at, in_week]
        return np.asarray(effect)


class Blend(Rhythm):
    """A slow and a fast level over a profile of the day's half hours; see `adapters.blend`."""

    carried = ("slow", "ratio", "fast", "gain")

    def _begin(self, rows: Integers) -> Matrix:
        ones = np.ones(len(rows))
        return np.stack([self._of("level", rows), ones, self._of("fast_level", rows), ones], axis=1)

    def _predict(
        self, rows: Integers, state: Matrix, at: Integers, times: Integers, values: Vector, offsets: Integers
    ) -> tuple[Vector, Vector]:
        effect = self._effect_at(at, times)
        without = values - effect
        is_first = (state[:, 3] == 1)[np.repeat(np.arange(len(rows)), np.diff(offsets))]
        slow, slow_spread, fast, fast_spread = two_levels(without, offsets, state, *self._spreads(rows))
        slow_half = self._of("slow_threshold", at) * self._of("spreads", (at, times % DAY // BIN)) * slow_spread
        fast_half = self._of("fast_threshold", at) * fast_spread
        middle, apart = 0.5 * (slow + fast), 0.5 * (slow - fast)
        edge = np.sqrt(slow_half * fast_half + apart * apart)
        with np.errstate(invalid="ignore", divide="ignore"):
            from_slow = np.abs(without - slow) / slow_half
            score = np.minimum(np.sqrt(from_slow * (np.abs(without - fast) / fast_half)), NEAR * from_slow)
            deviation = np.abs(without - middle)
            width = np.where(deviation < WIDEST * edge * score, deviation / score, WIDEST * edge)
        counted = (deviation > 0) & (~is_first | (self._seen(values, offsets) > 0))
        return middle + effect, self._half_band(at, np.where(counted, width, edge))

    def _effect(self, at: Integers, starts: Integers) -> tuple[Vector, Vector]:
        at_start, slope = super()._effect(at, starts)
        day, spread = starts // DAY, self._of("spread", at)
        first, last = (
            self._share_of_free(at, day, starts % DAY, time - day * DAY) * self._free(at, time) * spread
            for time in (starts, starts + QUARTER)
        )
        return at_start + first, slope + (last - first) / QUARTER

    def _free(self, at: Integers, times: Integers) -> Vector:
        """The profile of free days at a time, linear between the middles of half hours."""
        low, second = np.divmod((times - BIN // 2) % DAY, BIN)
        before, after = (self._of("free_profile", (at, place)) for place in (low, (low + 1) % DAY_BINS))
        return before + (after - before) * (second / BIN)

    def _share_of_free(self, at: Integers, day: Integers, quarter: Integers, since: Integers) -> Vector:
        """How much of the free days' profile there is in a quarter of an hour, some seconds after midnight."""
        free_days, (passing, lead) = self._arrays["free_days"][at].astype(np.int64), self._of("passing", at).T
        is_free, was_free = free_days >> day % 7 & 1, free_days >> (day + 6) % 7 & 1
        passes = (is_free != was_free) & (quarter < passing)
        share = np.divide(since + lead, passing, out=np.ones(len(at)), where=passes)
        return np.where(~passes, is_free, np.where(is_free > 0, share, 1 - share))

    def _base(self, rows: Integers) -> Vector:
        return np.asarray(0.5 * (self._arrays["level"][rows] + self._arrays["fast_level"][rows]))

    def _spreads(self, rows: Integers) -> tuple[Vector, ...]:
        """What `two_levels` takes beside its state."""
        first = self._of("fast_spread", rows) * self._of("uncertainty", rows)
        names = ("spread", "alpha", "widening", "fast_spread")
        return (*(self._of(name, rows) for name in names), first)

    def _of(self, name: str, at: "Integers | tuple[Integers, Integers]") -> Vector:
        return np.asarray(self._arrays[name][at], np.float64)

    @staticmethod
    def _seen(values: Vector, offsets: Integers) -> Integers:
        """How many values of its series come before each point."""
        known = ~np.isnan(values)
        before = np.concatenate([[0], np.cumsum(known)])
        return np.asarray(before[:-1] - np.repeat(before[offsets[:-1]], np.diff(offsets)))
