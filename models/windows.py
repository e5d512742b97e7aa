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

from myriad.kernels.quantiles import medians
from myriad.kernels.spans import common_step
from myriad.kernels.windows import window_means
from myriad.models.arrays import Matrix
from myriad.models.errors import InvalidKey
from myriad.models.points import Points

MIN_COVERAGE = 0.5
"""The share of a window's expected points that must be present for it to have a value."""

LATELY = 1000
"""Points that tell how far apart the points of a series usually are."""
SPACED = 12
"""Points whose mean distance is taken where distances alternate: what repeats after 2, 3, 4 or 6 points is even."""
ALL, REGULAR, NEARLY = 0.95, 0.7, 0.1
"""Where nearly all distances are within a tenth of the median, that is the usual one; where most are, unless replicas
report in groups."""
ALIKE = 1.5
"""Times the median, the mean distance may be because of points that are missing."""

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
    recent = points.latest(LATELY)
    if step := common_step(recent.timestamps, recent.offsets):
        return np.full(len(points), step)
    return _usual_steps(recent.timestamps, recent.offsets)


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
    if step := common_step(points.timestamps, points.offsets):
        return Regimes(np.full(len(points), step), points.owner)
    counts = -(-points.lengths // LATELY)
    owner = np.repeat(np.arange(len(points)), counts)
    back = np.cumsum(counts)[owner] - np.arange(len(owner)) - 1  # stretches of the series that come later
    ends = points.offsets[1:][owner] - back * LATELY
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    return Regimes(_usual_steps(points.timestamps, offsets), np.repeat(np.arange(len(owner)), np.diff(offsets)))


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
        float64 (windows, n), NaN where the coverage is not reached. A value depends on the points in its window only.
    """
    seconds = np.array(windows, np.int64)
    needed = np.ceil(coverage * seconds[:, None] / steps).astype(np.int64)
    owner = points.owner if regime is None else regime
    return window_means(points.timestamps, points.values, points.offsets, seconds, needed, owner)


def _usual_steps(times: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The median time between points, or the median mean over `SPACED` of them where that is quite another.

    Of replicas that report seconds apart, some times between points are short: the median may be one or the other.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    gaps = np.diff(times, prepend=times[:1]).astype(np.float64)
    gaps[starts[lengths > 0]] = np.nan
    steps, owner = medians(gaps, offsets), np.repeat(np.arange(len(lengths)), lengths)
    near = np.bincount(owner, np.abs(gaps - steps[owner]) <= NEARLY * steps[owner], len(lengths))
    for i in np.flatnonzero((near < ALL * (lengths - 1)) & (lengths > 1)).tolist():
        some = times[offsets[i] : offsets[i + 1]]
        apart = min(SPACED, (len(some) - 1) // 2 or 1)
        spaced = np.median(some[apart:] - some[:-apart]) / apart
        is_regular = near[i] >= REGULAR * (lengths[i] - 1) and 1 / ALIKE <= spaced / max(steps[i], 1) <= ALIKE
        steps[i] = steps[i] if is_regular else spaced
    return np.maximum(np.round(np.nan_to_num(steps, nan=1.0)), 1).astype(np.int64)


def is_window(name: object) -> bool:
    """Whether the name of a column is a window's, like `15m`."""
    try:
        Window.parse(str(name))
    except InvalidKey:
        return False
    return True
