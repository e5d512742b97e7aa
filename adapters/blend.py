"""blend: a slow and a fast level over a daily profile, and one of free days; a value is odd that is far from both.

    score of a level = |value - level - profile| / (threshold of the level * spread of the level)
    score            = sqrt(score of the slow level * score of the fast level) / threshold

The score is at most three times that of the slow level: when a window no longer contains an outlier, its mean is back
where it always was, however far the fast level has gone.

Where it says more of the last quarter of a history than one profile, free days - Saturday and Sunday, or Friday and
Saturday - have one of their own. A window's value passes from the one into the other within the window.

The slow level takes a quarter of a day to follow a shift, the fast one a few points. What an incident does is far from
both; a shift that stays is soon near the fast one, and noise that returns to where it was is near the slow one. The
geometric mean is small where either is. The spread of the slow level grows and shrinks with its errors within a day,
and differs by the half hour where the values repeat themselves daily.
"""

from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.kernels import predictors
from myriad.kernels.deviations import around_medians, mean_deviations
from myriad.kernels.levels import FAST_SHARE, fitted_levels, level_deviations
from myriad.kernels.profiles import less_profile, period_maxima, period_means
from myriad.kernels.quantiles import medians
from myriad.models import calibration
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, split_by_length
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MAD_TO_STD, MEAN_DEVIATION_TO_STD, nan_median
from myriad.models.windows import usual_step

DAY, QUARTER, BINS = 86400, 900, 48
BIN = DAY // BINS
MIN_POINTS = 30
MIN_DAYS = 2
"""A profile needs this many days: a single one may be an exception."""
MIN_WEEK_DAYS = 14
"""Free days have a profile of their own only where the first part of a history has this many."""
FREE_DAYS = (0b0001100, 0b0000110)
"""Saturday and Sunday, Friday and Saturday: bits of the days of the week, from Thursday on, the first of the epoch."""
PASSING = (0, 900, 3600)
"""Seconds after midnight in which a day passes into one of the other kind: as long as the window that values are of."""
SLOW_HALF_LIFE, SPREAD_HALF_LIFE = 21_600, 86_400
"""In seconds: of the slow level, and of the variance of its errors."""
UNKNOWN_HALF_LIFE = 120
"""Of that variance, in points, where the history did not move: it says nothing of how wide values are once they do."""
JUDGED = 0.25
"""The share of a history, its last part, on which a profile has to be better than none."""
GAIN = 0.02
"""By so much, as a share of the mean deviation."""
LEAST_SPREAD = 0.1
"""Of a level's errors, as a share of the spread of the values around their median."""
LEAST_SHARE = 1e-3
"""Of a level's errors, as a share of the usual largest value: a metric that idled can be followed once it is used."""
SPREAD_BOUNDS = (0.6, 3.0)
"""Of the spread of a half hour, as multiples of that of the day."""
LEAST_THRESHOLD = 2.0
"""Of a level, in spreads."""
UNKNOWN_THRESHOLD = 4.0
"""Of a level, where no held-out value was off it: that of a normal distribution."""
MARGIN = 2.0
"""What recurs is seldom quite the same."""
MOST_SPREADS = 1e4
MIN_SPREAD = 1e-290
MAX_EFFECT = 6e4
"""In spreads; effects are kept as float16, whose largest value is 65504."""


class Blend(Model):
    """Two levels with their spreads, and for each half hour of the day what it adds and how wide it is.

    What is expected is the middle of both. The score is not proportional to the deviation from there. So the band
    depends on the value: its width is the one at which the deviation of this value gives its score, and at most three
    times as wide as where the score is 1. Of a first value, for which the fast level is not known, it is as wide as
    that.
    """

    kernel = predictors.Blend
    version = 3
    least_threshold = 0.8
    """A little below where the levels' own scores are 1: both being beyond theirs at once is rarer than the rate."""

    params: ClassVar = {
        "level": Param("<f8", digits=24),  # the slow one
        "spread": Param("<f8", positive=True, digits=10),  # of errors from it
        "alpha": Param("<f4", positive=True, digits=8),  # its smoothing constant
        "widening": Param("<f4", positive=True, digits=7),  # that of the variance of its errors
        "fast_level": Param("<f8", digits=24),
        "profile": Param("<f2", (BINS,), digits=8),  # what a half hour of the day adds, in spreads
        "spreads": Param("<f2", (BINS,), positive=True, digits=7),  # of a half hour, as multiples of the spread
        "fast_spread": Param("<f8", positive=True, digits=10),  # of errors from the fast level
        "uncertainty": Param("<f4", positive=True, digits=7),  # of the fast level before any value, in fast spreads
        "free_profile": Param("<f2", (BINS,), digits=8),  # what that of a free day has beyond the profile
        "free_days": Param("u1"),  # bits as in `FREE_DAYS`, 0 for none
        "passing": Param("<f4", (2,)),  # seconds in which a day passes into one of the other kind, and those before it
        "slow_threshold": Param("<f4", positive=True, digits=10),  # the error that scores 1, in spreads
        "fast_threshold": Param("<f4", positive=True, digits=10),  # likewise, in fast spreads
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Fit the profile and follow the levels through the history; at least 30 points are needed.

        The levels' thresholds are 1 until `tuned_on_held_out` gives them their own.
        """
        kept, refused = split_by_length(history, MIN_POINTS, "for two levels")
        points = history.take(kept)
        size, steps = magnitudes(points), usual_step(points)
        profile = _shown(points, size)
        values = profile.taken_from(points, size)
        distance, center, mean, median = around_medians(values, points.offsets)
        overall = MEAN_DEVIATION_TO_STD * mean
        least = np.maximum(LEAST_SPREAD * overall, LEAST_SHARE)
        limit = np.maximum(MAD_TO_STD * median, least)
        alpha = 1 - 0.5 ** (steps / SLOW_HALF_LIFE)
        state = np.stack([center, np.ones(len(alpha)), center, np.ones(len(alpha))], axis=1)
        slow_spread, fast_spread = fitted_levels(values, points.offsets, state, limit, alpha, least, MAD_TO_STD)
        is_unknown = overall < LEAST_SHARE  # errors from either level will be as wide once the values move
        fast_spread = np.where(is_unknown, slow_spread / FAST_SHARE, fast_spread)
        arrays = {
            "level": state[:, 0] * size,
            "spread": np.maximum(slow_spread * size, MIN_SPREAD),
            "alpha": alpha,
            "widening": np.maximum(
                1 - 0.5 ** (steps / SPREAD_HALF_LIFE), is_unknown * (1 - 0.5 ** (1 / UNKNOWN_HALF_LIFE))
            ),
            "fast_level": state[:, 2] * size,
            "profile": np.clip(profile.usual / slow_spread[:, None], -MAX_EFFECT, MAX_EFFECT),
            "free_profile": np.clip(profile.free / slow_spread[:, None], -MAX_EFFECT, MAX_EFFECT),
            "free_days": profile.free_days,
            "passing": profile.passing,
            "spreads": _spreads(points, distance, np.asarray(profile.usual.any(axis=1))),
            "fast_spread": np.maximum(fast_spread * size, MIN_SPREAD),
            "uncertainty": np.clip(overall / fast_spread, 1, 1e4),
            "slow_threshold": np.ones(len(kept)),
            "fast_threshold": np.ones(len(kept)),
        }
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def tuned_on_held_out(self, held_out: Points, floor: Vector, rate: float) -> Arrays:  # noqa: ARG002  see `Model`
        """`slow_threshold` and `fast_threshold`, exceeded at the rate, and `spreads` as wide as what recurs daily."""
        arrays = {name: np.asarray(array, np.float64) for name, array in self.arrays.items()}
        spread, fast_spread = arrays["spread"], arrays["fast_spread"]
        times, offsets, ones = held_out.local, held_out.offsets, np.ones(self.rows)
        usual, free = (arrays[name] * spread[:, None] for name in ("profile", "free_profile"))
        values = _Profile(usual, free, self.arrays["free_days"], arrays["passing"]).taken_from(held_out, ones)
        state = np.stack([arrays["level"], ones, arrays["fast_level"], ones], axis=1)
        errors = level_deviations(
            times, values, offsets, state, spread, arrays["alpha"], arrays["widening"], fast_spread,
            fast_spread * arrays["uncertainty"], arrays["spreads"], BIN,
        )  # fmt: skip
        slow_threshold, fast_threshold = (_threshold(error, held_out, rate) for error in errors)
        by_day = period_maxima(times, errors[0] * errors[1], offsets, BIN, BINS, calibration.MOST_DAYS)
        by_day /= (slow_threshold * fast_threshold)[:, None, None]
        daily = np.maximum(MARGIN * calibration.recurring(by_day, held_out, rate), 1.0)
        by_day = np.fmax.reduce(by_day / daily[:, None], axis=2, keepdims=True)
        anywhere = np.sqrt(np.maximum(MARGIN * calibration.recurring(by_day, held_out, rate)[:, 0], 1.0))
        found = {
            "slow_threshold": slow_threshold * anywhere,
            "fast_threshold": fast_threshold * anywhere,
            "spreads": np.minimum(arrays["spreads"] * daily, MOST_SPREADS),
        }
        return {name: self.params[name].cast(found[name]) for name in found}


class _Profile(NamedTuple):
    """What each half hour of the day adds, of each series.

    Attributes:
        usual: (series, 48).
        free: what is added to that on free days, (series, 48).
        free_days: bits as in `FREE_DAYS`, u1 (series,).
        passing: seconds after midnight in which the one becomes the other, and how many of these have passed at
            midnight: a mean of a window contains a point of the new day then; (series, 2).
    """

    usual: Matrix
    free: Matrix
    free_days: NDArray[np.uint8]
    passing: Vector

    def taken_from(self, points: Points, size: Vector) -> Vector:
        """The values without it, in sizes, (n,)."""
        given = points.local, points.values, points.offsets, size
        if not self.free_days.any():
            return less_profile(*given, self.usual, np.roll(self.usual, -1, axis=1), BIN, BIN // 2)
        starts, ends = (self._at(np.arange(0, 7 * DAY, QUARTER), later) for later in (0, QUARTER))
        return less_profile(*given, starts, ends, QUARTER, 0)

    def _at(self, quarters: NDArray[np.int64], later: int) -> Matrix:
        """What it is in each quarter of an hour of a week, some seconds after its start, (series, quarters)."""
        day, (passing, lead) = quarters // DAY, self.passing.T[:, :, None]
        is_free, was_free = (self.free_days[:, None] >> some % 7 & 1 for some in (day, day + 6))
        passes = (is_free != was_free) & (quarters % DAY < passing)
        share = np.divide(quarters % DAY + later + lead, passing, out=np.ones(passes.shape), where=passes)
        share = np.where(~passes, is_free, np.where(is_free > 0, share, 1 - share))
        low, second = np.divmod((quarters + later - BIN // 2) % DAY, BIN)
        usual, free = (
            some[:, low] + (some[:, (low + 1) % BINS] - some[:, low]) * (second / BIN)
            for some in (self.usual, self.free)
        )
        return np.ascontiguousarray(usual + share * free)

    def where(self, chosen: NDArray[np.bool_], other: Self) -> Self:
        """That of the chosen series, and another's of the rest."""
        rows = chosen[:, None]
        return type(self)(
            np.where(rows, self.usual, other.usual),
            np.where(rows, self.free, other.free),
            np.where(chosen, self.free_days, other.free_days),
            np.where(rows, self.passing, other.passing),
        )


class _Days(NamedTuple):
    """What histories are day by day, which all profiles are made of.

    Attributes:
        means: of each half hour, in sizes, (series, days, 48), NaN where there are no points.
        center: the median of all points, in sizes, (series,).
        number: of each day since the epoch, (series, days).
        step: seconds between points, (series,).
    """

    means: NDArray[np.float64]
    center: Vector
    number: NDArray[np.int64]
    step: NDArray[np.int64]

    @classmethod
    def of(cls, points: Points, size: Vector) -> Self:
        means = period_means(points.local, points.values, points.offsets, size, BIN, BINS, calibration.MOST_DAYS)
        last = np.maximum.reduceat(points.local, points.offsets[:-1]) // DAY
        number = last[:, None] - np.arange(means.shape[1])[::-1]
        return cls(means, medians(points.values, points.offsets) / size, number, usual_step(points))


def _profile(days: _Days, free_days: int, passing: int) -> _Profile:
    """How far the median over the days of each half hour's mean is from that of all points, in sizes.

    0 where there are no points. Half hours in which a kind of day passes into the other do not count for either.
    """
    series, center = len(days.center), days.center[:, None]
    if not free_days:
        usual = np.nan_to_num(nan_median(days.means, 1) - center)
        return _Profile(usual, np.zeros_like(usual), np.zeros(series, np.uint8), np.zeros((series, 2)))
    is_free, was_free = (free_days >> some % 7 & 1 > 0 for some in (days.number, days.number + 6))
    passes = (is_free != was_free)[:, :, None] & (np.arange(BINS) * BIN < passing)
    usual, free = (
        nan_median(np.where(some[:, :, None] & ~passes, days.means, np.nan), 1) for some in (~is_free, is_free)
    )
    return _Profile(
        np.nan_to_num(usual - center),
        np.nan_to_num(free - usual),
        np.full(series, free_days, np.uint8),
        np.stack([np.full(series, float(passing)), np.minimum(days.step, passing)], axis=1),
    )


def _shown(points: Points, size: Vector) -> _Profile:
    """The profile of each history: that of its first part which is the best in the last, and none if none is better."""
    middle = calibration.first_after(points, 1 - JUDGED)
    first, last = points.between(points.offsets[:-1], middle), points.between(middle, points.offsets[1:])
    known = np.maximum(first.lengths, 1)
    long = (first.timestamps[first.offsets[:-1] + known - 1] - first.timestamps[first.offsets[:-1]]) / DAY + 0.5
    early, whole = _Days.of(first, size), _Days.of(points, size)
    nothing = np.zeros((len(size), BINS))
    found = _Profile(nothing, nothing, np.zeros(len(size), np.uint8), np.zeros((len(size), 2)))
    least = mean_deviations(found.taken_from(last, size), last.offsets, early.center)
    weekly = [(free_days, passing, MIN_WEEK_DAYS) for free_days in FREE_DAYS for passing in PASSING]
    for free_days, passing, enough in [(0, 0, MIN_DAYS), *weekly]:
        if not (long >= enough).any():
            continue
        error = mean_deviations(_profile(early, free_days, passing).taken_from(last, size), last.offsets, early.center)
        better = (long >= enough) & (error <= (1 - GAIN) * least) & (least > 0)
        if better.any():
            found = _profile(whole, free_days, passing).where(better, found)
            least = np.where(better, error, least)
    return found


def _spreads(points: Points, distance: Vector, is_daily: NDArray[np.bool_]) -> Matrix:
    """How wide each half hour of the day is, as multiples of the day's, (series, 48); 1 where nothing repeats daily.

    The median over the days of the mean distance from the median, smoothed over three half hours.
    """
    by_day = period_means(
        points.local, distance, points.offsets, np.ones(len(points)), BIN, BINS, calibration.MOST_DAYS
    )  # fmt: skip
    width = nan_median(by_day, 1)
    usual = nan_median(width, 1)[:, None]
    ratio = np.divide(width, usual, out=np.ones_like(width), where=(usual > 0) & np.isfinite(width))
    smooth = (np.roll(ratio, 1, axis=1) + ratio + np.roll(ratio, -1, axis=1)) / 3
    return np.where(is_daily[:, None], np.clip(smooth, *SPREAD_BOUNDS), 1.0)


def _threshold(deviations: Vector, points: Points, rate: float) -> Vector:
    """The deviation that each series exceeds at the rate, (series,); 1 of a series without points."""
    found = calibration.thresholds(deviations, points.offsets, rate)
    found = np.where(found > 0, found, UNKNOWN_THRESHOLD)
    return np.clip(np.where(points.lengths > 0, found, 1.0), LEAST_THRESHOLD, calibration.MAX_THRESHOLD)
