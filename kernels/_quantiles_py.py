"""Quantiles: those of each of many series, leaving out NaN; the twin of `_quantiles.pyx`.

Series are ragged: series i owns `offsets[i]:offsets[i + 1]` of the values. NaN where a series has no value.
"""

import numpy as np

from myriad.kernels.arrays import Integers, Matrix, Vector

MOST_VALUES = 64
"""That `rolling_medians` are of."""
POINTS_AT_ONCE = 4096
"""Points whose medians are computed together, from a row of values each."""


def medians(values: Vector, offsets: Integers) -> Vector:
    """The median of each series, (series,)."""
    ordered, counts = _ordered(values, offsets)
    row = np.arange(len(counts))
    return (
        ordered[row, np.maximum(counts - 1, 0) // 2] + ordered[row, np.minimum(counts // 2, ordered.shape[1] - 1)]
    ) / 2


def quantiles(values: Vector, offsets: Integers, levels: Vector) -> Matrix:
    """Quantiles of each series, between the two nearest values as `np.quantile` has them; (series, levels).

    Args:
        values: (n,).
        offsets: (series + 1,).
        levels: between 0 and 1, ascending.
    """
    ordered, counts = _ordered(values, offsets)
    place = levels[None, :] * np.maximum(counts - 1, 0)[:, None]
    low = np.floor(place).astype(np.int64)
    share, row = place - low, np.arange(len(counts))[:, None]
    before, after = ordered[row, low], ordered[row, np.minimum(low + 1, np.maximum(counts - 1, 0)[:, None])]
    near_after = after - (after - before) * (1 - share)
    return np.where(share >= 0.5, near_after, before + (after - before) * share)


def ranked(values: Vector, offsets: Integers, ranks: Integers) -> Vector:
    """The value of each series that so many others are not smaller than, (series,); NaN where there are fewer.

    Args:
        values: (n,).
        offsets: (series + 1,).
        ranks: not negative, (series,); 0 for the largest.
    """
    ordered, counts = _ordered(values, offsets)
    place = counts - 1 - ranks
    return np.where(place >= 0, ordered[np.arange(len(counts)), np.maximum(place, 0)], np.nan)


def usual_largest(values: Vector, offsets: Integers, centers: Vector, rare: float, least: int) -> Vector:
    """The largest |value - centre| of each series but for the rare ones, (series,).

    Args:
        values: (n,).
        offsets: (series + 1,).
        centers: finite, (series,).
        rare: the share of the values, and one at least, that is left out.
        least: of fewer values none is rare.
    """
    owner = np.repeat(np.arange(len(centers)), np.diff(offsets))
    sizes = np.abs(values - centers[owner])
    counts = np.bincount(owner, ~np.isnan(sizes), len(centers)).astype(np.int64)
    few = np.where(counts >= least, np.maximum(1, (rare * counts).astype(np.int64)), 0)
    return ranked(sizes, offsets, few)


def rolling_medians(values: Vector, offsets: Integers, centers: Vector, before: Matrix, prior: int) -> Vector:
    """The median before each value of the values before it in its series and `prior` times its centre, (n,).

    Args:
        values: NaN is left out, (n,).
        offsets: (series + 1,).
        centers: (series,).
        before: as many values as are looked back on, those before the first, NaN in place of those there are none of;
            moved behind the last, so that further values can follow; (series, looked back on), with `prior` at most 64.
        prior: at least 1.

    Raises:
        ValueError: there are more values, or none.
    """
    series, lookback = before.shape
    if not 0 < lookback + prior <= MOST_VALUES or prior < 1:
        raise ValueError("between 1 and 64 values have a median, one of them the centre")
    lengths, begin = np.diff(offsets), np.arange(series) * lookback + offsets[:-1]
    owner = np.repeat(np.arange(series), lengths)
    joined = np.empty(len(values) + before.size)
    place = np.arange(len(values)) + (owner + 1) * lookback
    joined[place] = values
    joined[begin[:, None] + np.arange(lookback)] = before
    medians_ = np.empty(len(values))
    for first in range(0, len(values), POINTS_AT_ONCE):
        chunk = np.arange(first, min(first + POINTS_AT_ONCE, len(values)))
        rows = np.empty((len(chunk), lookback + prior))
        rows[:, :lookback] = joined[place[chunk, None] - np.arange(1, lookback + 1)]
        rows[:, lookback:] = centers[owner[chunk], None]
        medians_[chunk] = medians(rows.ravel(), np.arange(len(chunk) + 1) * rows.shape[1])
    before[:] = joined[(begin + lengths)[:, None] + np.arange(lookback)]
    return medians_


def _ordered(values: Vector, offsets: Integers) -> tuple[Matrix, Integers]:
    """The values of each series in order, NaN last, (series, longest + 1); and how many are not NaN."""
    lengths = np.diff(offsets)
    matrix = np.full((len(lengths), int(lengths.max(initial=0)) + 1), np.nan)
    matrix[np.arange(matrix.shape[1])[None, :] < lengths[:, None]] = values
    return np.sort(matrix, axis=1), (~np.isnan(matrix)).sum(axis=1)
