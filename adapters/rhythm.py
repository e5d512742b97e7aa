"""rhythm: a fixed daily profile on a level and a spread that are updated with each point.

    expected = level + profile at the time of day

Telemetry drifts: a level fitted once is soon wrong by more than the noise. So the level of `value - profile` is
updated by exponential smoothing, with a smoothing constant fitted to the series (see `kernels.levels`). The
spread is updated with a half-life of a day: a metric that has become noisier alarms for a while and not for ever.
"""

from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.kernels import predictors
from myriad.kernels.deviations import mean_deviations, mean_steps
from myriad.kernels.levels import clipped_errors
from myriad.kernels.profiles import less_profile, period_means
from myriad.kernels.quantiles import medians
from myriad.models import calibration
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Fit, Model, Param, split_by_length
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MEAN_DEVIATION_TO_STD, ROUNDING, nan_median
from myriad.models.windows import usual_step

DAY, BINS = 86400, 48
BIN = DAY // BINS
MIN_POINTS = 30
MIN_DAYS = 2
"""A profile needs this many days with points in at least half of their bins: a single day may be an exception."""
HALF_LIVES = (30, 240, 900, 3600, 21_600, 86_400, 864_000)
"""Half-lives of the level in seconds; the one with the smallest one-step errors is chosen."""
FIT_POINTS = 4000
"""The half-life is chosen on this many of the latest points."""
MIN_HALF_LIFE = 0.3
"""In points. It gives nearly the last value as the level."""
SPREAD_HALF_LIFE = 86_400
"""In seconds."""
FIRST_POINTS = 100
"""The level starts at their median."""
CLIP = 6.0
"""When the half-life is chosen, an error counts as at most this many mean steps from a value to the next."""
GARROTE = 4.0
"""The `k` of the non-negative garrote, see `_profile`."""
MIN_SPREAD = 1e-290
MAX_EFFECT = 6e4
"""In spreads; effects are kept as float16, whose largest value is 65504."""


class Rhythm(Model):
    """A profile of 48 half hours, a level with its smoothing constant, and the spread of one-step errors."""

    kernel = predictors.Rhythm
    params: ClassVar = {
        "level": Param("<f8", digits=24),
        "spread": Param("<f8", positive=True, digits=10),  # of one-step errors once settled
        "alpha": Param("<f4", positive=True, digits=8),  # the settled gain
        "uncertainty": Param("<f4", positive=True, digits=7),  # of the starting level, in spreads
        "widening": Param("<f4", positive=True, digits=7),  # the smoothing constant of the spread
        "profile": Param("<f2", (BINS,), digits=8),  # what a half hour of the day adds, in spreads
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Fit the profile, then choose the half-life with the smallest errors; at least 30 points are needed."""
        kept, refused = split_by_length(history, MIN_POINTS, "for a moving level")
        points = history.take(kept)
        size, steps = magnitudes(points), usual_step(points)
        profile = _profile(points, size)
        recent = points.latest(FIT_POINTS)
        ends = np.roll(profile, -1, axis=1)
        values = less_profile(recent.local, recent.values, recent.offsets, size, profile, ends, BIN, BIN // 2)
        level = _fitted_level(recent.with_values(values), steps)
        spread = np.maximum(level.error, ROUNDING)
        arrays = {
            "level": level.last * size,
            "spread": np.maximum(spread * size, MIN_SPREAD),
            "alpha": level.alpha,
            "uncertainty": np.clip(level.overall / spread, 0.1, 1e4),
            "widening": 1 - 0.5 ** (steps / SPREAD_HALF_LIFE),
            "profile": np.clip(profile / spread[:, None], -MAX_EFFECT, MAX_EFFECT),
        }
        return Fit(cls.uncalibrated(arrays), kept, refused)


def _profile(points: Points, size: Vector) -> Matrix:
    """How much each half hour of the day usually differs from the median of its day, in sizes, (series, 48).

        effect = m * max(1 - k v / m^2, 0)

    m is the median over the days and v its noise variance, pooled over the half hours: the non-negative garrote
    (Breiman, "Better subset regression using the nonnegative garrote", 1995). A series whose days have nothing in
    common has a profile of zeros.
    """
    by_day = period_means(points.local, points.values, points.offsets, size, BIN, BINS, calibration.MOST_DAYS)
    by_day -= nan_median(by_day, 2)[:, :, None]
    usable = np.isfinite(by_day).sum(axis=2) >= BINS / 2
    by_day[~usable] = np.nan
    days = usable.sum(axis=1)
    median = np.nan_to_num(nan_median(by_day, 1))
    squares = np.nan_to_num((by_day - median[:, None, :]) ** 2)
    count = np.maximum(np.isfinite(by_day).sum(axis=(1, 2)), 1)
    noise = squares.sum(axis=(1, 2)) / count / np.maximum(days - 1, 1)
    ratio = np.divide(GARROTE * noise[:, None], median**2, out=np.full(median.shape, np.inf), where=median**2 > 0)
    effect = median * np.clip(1 - ratio, 0, 1) * (days >= MIN_DAYS)[:, None]
    return effect - np.median(effect, axis=1)[:, None]


class _Level(NamedTuple):
    """A level fitted to each series; every array is (series,).

    Attributes:
        last: the level after the last point.
        alpha: its smoothing constant.
        error: the standard deviation of its one-step errors.
        overall: the standard deviation of the values around their median.
    """

    last: Vector
    alpha: Vector
    error: Vector
    overall: Vector


def _fitted_level(points: Points, steps: NDArray[np.int64]) -> _Level:
    """The level with the smoothing constant that has the smallest clipped one-step errors.

    Args:
        points: values without the profile, finite; at least one a series.
        steps: seconds between the points of each series, (series,).
    """
    values, offsets = points.values, points.offsets
    overall = MEAN_DEVIATION_TO_STD * mean_deviations(values, offsets, np.nan_to_num(medians(values, offsets)))
    mean_step = np.maximum(mean_steps(values, offsets), ROUNDING)
    half_lives = np.maximum(np.array(HALF_LIVES)[None, :] / steps[:, None], MIN_HALF_LIFE)  # in points
    alphas = 1 - 0.5 ** (1 / half_lives)
    early = points.between(offsets[:-1], np.minimum(offsets[:-1] + FIRST_POINTS, offsets[1:]))
    first = medians(early.values, early.offsets)
    total, last = clipped_errors(values, offsets, first, CLIP * mean_step, alphas)
    best, series = total.argmin(axis=1), np.arange(len(points))
    error = MEAN_DEVIATION_TO_STD * total[series, best] / np.maximum(points.lengths, 1)
    return _Level(last[series, best], alphas[series, best], error, overall)
