"""Windows: trailing means of a series.

    value of a window at time t = mean of the points in (t - window, t]

There is one for every posted timestamp. It is NaN where fewer points lie in the window than the minimum coverage
requires.
"""

import functools
import re
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.models.arrays import Matrix, Vector
from myriad.models.errors import InvalidKey
from myriad.models.points import Points

MIN_COVERAGE = 0.5
"""The share of a window's expected points that must be present for it to have a value."""

LATELY = 1000
"""Points that tell how far apart the points of a series usually are."""
SPACED = 12
"""Points whose mean distance is taken where distances alternate: what repeats after 2, 3, 4 or 6 points is even."""
REGULAR, NEARLY = 2 / 3, 0.1
"""The share of distances that are to be within a tenth of the median for it to be the usual one."""

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
    match = _TEXT.fullmatch(text)
    if not match:
        raise InvalidKey("window", text, "is not a number of s, m, h or d, as in 15m")
    return int(match.group(1)) * _UNITS[match.group(2)]


@functools.lru_cache(maxsize=1024)
def _text(seconds: int) -> str:
    unit = next(u for u in reversed(_UNITS) if seconds % _UNITS[u] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


DEFAULT_WINDOWS = (Window(60), Window(900), Window(3600))


def usual_step(points: Points) -> NDArray[np.int64]:
    """The usual time between the latest points of each series, in seconds, at least 1; int64 (series,)."""
    if points.lengths.min(initial=0) > 1 and (step := _common_step(points)):
        return np.full(len(points), step)
    return np.array([_usual_step_of(points.series(i)[0][-LATELY:]) for i in range(len(points))], np.int64)


class Regimes(NamedTuple):
    """Stretches of history, in each of which the time between points is much the same.

    Attributes:
        steps: of each stretch, in seconds, int64 (stretches,).
        of_points: the stretch of each point, int64 (n,).
    """

    steps: NDArray[np.int64]
    of_points: NDArray[np.int64]


def regimes(points: Points) -> Regimes:
    """A stretch for each `LATELY` points of each series, counted from its last: intervals change over the years."""
    if points.lengths.min(initial=0) > 1 and (step := _common_step(points)):
        return Regimes(np.full(len(points), step), points.owner)
    steps, of_points = list[int](), np.empty(len(points.timestamps), np.int64)
    for i, end in enumerate(points.offsets[1:].tolist()):
        for last in range(end, int(points.offsets[i]), -LATELY):
            span = slice(max(last - LATELY, int(points.offsets[i])), last)
            of_points[span] = len(steps)
            steps.append(_usual_step_of(points.timestamps[span]))
    return Regimes(np.array(steps, np.int64), of_points)


def aggregate(
    points: Points,
    windows: tuple[int, ...],
    steps: NDArray[np.int64],
    coverage: float = MIN_COVERAGE,
    regime: NDArray[np.int64] | None = None,
) -> Matrix:
    """The value of each window at each point.

    Args:
        points: tidied (in time order, no duplicates).
        windows: seconds.
        steps: the usual time between the points of each series, in seconds, int64 (series,).
        coverage: the share of the `window / step` expected points needed for a value.
        regime: which of the steps is that of each point, int64 (n,), where it is not its series'; see `regimes`.

    Returns:
        float64 (windows, n), NaN where the coverage is not reached. Each window is summed by itself, and not as a
        difference of running sums. So a value depends on the points in its window only, and neither a huge value
        earlier in the series nor a neighbouring series costs it any digits.
    """
    owner = points.owner
    counts = _counts(points, owner, windows)
    means = _sums(points.values, counts) / counts
    needed = np.ceil(coverage * np.array(windows)[:, None] / steps)
    means[counts < needed[:, owner if regime is None else regime]] = np.nan
    return means


def _sums(values: Vector, counts: NDArray[np.int64]) -> Matrix:
    """The sum of the `counts[w, i]` values that end at i, each at least 1; float64 (windows, n)."""
    spans = np.empty((*counts.shape, 2), np.int64)
    spans[..., 1] = np.arange(1, len(values) + 1)
    spans[..., 0] = spans[..., 1] - counts
    # reduceat also sums from the end of each window to the start of the next: every other sum is dropped. The 0 at the
    # end is there because reduceat takes no position after the last value.
    padded = np.zeros(len(values) + 1)
    padded[:-1] = values
    sums = np.add.reduceat(padded, spans.ravel()) if counts.size else np.empty(0)
    return np.asarray(sums[::2].reshape(counts.shape))


def _counts(points: Points, owner: NDArray[np.int64], windows: tuple[int, ...]) -> NDArray[np.int64]:
    """How many points lie in (t - window, t] for each window and point, int64 (windows, n)."""
    times = points.timestamps
    if len(times) == 0:
        return np.zeros((len(windows), 0), np.int64)
    position = np.arange(1, len(times) + 1) - points.offsets[:-1][owner]
    if step := _common_step(points):
        return np.minimum(position, -(-np.array(windows) // step)[:, None])
    # Shifting the series apart by more than any window turns one search per series into a single one.
    earliest = times.min()
    shift = int(times.max() - earliest) + max(windows) + 1
    shifted = times - earliest + owner * shift
    before = np.searchsorted(shifted, shifted - np.array(windows)[:, None], side="right")
    return np.arange(1, len(times) + 1) - before


def _common_step(points: Points) -> int:
    """The time between consecutive points if it is the same throughout all series, else 0."""
    gaps = points.timestamps[1:] - points.timestamps[:-1]
    same_series = np.ones(len(gaps), bool)
    inner = points.offsets[1:-1]
    same_series[inner[(inner > 0) & (inner < len(points.timestamps))] - 1] = False
    gaps = gaps[same_series]
    return int(gaps[0]) if len(gaps) and (gaps == gaps[0]).all() else 0


def _usual_step_of(times: NDArray[np.int64]) -> int:
    """The median time between points where most are that far apart, else the median mean over `SPACED` of them.

    Of two replicas that report two seconds apart, every other time between points is short: the median is one or the
    other by chance.
    """
    if len(times) < 2:
        return 1
    gaps = np.diff(times)
    median = float(np.median(gaps))
    if np.mean(np.abs(gaps - median) <= NEARLY * median) < REGULAR:
        apart = min(SPACED, max(1, len(gaps) // 2))
        median = float(np.median(times[apart:] - times[:-apart])) / apart
    return max(1, round(median))
