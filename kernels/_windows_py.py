"""Windows: means of points in trailing windows and what their scores combine to; the twin of `_windows.pxi`."""

import numpy as np

from myriad.kernels.arrays import Integers, Matrix, Vector


def window_means(
    times: Integers, values: Vector, offsets: Integers, windows: Integers, needed: Integers, regime: Integers
) -> Matrix:
    """The mean of the values in (t - window, t] at each point, (windows, n); NaN where too few lie there.

    A mean depends on the values in its window only: neither a huge value earlier in the series nor another series costs
    it any digits.

    Args:
        times: rising within each series, not negative, (n,).
        values: finite, (n,).
        offsets: series i owns `offsets[i]:offsets[i + 1]`, (series + 1,).
        windows: seconds, (windows,).
        needed: how many points a window needs, (windows, regimes).
        regime: of each point, (n,).
    """
    counts = _counts(times, offsets, windows)
    means = _sums(values, counts) / counts
    means[counts < needed[:, regime]] = np.nan
    return means


def _sums(values: Vector, counts: Integers) -> Matrix:
    """The sum of the `counts[w, i]` values that end at i, each at least 1; (windows, n)."""
    spans = np.empty((*counts.shape, 2), np.int64)
    spans[..., 1] = np.arange(1, len(values) + 1)
    spans[..., 0] = spans[..., 1] - counts
    # reduceat also sums from the end of each window to the start of the next: every other sum is dropped. The 0 at the
    # end is there because reduceat takes no position after the last value.
    padded = np.zeros(len(values) + 1)
    padded[:-1] = values
    sums = np.add.reduceat(padded, spans.ravel()) if counts.size else np.empty(0)
    return np.asarray(sums[::2].reshape(counts.shape))


def _counts(times: Integers, offsets: Integers, windows: Integers) -> Integers:
    """How many points lie in (t - window, t] for each window and point, (windows, n)."""
    if len(times) == 0:
        return np.zeros((len(windows), 0), np.int64)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    # Shifting the series apart by more than any window turns one search per series into a single one.
    earliest = times.min()
    shift = int(times.max() - earliest) + int(windows.max()) + 1
    shifted = times - earliest + owner * shift
    before = np.searchsorted(shifted, shifted - windows[:, None], side="right")
    return np.arange(1, len(times) + 1) - before


POWER = 4
"""Of the mean of the windows' scores."""
MOST_SCORE = 1000.0
"""A window's score counts for at most this in the mean."""
HOLD = 2**-0.2
"""What is left of a peak after another point: a half after five."""
MOST_HELD = 20.0
"""No more is held of a peak, or it would outlast its window."""


def combined(scores: Matrix, weights: Vector, power: int, how: int) -> Vector:
    """One score for each point from those of the windows, (n,); NaN where no window has one.

    Args:
        scores: (windows, n), NaN where a window has none.
        weights: positive, (windows,).
        power: `POWER`, or 1 for the plain weighted mean.
        how: 0 for the weighted power mean of those there are, 1 for the smallest, 2 for the largest.

            power mean = (sum of share * min(score, MOST_SCORE)^power)^(1 / power)
    """
    present = ~np.isnan(scores)
    if how:
        extreme, neutral = (np.minimum, np.inf) if how == 1 else (np.maximum, -np.inf)
        return np.where(present.any(axis=0), extreme.reduce(np.where(present, scores, neutral)), np.nan)
    shares = present * weights[:, None]
    total = np.add.reduce(shares)
    shares = np.divide(shares, total, out=np.full(shares.shape, np.nan), where=total > 0)
    limited = np.minimum(np.where(present, scores, 0.0), MOST_SCORE)
    if power != POWER:
        return np.asarray(np.add.reduce(shares * limited))
    squares = limited * limited
    return np.asarray(np.sqrt(np.sqrt(np.add.reduce(shares * (squares * squares)))))


def held(scores: Vector, offsets: Integers) -> Vector:
    """The mean of each score and of the highest lately, (n,); NaN where there is no score.

        highest = max(min(score, MOST_HELD), HOLD * highest)
        held    = (score + max(score, highest)) / 2

    An incident whose score falls below 1 for some points stays one incident.

    Args:
        scores: (n,), NaN where there is none.
        offsets: series i owns `offsets[i]:offsets[i + 1]`, (series + 1,).
    """
    lengths, found = np.diff(offsets), np.empty(len(scores))
    highest = np.zeros(len(lengths))
    for step in range(int(lengths.max(initial=0))):
        mine = np.flatnonzero(lengths > step)
        score = scores[offsets[mine] + step]
        highest[mine] = np.fmax(np.minimum(score, MOST_HELD), HOLD * highest[mine])
        found[offsets[mine] + step] = 0.5 * (score + np.maximum(score, highest[mine]))
    return found
