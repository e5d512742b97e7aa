"""Deviations: how far values are from what was expected of them, and what that scores; the twin of `_deviations.pxi`.

Series are ragged: series i owns `offsets[i]:offsets[i + 1]` of the values. Sums are added up in order of the points.
"""

import numpy as np
from numpy.typing import NDArray

from myriad.kernels._quantiles_py import medians
from myriad.kernels.arrays import Integers, Vector


def mean_deviations(values: Vector, offsets: Integers, centers: Vector) -> Vector:
    """The mean of |value - centre|, (series,); 0 where there is none.

    Args:
        values: finite, (n,).
        offsets: (series + 1,).
        centers: (series,).
    """
    owner = _owner(offsets)
    return _sums(owner, np.abs(values - centers[owner]), offsets) / np.maximum(np.diff(offsets), 1)


def around_medians(values: Vector, offsets: Integers) -> tuple[Vector, Vector, Vector, Vector]:
    """How far each value is from the median of its series, (n,); the medians, and the means and medians of these.

    The last three are (series,), NaN where there is no value.

    Args:
        values: finite, (n,).
        offsets: (series + 1,).
    """
    centers = medians(values, offsets)
    distances, empty = np.abs(values - centers[_owner(offsets)]), np.diff(offsets) == 0
    return (
        distances,
        centers,
        np.where(empty, np.nan, mean_deviations(values, offsets, centers)),
        medians(distances, offsets),
    )


def mean_steps(values: Vector, offsets: Integers) -> Vector:
    """The mean distance between a value and the next, (series,); 0 where there is none.

    Args:
        values: finite, (n,).
        offsets: (series + 1,).
    """
    steps = np.abs(np.diff(values, prepend=0.0))
    starts = offsets[:-1]
    steps[starts[starts < len(steps)]] = 0.0
    return _sums(_owner(offsets), steps, offsets) / np.maximum(np.diff(offsets) - 1, 1)


def strayed(values: Vector, expected: Vector, offsets: Integers, typical: Vector, most: float) -> tuple[Vector, Vector]:
    """How far each value strayed, (n,), and the mean error of each series, (series,).

        error = mean of min(|value - expected| / typical, most)        0 where there is no value

    Args:
        values: finite, (n,).
        expected: of each value.
        offsets: (series + 1,).
        typical: positive, (series,).
        most: see above.
    """
    owner, distance = _owner(offsets), np.abs(values - expected)
    error = _sums(owner, np.minimum(distance / typical[owner], most), offsets) / np.maximum(np.diff(offsets), 1)
    return distance, error


def scored(
    distances: Vector, halves: Vector, offsets: Integers, limits: Vector, floors: Vector
) -> tuple[Vector, Vector, Vector]:
    """The score of each deviation, (n,), the share of those above 1 and the score of the floor, both (series,).

        wide  = max(half * limit, floor)
        score = distance / wide
        of the floor: the median of floor / wide       NaN where a series has none

    Args:
        distances: NaN where not known, (n,).
        halves: NaN where not known, (n,).
        offsets: (series + 1,).
        limits: (series,).
        floors: (series,).
    """
    owner = _owner(offsets)
    wide = np.maximum(halves * limits[owner], floors[owner])
    scores = distances / wide
    above = _sums(owner, (scores > 1).astype(np.float64), offsets) / np.maximum(np.diff(offsets), 1)
    return scores, above, medians(floors[owner] / wide, offsets)


def within(values: Vector, offsets: Integers, centers: Vector, limits: Vector) -> NDArray[np.bool_]:
    """Whether |value - centre| is at most the limit of its series, (n,).

    Args:
        values: (n,).
        offsets: (series + 1,).
        centers: (series,).
        limits: (series,).
    """
    owner = _owner(offsets)
    return np.abs(values - centers[owner]) <= limits[owner]


def moves(values: Vector, offsets: Integers, near_zero: float) -> Integers:
    """How often each series rises, falls, and falls to more than a share of what it was, (series, 3).

    Args:
        values: finite, (n,).
        offsets: (series + 1,).
        near_zero: the share.
    """
    owner, before = _owner(offsets), np.concatenate([values[:1], values[:-1]])
    inner = np.diff(owner, prepend=-1) == 0
    rise, fall = inner & (values > before), inner & (values < before)
    counts = [np.bincount(owner, one, len(offsets) - 1) for one in (rise, fall, fall & (values > near_zero * before))]
    return np.stack(counts, axis=1).astype(np.int64)


def _owner(offsets: Integers) -> Integers:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _sums(owner: Integers, values: Vector, offsets: Integers) -> Vector:
    return np.asarray(np.bincount(owner, values, len(offsets) - 1), np.float64)
