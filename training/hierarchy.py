"""Hierarchy: what a region's and the whole fleet's series tell of one that has little history, or none."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models.key import ANY, Series
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MAD_TO_STD, ROUNDING, mad

POOLED_SERIES = 20
"""A region's or the global model of a metric is fitted to the history of at most this many hosts."""
SHORT_SECONDS = 3 * 86400
"""A history that spans less is filled up with what others of the same metric did before."""
LEAST_POINTS = 10
"""Needed to know the level and spread a reference is to be brought to."""
WEEK = 7 * 86400


class Reference(NamedTuple):
    """The history of one series that stands for its metric, around 0 in units of its own spread; see `Points`."""

    timestamps: NDArray[np.int64]
    local: NDArray[np.int64]
    values: NDArray[np.float64]


def pools(series: Sequence[Series], levels: Sequence[str]) -> dict[Series, NDArray[np.int64]]:
    """The series to pool for each fallback model; `levels` are of "region" and "global"."""
    members: dict[Series, list[int]] = {}
    for i, one in enumerate(series):
        if "region" in levels:
            members.setdefault(Series(one.region, ANY, one.metric), []).append(i)
        if "global" in levels:
            members.setdefault(Series(ANY, ANY, one.metric), []).append(i)
    return {pooled: np.array(chosen, np.int64) for pooled, chosen in members.items()}


def references(pooled: Mapping[Series, Points]) -> dict[tuple[str, str], Reference]:
    """By region and metric, the member of each pool that has the most points and is not short itself."""
    found = {}
    for series, members in pooled.items():
        longest = int(np.argmax(members.lengths))
        times, values = members.series(longest)
        if len(times) and times[-1] - times[0] >= SHORT_SECONDS:
            center, spread = _center_and_spread(values)
            local = members.local[members.offsets[longest] : members.offsets[longest + 1]]
            found[series.region, series.metric] = Reference(times, local, (values - center) / spread)
    return found


def backfilled(
    series: Sequence[Series], history: Points, given: Mapping[tuple[str, str], Reference]
) -> tuple[Points, NDArray[np.int64]]:
    """Short histories with a reference's put before them, at their own level and spread; and how much was, (series,).

    So what is fitted to them shrinks toward what is usual of the metric, the more the shorter they are. What was at
    a local time of the reference is put to the same local time.
    """
    parts, clocks, borrowed = [], [], np.zeros(len(series), np.int64)
    for i, one in enumerate(series):
        times, values = history.series(i)
        local = history.local[history.offsets[i] : history.offsets[i + 1]]
        reference = given.get((one.region, one.metric)) or given.get((ANY, one.metric))
        if reference and len(times) >= LEAST_POINTS and times[-1] - times[0] < SHORT_SECONDS:
            earlier, then = _earlier(int(times[0]), reference), _at_level(values, reference)
            borrowed[i] = len(then)
            times, values = np.append(reference.timestamps - earlier, times), np.append(then, values)
            local = np.append(reference.local - earlier, local)
        parts.append((times, values))
        clocks.append(local)
    if not borrowed.any():
        return history, borrowed
    return Points.of(*parts).with_clock(np.concatenate(clocks)), borrowed


def _earlier(first: int, reference: Reference) -> int:
    """By how many seconds, whole weeks, a reference has to be moved to end before the first point of a series."""
    return max(0, -((first - int(reference.timestamps[-1]) - 1) // WEEK)) * WEEK


def _at_level(values: NDArray[np.float64], reference: Reference) -> NDArray[np.float64]:
    center, spread = _center_and_spread(values)
    return center + spread * reference.values


def _center_and_spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """The median, and the standard deviation from the median absolute deviation; never 0."""
    center = float(np.median(values))
    size = float(magnitudes(Points.of((np.arange(len(values)), values)))[0])
    return center, max(MAD_TO_STD * mad(values, center), ROUNDING * size)
