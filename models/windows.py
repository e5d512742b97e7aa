"""Windows: the trailing means a series is looked at through.

The value of a window at t is the mean of the points in (t - window, t]. It is given at every posted timestamp, and
is NaN where fewer points lie in the window than the minimum coverage asks for.
"""

import functools
import re
from typing import Self

import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import InvalidKey
from myriad.models.points import Points

MIN_COVERAGE = 0.5
"""The share of a window's expected points that must be there for it to have a value."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TEXT = re.compile(r"([1-9][0-9]{0,5})([smhd])")


class Window(int):
    """An aggregation interval in seconds, written as `1m`, `15m` or `1h`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The window written as `text`.

        Raises:
            InvalidKey: it is not a positive whole number followed by s, m, h or d.
        """
        return cls(_seconds(text))

    def __str__(self) -> str:
        return _text(int(self))

    __repr__ = __str__


@functools.lru_cache(maxsize=1024)
def _seconds(text: str) -> int:
    found = _TEXT.fullmatch(text)
    if not found:
        raise InvalidKey("window", text, "is not a number of s, m, h or d, as in 15m")
    return int(found.group(1)) * _UNITS[found.group(2)]


@functools.lru_cache(maxsize=1024)
def _text(seconds: int) -> str:
    unit = next(u for u in reversed(_UNITS) if seconds % _UNITS[u] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


DEFAULT_WINDOWS = (Window(60), Window(900), Window(3600))


def own_step(points: Points) -> NDArray[np.int64]:
    """The usual distance between the points of each series, in seconds: the median, and at least 1. int64 (series,)."""
    if points.lengths.min(initial=0) > 1 and (step := _common_step(points)):
        return np.full(len(points), step)
    return np.array([_median_step(points.series(i)[0]) for i in range(len(points))], np.int64)


def aggregate(
    points: Points, windows: tuple[int, ...], steps: NDArray[np.int64], coverage: float = MIN_COVERAGE
) -> NDArray[np.float64]:
    """The value of each window at each point.

    Args:
        points: tidied (in time order, no duplicates).
        windows: seconds.
        steps: the usual distance between the points of each series in seconds, int64 (series,).
        coverage: the share of the `window / step` expected points needed for a value.

    Returns:
        float64 (windows, n), NaN where the coverage is not reached. A value depends on the points in its window and
        on nothing else: each is summed by itself and never as a difference of running sums, so neither a huge value
        earlier in the series nor a neighbouring series costs it any digits.
    """
    owner = points.owner
    counts = _counts(points, owner, windows)
    means = _sums(points.values, counts) / counts
    needed = np.ceil(coverage * np.array(windows)[:, None] / steps)
    means[counts < needed[:, owner]] = np.nan
    return means


def _sums(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum of the `counts[w, i]` values that end at i, each at least 1; float64 (windows, n)."""
    spans = np.empty((*counts.shape, 2), np.int64)
    spans[..., 1] = np.arange(1, len(values) + 1)
    spans[..., 0] = spans[..., 1] - counts
    # Every other span runs from the end of one window to the start of the next: those are not looked at.
    ended = np.zeros(len(values) + 1)
    ended[:-1] = values
    sums = np.add.reduceat(ended, spans.ravel()) if counts.size else np.empty(0)
    return np.asarray(sums[::2].reshape(counts.shape))


def _counts(points: Points, owner: NDArray[np.int64], windows: tuple[int, ...]) -> NDArray[np.int64]:
    """How many points lie in (t - window, t] for each window and point, int64 (windows, n)."""
    times = points.timestamps
    if len(times) == 0:
        return np.zeros((len(windows), 0), np.int64)
    position = np.arange(1, len(times) + 1) - points.offsets[:-1][owner]
    if step := _common_step(points):
        return np.minimum(position, -(-np.array(windows) // step)[:, None])
    # Setting the series apart by more than any window turns one search per series into a single one.
    earliest = times.min()
    apart = int(times.max() - earliest) + max(windows) + 1
    line = times - earliest + owner * apart
    before = np.searchsorted(line, line - np.array(windows)[:, None], side="right")
    return np.arange(1, len(times) + 1) - before


def _common_step(points: Points) -> int:
    """The distance between all points of all series, 0 where it is not always the same."""
    gaps = points.timestamps[1:] - points.timestamps[:-1]
    inside = np.ones(len(gaps), bool)
    inner = points.offsets[1:-1]
    inside[inner[(inner > 0) & (inner < len(points.timestamps))] - 1] = False
    gaps = gaps[inside]
    return int(gaps[0]) if len(gaps) and (gaps == gaps[0]).all() else 0


def _median_step(times: NDArray[np.int64]) -> int:
    return max(1, int(np.median(np.diff(times)))) if len(times) > 1 else 1
