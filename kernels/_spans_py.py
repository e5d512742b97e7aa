"""Spans: stretches of ragged points, and how far apart these are; the twin of `_spans.pxi`.

Series are ragged: series i owns `offsets[i]:offsets[i + 1]` of the times and values.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.arrays import Integers, Vector


def copied(times: Integers, values: Vector, starts: Integers, lengths: Integers) -> tuple[Integers, Vector, Integers]:
    """The points from each start on, so many, one span after the other: times, values and the offsets of the spans.

    Args:
        times: (n,).
        values: (n,).
        starts: positions of points, (spans,).
        lengths: not negative, (spans,).

    Raises:
        ValueError: a span begins before the first point or ends after the last.
    """
    if len(starts) and (starts.min() < 0 or lengths.min() < 0 or (starts + lengths).max() > len(times)):
        raise ValueError("a span is not one of the points")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return times[places], values[places], offsets


def joined(parts: Sequence[tuple[Integers, Vector, Integers]], places: Integers) -> tuple[Integers, Vector]:
    """The points of several parts, each span at its place: times and values, both (all points,).

    Args:
        parts: of each its times, its values and the lengths of the spans it consists of.
        places: of each span of the first part, then of those of the next, (spans,).

    Raises:
        ValueError: a span has no place.
    """
    lengths = np.concatenate([np.empty(0, np.int64), *(one for _, _, one in parts)])
    times = np.concatenate([np.empty(0, np.int64), *(one for one, _, _ in parts)])
    values = np.concatenate([np.empty(0), *(one for _, one, _ in parts)])
    if len(places) != len(lengths) or lengths.sum() != len(times):
        raise ValueError("a span has no place")
    to = np.arange(len(times)) + np.repeat(places - (np.cumsum(lengths) - lengths), lengths)
    if len(to) and (to.min() < 0 or to.max() >= len(times)):
        raise ValueError("a span has no place")
    joined_times, joined_values = np.empty_like(times), np.empty_like(values)
    joined_times[to], joined_values[to] = times, values
    return joined_times, joined_values


def where(
    times: Integers, values: Vector, offsets: Integers, keep: NDArray[np.uint8]
) -> tuple[Integers, Vector, Integers]:
    """The points at which `keep`, (n,), is not 0, and the offsets of their series, some of which may be empty."""
    kept = np.flatnonzero(keep)
    return times[kept], values[kept], np.searchsorted(kept, offsets)


def common_step(times: Integers, offsets: Integers) -> int:
    """The time between consecutive points if it is the same throughout all series, each of at least two, else 0."""
    if len(offsets) < 2 or np.diff(offsets).min() < 2:
        return 0
    gaps = np.diff(times)
    gaps[offsets[1:-1] - 1] = gaps[0]
    return int(gaps[0]) if (gaps == gaps[0]).all() else 0
