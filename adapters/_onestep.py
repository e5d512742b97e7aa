"""Models that expect of a point what a library's regressor makes of the points before it and of the calendar.

A value is seen as how far it is from what is usual at its time, in units of the row: 0 is the usual value, and also
what stands for points that are not there. What is expected is the row's line plus the row's trees.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _trees
from myriad.adapters._features import DAY, LAGS, VERSION, WEEK, calendar, features
from myriad.models.base import Arrays, Fit, Model, Param, Prediction, long_enough
from myriad.models.errors import NotReducible
from myriad.models.points import Points, magnitudes

COLUMNS = len(LAGS) + 4
MIN_POINTS = 60
FIT_POINTS = 2000
"""A regressor is fitted to at most this many points of a history, evenly spread."""
USUAL_POINTS = 5000
"""What is usual at a time is fitted to about this many points."""
LEAST_CYCLES = 2
"""A day or a week is taken for a rhythm once the history has so many of them."""
SHRINK = 0.01
CLIP = 1e6
"""No value counts as further than this from the usual, in units; no history has one as far."""
ROUNDING = 1e-9
LEAST_SPREAD = 1e-6
LEAN = 1.0
"""How far a line's slopes are held together, in mean squares of a feature: so much that the weight is spread over the
lags, and one odd point is not at once expected again."""
WINSOR = 0.95
"""Larger residuals than this share of them count as that large: incidents do not widen the band."""
POINTS_AT_ONCE = 1 << 16

Features = NDArray[np.float32]
Vector = NDArray[np.float64]
M = TypeVar("M", bound=Model)


class Examples(NamedTuple):
    """What a regressor is fitted to: features, float32 (n, 11), and targets in the row's units, float64 (n,)."""

    x: Features
    y: Vector


class OneStep(Model):
    """A line and trees over lags and calendar, and the spread of their errors by how many lags there are."""

    version = 100 * VERSION + 1

    starts_from_a_line: ClassVar[bool] = False
    """Whether the regressor is to learn what a line leaves; trees alone expect nothing the history did not have."""

    params: ClassVar[Mapping[str, Param]] = {
        "usual": Param("<f8", (5,)),  # a level, and sine and cosine of the day and of the week
        "unit": Param("<f8", positive=True),
        "spread": Param("<f4", (len(LAGS) + 1,), positive=True, digits=10),  # in units, by lags there
        "line": Param("<f8", (COLUMNS + 1,)),  # a coefficient for each feature, and what is added
        **_trees.PARAMS,
    }

    @classmethod
    def examples(cls, history: Points) -> Examples:
        """The features and targets to fit a regressor of your own to, from one series; `reduced` takes it then."""
        plain = _examples(history, _usual(history))
        return Examples(plain.x, plain.y - along(cls._start(plain), plain.x))

    @classmethod
    def _start(cls, plain: Examples) -> Vector:
        return leaning_line(plain) if cls.starts_from_a_line else without_line()

    @classmethod
    def fit_each(cls, history: Points, fit_one: Callable[[Examples], Any]) -> Fit[Self]:
        """A row for each history of at least 60 points, from what `fit_one` fits to it."""
        return each(cls, history, lambda one: cls.reduced(fit_one(cls.examples(one)), one))

    @classmethod
    def row(cls, history: Points, line: Vector, forest: Arrays) -> Arrays:
        """The arrays of one row, (1, ...), of what was fitted to `examples(history)`: a line, trees, or both."""
        usual = _usual(history)
        plain = _examples(history, usual)
        row = {**usual, "line": (line + cls._start(plain))[None], **forest}
        return {**row, "spread": _spreads(row, plain)[None]}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step forecasts; the band is wider where there are fewer points before to go by."""
        expected, spread = np.empty_like(points.values), np.empty_like(points.values)
        for chunk, part in chunks(points):
            expected[part], spread[part] = self._ahead(rows[chunk], points.take(chunk))
        return self.banded(points.values, expected, self.half_band(np.repeat(rows, points.lengths), spread))

    def _ahead(self, rows: NDArray[np.int64], points: Points) -> tuple[Vector, Vector]:
        at = np.repeat(rows, points.lengths)
        usual, unit = usual_at(self.arrays["usual"][at], points.timestamps), self.arrays["unit"][at]
        scaled = points.with_values(in_units(points.values, usual, unit))
        told = _answer(self.arrays, at, features(scaled).astype(np.float32))
        return usual + unit * told, unit * self.arrays["spread"][at, lags_there(points)]


def each(kind: type[M], history: Points, row: Callable[[Points], Arrays]) -> Fit[M]:
    """The rows, (1, ...), that `row` makes of each history of at least 60 points."""
    kept, refused = long_enough(history, MIN_POINTS, "to learn from lags")
    rows = [row(history.take([i])) for i in kept.tolist()]
    nothing = {name: np.empty((0, *param.shape), param.dtype) for name, param in kind.params.items()}
    together = {name: np.concatenate([nothing[name], *(one[name] for one in rows)]) for name in kind.params}
    return Fit(kind.uncalibrated(together), kept, refused)


def without_line() -> Vector:
    """A line that says 0."""
    return np.zeros(COLUMNS + 1)


def leaning_line(examples: Examples) -> Vector:
    """The line of least squares whose lags weigh much the same."""
    middle = examples.x.mean(axis=0, dtype=np.float64)
    x, level = examples.x - middle, float(examples.y.mean())
    shrunk = x.T @ x / len(x) + _penalty()
    slopes = np.linalg.solve(shrunk, x.T @ (examples.y - level) / len(x))
    return np.append(slopes, level - slopes @ middle)


def _penalty() -> Vector:
    """Of slopes that differ from lag to lag, but hardly of what they add up to: a level that has moved is believed."""
    even = np.zeros((COLUMNS, COLUMNS))
    even[: len(LAGS), : len(LAGS)] = 1 / len(LAGS)
    return LEAN * (np.eye(COLUMNS) - even) + SHRINK * np.eye(COLUMNS)


def along(line: Vector, x: Features) -> Vector:
    """A line's value at each point, or that of each point's line."""
    return line[..., -1] + (line[..., :-1] * x).sum(axis=1)


def check_columns(columns: int, kind: str) -> None:
    """Raise `NotReducible` for a regressor of other features than these."""
    if columns != COLUMNS:
        raise NotReducible(f"{kind} has {columns} features; fit it to those of `examples(history)`, {COLUMNS}")


def usual_at(usual: Vector, timestamps: NDArray[np.int64]) -> Vector:
    """What is usual at each time, by rows of `usual`, (n, 5)."""
    return usual[:, 0] + (usual[:, 1:] * calendar(timestamps)).sum(axis=1)


def in_units(values: Vector, usual: Vector, unit: Vector) -> Vector:
    """How far values are from the usual ones, in units."""
    with np.errstate(over="ignore"):  # a huge value posted to a tiny series
        return np.clip((values - usual) / unit, -CLIP, CLIP)


def lags_there(points: Points) -> NDArray[np.int64]:
    """How many of the lags each point has points for: those before it that have a value count."""
    finite = np.isfinite(points.values)
    counted = np.concatenate([[0], np.cumsum(finite)])
    before = counted[:-1] - counted[points.offsets[:-1]][points.owner]
    return np.searchsorted(LAGS, before, side="right")


def evenly(n: int, count: int) -> NDArray[np.int64]:
    """At most `count` positions of n, the last one among them."""
    return np.linspace(0, n - 1, min(n, count)).astype(np.int64)


def robust_spread(errors: Vector) -> float:
    """The standard deviation of normal errors, whatever the largest ones are."""
    size = np.abs(errors)
    return float(np.sqrt(np.pi / 2) * np.minimum(size, np.quantile(size, WINSOR)).mean())


def scale(history: Points) -> tuple[Vector, float]:
    """What is usual in one series, (5,), and its unit: the mean distance from that."""
    size = float(magnitudes(history)[0])
    at = evenly(len(history.values), USUAL_POINTS)
    times, values = history.timestamps[at], history.values[at] / size
    span = history.timestamps[-1] - history.timestamps[0]
    known = np.repeat([span >= LEAST_CYCLES * DAY, span >= LEAST_CYCLES * WEEK], 2)
    center = float(np.median(values))
    off = values - center
    columns = np.column_stack([np.ones(len(at)), calendar(times) * known])
    clipped = np.clip(off, *np.quantile(off, [1 - WINSOR, WINSOR]))
    # Shrunk a little, so that a history of few hours of the day, or few days of the week, gives no wild rhythm.
    usual = np.linalg.solve(columns.T @ columns / len(at) + SHRINK * np.eye(5), columns.T @ clipped / len(at))
    unit = max(float(np.abs(off - columns @ usual).mean()), ROUNDING)
    return (usual + np.array([center, 0, 0, 0, 0])) * size, unit * size


def _usual(history: Points) -> Arrays:
    usual, unit = scale(history)
    return {"usual": usual[None], "unit": np.array([unit])}


def _examples(history: Points, row: Arrays) -> Examples:
    usual = usual_at(np.broadcast_to(row["usual"], (len(history.values), 5)), history.timestamps)
    scaled = history.with_values(in_units(history.values, usual, row["unit"]))
    first = min(LAGS[-1], len(history.values) // 2)
    at = first + evenly(len(history.values) - first, FIT_POINTS)
    return Examples(features(scaled)[at].astype(np.float32), scaled.values[at])


def _answer(arrays: Arrays, rows: NDArray[np.int64], x: Features) -> Vector:
    """What the line and the trees of each point's row make of its features, in units."""
    told = along(arrays["line"][rows], x) + _trees.total(arrays, rows, x)
    return np.clip(told, -CLIP, CLIP)


def _spreads(row: Arrays, examples: Examples) -> Vector:
    """Of the errors where all lags are there, and where only the first few are, (lags + 1,)."""
    few = Examples(examples.x[::8], examples.y[::8])
    cut = [Examples(_cut(few.x, lags), few.y) for lags in range(len(LAGS))] + [examples]
    x, y = np.concatenate([one.x for one in cut]), np.concatenate([one.y for one in cut])
    errors = y - _answer(row, np.zeros(len(y), np.int64), x)
    by_lags = np.split(errors, np.cumsum([len(one.y) for one in cut])[:-1])
    return np.maximum([robust_spread(one) for one in by_lags], LEAST_SPREAD)


def _cut(x: Features, lags: int) -> Features:
    """The features had there been only so many lags."""
    cut = x.copy()
    cut[:, lags : len(LAGS)] = x[:, lags - 1 : lags] if lags else 0
    return cut


def chunks(points: Points) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """Series after series, as many at once as have few enough points, and where their points are."""
    first = 0
    while first < len(points):
        end = int(np.searchsorted(points.offsets, points.offsets[first] + POINTS_AT_ONCE, side="right")) - 1
        end = max(end, first + 1)
        yield np.arange(first, end), slice(points.offsets[first], points.offsets[end])
        first = end
