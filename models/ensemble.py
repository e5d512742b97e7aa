"""Ensemble: one score from the scores of several windows."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from myriad.models.windows import Window

Combine = Literal["weighted", "min", "max"]
"""weighted: the mean, longer windows counting more. min: every window agrees (page). max: any window (explore)."""

COMBINES: tuple[Combine, ...] = get_args(Combine)
DEFAULT_WEIGHTS: Mapping[Window, float] = {Window(60): 1.0, Window(900): 2.0, Window(3600): 4.0}
MAX_WINDOWS = 6
"""A release has at most this many windows: a calibrated combination is kept for every subset of them."""


def combine(scores: NDArray[np.float64], weights: Sequence[float], how: Combine) -> NDArray[np.float64]:
    """One uncalibrated score a point from float64 (windows, n), leaving out what is NaN.

    Weights are renewed over the windows that have a score. NaN where none has.
    """
    there = ~np.isnan(scores)
    complete = bool(there.all())
    if how == "weighted":
        shares = np.asarray(weights, np.float64)
        if complete:
            return _sum([share * one for share, one in zip(shares / shares.sum(), scores, strict=True)])
        each = there * shares[:, None]
        total = _sum(each)
        each = np.divide(each, total, out=np.full(each.shape, np.nan), where=total > 0)
        return _sum(each * np.where(there, scores, 0.0))
    pick, worst = (np.minimum, np.inf) if how == "min" else (np.maximum, -np.inf)
    combined = pick.reduce(scores if complete else np.where(there, scores, worst))
    if not complete:
        combined[~there.any(axis=0)] = np.nan
    return combined


def _sum(rows: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The sum over few long rows, which NumPy's own takes twice as long for."""
    return functools.reduce(np.add, rows)


def subset(there: NDArray[np.bool_], positions: Sequence[int]) -> NDArray[np.int64]:
    """Which windows have a score at each point, as a bit mask, int64 (n,).

    Args:
        there: whether they do, bool (windows, n).
        positions: the bit of each window: its position among the release's.
    """
    bits = np.zeros(there.shape[1], np.int64)
    for window, position in zip(there, positions, strict=True):
        bits += window.astype(np.int64) << position
    return bits


def subsets(windows: int) -> range:
    """The bit masks of all subsets, the empty one included."""
    return range(1 << windows)
