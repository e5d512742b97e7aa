"""Tails: what the scores of several windows combine to, and its high quantiles; the twin of `_tails.pxi`."""

import numpy as np

from myriad.kernels._quantiles_py import quantiles
from myriad.kernels._windows_py import combined
from myriad.kernels.arrays import Integers, Matrix, Vector

MOST_WINDOWS = 8
"""That `joint_quantiles` takes."""
WAYS = 3
"""To combine scores, see `_windows_py.combined`."""


def joint_quantiles(
    scores: Matrix, offsets: Integers, weights: Vector, power: int, levels: Vector
) -> tuple[Matrix, Integers]:
    """Quantiles of the combined score of every subset of windows, at the points where each of these has one.

    Args:
        scores: (windows, n), not finite where a window has none.
        offsets: series i owns `offsets[i]:offsets[i + 1]`, (series + 1,).
        weights: positive, (windows,).
        power: of the weighted mean, see `_windows_py.combined`.
        levels: between 0 and 1, ascending.

    Returns:
        Quantiles, (series, ways, subsets, levels), NaN where there are no points; and how many points there are,
        (series, subsets). Subset m has window w where `m >> w & 1`; those of fewer than two windows are left out.

    Raises:
        ValueError: there are more than `MOST_WINDOWS`.
    """
    if len(scores) > MOST_WINDOWS:
        raise ValueError(f"more than {MOST_WINDOWS} windows")
    series, subsets = len(offsets) - 1, 1 << len(scores)
    found = np.full((series, WAYS, subsets, len(levels)), np.nan)
    counts = np.zeros((series, subsets), np.int64)
    for mask in range(subsets):
        members = [w for w in range(len(scores)) if mask >> w & 1]
        if len(members) < 2:
            continue
        there = np.flatnonzero(np.isfinite(scores[members]).all(axis=0))
        some, ends = scores[np.ix_(np.array(members), there)], np.searchsorted(there, offsets)
        counts[:, mask] = np.diff(ends)
        for how in range(WAYS):
            found[:, how, mask] = quantiles(combined(some, weights[members], power, how), ends, levels)
    return found, counts


def joint_scores(scores: Matrix, offsets: Integers, weights: Vector, power: int, thresholds: Matrix) -> Vector:
    """The weighted power mean of the scores that a point has, over the threshold of just these windows, (n,).

    Args:
        scores: (windows, n), NaN where a window has none.
        offsets: series i owns `offsets[i]:offsets[i + 1]`, (series + 1,).
        weights: positive, (windows,).
        power: see `_windows_py.combined`.
        thresholds: positive, (series, subsets); see `joint_quantiles`.
    """
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    bits = (~np.isnan(scores) << np.arange(len(scores))[:, None]).sum(axis=0)
    return combined(scores, weights, power, 0) / thresholds[owner, bits]
