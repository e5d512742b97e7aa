"""rhythm: a daily profile around a level that follows the posted points, as fast as the series usually drifts.

Telemetry drifts: a profile fitted once is soon wrong by more than its noise. So the level of the values less the
profile is followed with a fitted smoothing constant, and the spread with a half-life of a day, so that a metric that
has become noisier alarms for a while and not for ever.
"""

from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._follow import Start, Vector, follow, latest, padded
from myriad.models.base import Fit, Model, Param, Prediction, long_enough
from myriad.models.points import Points, magnitudes
from myriad.models.windows import own_step

DAY, BINS = 86400, 48
BIN = DAY // BINS
MIN_POINTS = 30
MIN_DAYS = 2
"""Days of which half the bins have points, needed to tell a rhythm from what happened once."""
HALF_LIVES = (30, 240, 900, 3600, 21_600, 86_400, 864_000)
"""Seconds in which half of a shift is followed; the one with the smallest errors is taken."""
FIT_POINTS = 4000
"""It is chosen on this many of the latest points."""
SHORTEST = 0.3
"""Points in which half of a shift is followed, at the least: close to taking the last value for the level."""
SPREAD_SECONDS = 86_400
"""Half-life of the spread."""
SPREAD_BOUNDS = (0.5, 30.0)
CLIP = 6.0
"""Errors count for no more than this many typical differences when a half-life is chosen."""
BELIEF = 4.0
"""An effect is believed as far as its square exceeds this many noise variances."""
ROUNDING = 1e-9
SMALLEST_SPREAD = 1e-290
HALVES_OF_NORMAL = float(np.sqrt(np.pi / 2))
"""For a normal distribution the standard deviation is this many mean absolute deviations."""
MOST_SPREADS = 6e4
"""An effect is kept as a float16."""


class Rhythm(Model):
    """A profile of 48 half hours, a level with its smoothing constant, and the spread of one-step errors."""

    params: ClassVar = {
        "level": Param("<f8", digits=24),
        "spread": Param("<f8", positive=True, digits=10),  # of one-step errors once settled
        "alpha": Param("<f4", positive=True, digits=8),  # the settled gain
        "uncertainty": Param("<f4", positive=True, digits=7),  # of the starting level, in spreads
        "widening": Param("<f4", positive=True, digits=7),  # how much of a point's size the spread takes on
        "profile": Param("<f2", (BINS,), digits=8),  # what a half hour of the day adds, in spreads
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """A profile where days repeat themselves, and the half-life with the smallest errors; 30 points are needed."""
        kept, refused = long_enough(history, MIN_POINTS, "for a moving level")
        points = history.take(kept)
        size, steps = magnitudes(points), own_step(points)
        values = points.values / size[points.owner]  # squares of huge and tiny values stay finite
        profile = _profile(points.with_values(values))
        recent = latest(points.with_values(values), FIT_POINTS)
        left = recent.values - _at(profile, recent.owner, recent.timestamps)
        level = _followed(padded(recent.with_values(left)), steps)
        spread = np.maximum(level.error, ROUNDING)
        arrays = {
            "level": level.last * size,
            "spread": np.maximum(spread * size, SMALLEST_SPREAD),
            "alpha": level.alpha,
            "uncertainty": np.clip(level.wander / spread, 0.1, 1e4),
            "widening": 1 - 0.5 ** (steps / SPREAD_SECONDS),
            "profile": np.clip(profile / spread[:, None], -MOST_SPREADS, MOST_SPREADS),
        }
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step forecasts: the level known from the points before, and what the time of day adds to it."""
        at = np.repeat(rows, points.lengths)
        profile = _at(self.arrays["profile"], at, points.timestamps) * self.arrays["spread"][at]
        names = ("level", "spread", "alpha", "uncertainty", "widening")
        start = Start(*(self.arrays[name][rows].astype(np.float64) for name in names))
        level, spread = follow(points.with_values(points.values - profile), start, SPREAD_BOUNDS)
        return self.banded(points.values, level + profile, self.half_band(at, spread))


def _at(profile: NDArray[np.floating], rows: NDArray[np.int64], timestamps: NDArray[np.int64]) -> Vector:
    """The profile at each time: linear between the middles of the half hours."""
    middle, second = np.divmod(timestamps - BIN // 2, BIN)
    low = profile[rows, middle % BINS].astype(np.float64)
    return low + (profile[rows, (middle + 1) % BINS] - low) * (second / BIN)


def _profile(points: Points) -> Vector:
    """What each half hour of the day usually differs by from its day's median, (series, 48); 0 where nothing repeats.

    How far an effect is believed is the non-negative garrote (Breiman, "Better subset regression using the nonnegative
    garrote", 1995): 1 - k v / m^2 for an effect m whose noise variance is v.
    """
    by_day = _by_day(points)
    by_day = by_day - _nanmedian(by_day, 2)[:, :, None]
    half_there = np.isfinite(by_day).sum(axis=2) >= BINS / 2
    by_day[~half_there] = np.nan
    days = half_there.sum(axis=1)
    usual = np.nan_to_num(_nanmedian(by_day, 1))
    squares = np.nan_to_num((by_day - usual[:, None, :]) ** 2)
    counted = np.maximum(np.isfinite(by_day).sum(axis=(1, 2)), 1)
    noise = squares.sum(axis=(1, 2)) / counted / np.maximum(days - 1, 1)
    ratio = np.divide(BELIEF * noise[:, None], usual**2, out=np.full(usual.shape, np.inf), where=usual**2 > 0)
    believed = usual * np.clip(1 - ratio, 0, 1) * (days >= MIN_DAYS)[:, None]
    return believed - np.median(believed, axis=1)[:, None]


def _by_day(points: Points) -> Vector:
    """Means of the half hours of each day, (series, days, 48), NaN where there are no points."""
    bins = points.timestamps // BIN
    new = np.ones(len(bins), bool)
    np.not_equal(bins[1:], bins[:-1], out=new[1:])
    new[points.offsets[:-1][points.lengths > 0]] = True
    starts = np.flatnonzero(new)
    owner, here = points.owner[starts], bins[starts]
    first = np.full(len(points), here.max(initial=0))
    np.minimum.at(first, owner, here)
    since = here - (first // BINS * BINS)[owner]
    days = int(since.max(initial=0)) // BINS + 1
    means = np.full(len(points) * days * BINS, np.nan)
    if len(starts):
        count = np.diff(np.append(starts, len(bins)))
        means[owner * days * BINS + since] = np.add.reduceat(points.values, starts) / count
    return means.reshape(len(points), days, BINS)


class _Level(NamedTuple):
    """The last level, its smoothing constant, the spread of its errors, how far values stray; each (series,)."""

    last: Vector
    alpha: Vector
    error: Vector
    wander: Vector


def _followed(values: Vector, steps: NDArray[np.int64]) -> _Level:
    """The smoothing constant with the smallest clipped errors, from values (points, series), NaN below the end."""
    if values.size == 0:
        return _Level(*[np.empty(values.shape[1])] * 4)
    center = _nanmedian(values, 0)
    wander = np.sqrt(np.pi / 2) * np.nanmean(np.abs(values - center), axis=0)
    typical = np.maximum(np.nanmean(np.abs(np.diff(values, axis=0)), axis=0), ROUNDING)
    points = np.maximum(np.array(HALF_LIVES)[:, None] / steps, SHORTEST)
    alphas = 1 - 0.5 ** (1 / points)
    level = np.repeat(_nanmedian(values[:100], 0)[None, :], len(alphas), axis=0)
    total, limit = np.zeros_like(level), CLIP * typical
    there = np.isfinite(values)
    for observed, known in zip(np.where(there, values, 0.0), there, strict=True):
        error = np.minimum(np.maximum((observed - level) * known, -limit), limit)
        total += np.abs(error)
        level += alphas * error
    best, series = total.argmin(axis=0), np.arange(values.shape[1])
    error = HALVES_OF_NORMAL * total[best, series] / np.maximum(there.sum(axis=0), 1)
    return _Level(level[best, series], alphas[best, series], error, wander)


def _nanmedian(values: Vector, axis: int) -> Vector:
    """The median along an axis; NaN where there is nothing, as `np.nanmedian`, without a warning."""
    ordered = np.sort(values, axis=axis)  # NaN last
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low, high = (np.maximum(count - 1, 0) // 2), np.maximum(count // 2, 0)
    most = values.shape[axis] - 1
    middle = [np.take_along_axis(ordered, np.minimum(at, most), axis=axis) for at in (low, high)]
    return np.asarray(((middle[0] + middle[1]) / 2).squeeze(axis))
