"""Scaled: series around 0 in a unit of their own, and what is known before each point; for models that learn lags.

A request has few points before its first ones, and none of them is worth less for that. So a row has a spread for
each depth of what is known: how many of the lags are reached without a gap, from none to all of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._features import LAGS, Matrix, calendar, lagged
from myriad.models.base import Arrays, Fit, Model, Param, Prediction, long_enough
from myriad.models.points import Points, magnitudes

MIN_POINTS = 100
MOST_EXAMPLES = 2000
"""A history is learnt from at most this many of its points, evenly spread."""
FIT_CLIP = 10.0
"""In units: what strays further in the history counts for no more, so that an incident is not learnt."""
CLIP = 1000.0
"""In units: what strays further than this is not followed."""
ROUNDING = 1e-9
SMALLEST_SPREAD = 1e-3
"""In units: what is predicted better than this is so to rounding."""
SOFTENED = 1e-6
"""Added to variances, in squared units: those of a constant are 0."""
DEPTHS = len(LAGS) + 1

Vector = NDArray[np.float64]
Depth = NDArray[np.int64]
K = TypeVar("K", bound=Model)

PARAMS: Mapping[str, Param] = {
    "center": Param("<f8"),
    "unit": Param("<f8", positive=True),
    "spread": Param("<f4", (DEPTHS,), positive=True, digits=10),  # in units, by depth
}


class Scale(NamedTuple):
    """A centre and a unit of each series, or of each point, float64."""

    center: Vector
    unit: Vector

    def at(self, rows: NDArray[np.int64]) -> "Scale":
        """Those of the rows."""
        return Scale(self.center[rows], self.unit[rows])

    def row(self, spread: Vector, **others: NDArray[Any]) -> Arrays:
        """The arrays of one row, (1, ...), if it is of one series: this, and what is given without that first axis."""
        return {"center": self.center, "unit": self.unit} | {
            name: array[None] for name, array in {"spread": spread, **others}.items()
        }

    def scaled(self, points: Points, clip: float = CLIP) -> Points:
        """The points in units around the centre, no further than `clip`; the scale is of each point."""
        with np.errstate(over="ignore"):  # what is infinite is clipped
            return points.with_values(np.clip((points.values - self.center) / self.unit, -clip, clip))


class Examples(NamedTuple):
    """Values of a scaled series, float64 (n,), the values of some `lags` (n, lags) and the calendar (n, 4) of each."""

    values: Vector
    before: Matrix
    calendar: Matrix
    lags: tuple[int, ...]

    def features(self, depth: int = DEPTHS - 1) -> Matrix:
        """What `adapters._features.features` gives of them, as if only the `depth` nearest of `LAGS` were reached."""
        reached = sum(lag <= LAGS[depth - 1] for lag in self.lags) if depth else 0
        return np.concatenate([cut(self.before, np.full(len(self.values), reached)), self.calendar], axis=1)


def fit_each(kind: type[K], history: Points, row: Callable[[Points], Arrays]) -> Fit[K]:
    """A row of each series of at least `MIN_POINTS` points, by itself."""
    kept, refused = long_enough(history, MIN_POINTS, "to learn from lags")
    rows = [row(history.take([i])) for i in kept]
    arrays = {
        name: np.concatenate([np.empty((0, *param.shape), param.dtype), *(one[name] for one in rows)])
        for name, param in kind.params.items()
    }
    return Fit(kind.uncalibrated(arrays), kept, refused)


def prediction(
    model: Model,
    rows: NDArray[np.int64],
    points: Points,
    expect: Callable[[NDArray[np.int64], Matrix, Depth], Vector],
    lags: tuple[int, ...] = LAGS,
) -> Prediction:
    """What a model with the parameters `PARAMS` says, if `expect(row, features, depth)` of each point is expected.

    That is in units around the centre, as the features are.
    """
    at = np.repeat(rows, points.lengths)
    own = Scale(model.arrays["center"], model.arrays["unit"]).at(at)
    features, depth = known(own.scaled(points), lags)
    expected = own.center + own.unit * np.clip(expect(at, features, depth), -CLIP, CLIP)
    spread = own.unit * model.arrays["spread"][at, depth]
    return model.banded(points.values, expected, model.half_band(at, spread))


def scale(history: Points) -> Scale:
    """The median of each series, and the power of 2 nearest to how far values stray from it.

    With a power of 2 the arithmetic of scaling is exact, whoever does it.
    """
    size = magnitudes(history)
    values = history.values / size[history.owner]
    series = [values[a:b] for a, b in zip(history.offsets[:-1].tolist(), history.offsets[1:].tolist(), strict=True)]
    middle = np.array([np.median(one) for one in series])
    strayed = np.array([np.abs(one - m).mean() for one, m in zip(series, middle, strict=True)])
    # For a normal distribution the standard deviation is sqrt(pi / 2) mean absolute deviations.
    unit = np.exp2(np.round(np.log2(np.maximum(np.sqrt(np.pi / 2) * strayed, ROUNDING) * size)))
    return Scale(np.round(middle * size / unit * 16) / 16 * unit, unit)


def examples(history: Points, own: Scale, lags: tuple[int, ...] = LAGS) -> Examples:
    """What is learnt from a single series, by its scale of one row."""
    points = own.at(history.owner).scaled(history, FIT_CLIP)
    n = len(points.values)
    at = np.linspace(LAGS[-1], n - 1, min(MOST_EXAMPLES, n - LAGS[-1])).astype(np.int64)
    return Examples(points.values[at], lagged(points, lags)[at], calendar(points.timestamps[at]), lags)


def known(points: Points, lags: tuple[int, ...] = LAGS) -> tuple[Matrix, Depth]:
    """The features of each scaled point, (n, lags + 4), and its depth, (n,): how many of `LAGS` are reached."""
    reach = _without_gap(points)
    before = cut(lagged(points, lags), np.searchsorted(lags, reach, side="right"))
    features = np.concatenate([before, calendar(points.timestamps)], axis=1)
    return features, np.searchsorted(LAGS, reach, side="right")


def cut(before: Matrix, reached: Depth) -> Matrix:
    """The lags of each point, those beyond the ones reached as the last of them; 0 where there is none."""
    last = np.minimum(np.arange(before.shape[1]), reached[:, None] - 1)
    return np.where(reached[:, None] > 0, np.take_along_axis(before, np.maximum(last, 0), axis=1), 0.0)


def spreads(learnt: Examples, expect: Callable[[Matrix, Depth], Vector]) -> Vector:
    """How far the examples stray from what is expected of their features and depth, by depth, in units."""
    strayed = [
        np.abs(learnt.values - expect(learnt.features(depth), np.full(len(learnt.values), depth))).mean()
        for depth in range(DEPTHS)
    ]
    # Knowing more is never taken for worse; see `scale` for the factor.
    return np.maximum.accumulate(np.sqrt(np.pi / 2) * np.maximum(strayed, SMALLEST_SPREAD)[::-1])[::-1]


def given(mean: Vector, covariance: Matrix, depth: int, lags: tuple[int, ...] = LAGS) -> tuple[Vector, float]:
    """Weights and intercept of the mean of a window's value given its calendar and its lags of a depth.

    Args:
        mean: of windows: a value, its lags and its calendar, (1 + lags + 4,).
        covariance: of them.
        depth: how many of `LAGS` are reached.
        lags: of the windows, rising.
    """
    reached = sum(lag <= LAGS[depth - 1] for lag in lags) if depth else 0
    there = np.concatenate([np.arange(1, 1 + reached), np.arange(1 + len(lags), len(mean))])
    among = covariance[np.ix_(there, there)] + SOFTENED * np.eye(len(there))
    weights = np.zeros(len(mean) - 1)
    weights[there - 1] = np.linalg.solve(among, covariance[there, 0])
    return weights, float(mean[0] - weights @ mean[1:])


def linear(features: Matrix, weights: Matrix, intercept: Vector) -> Vector:
    """The weighted sum of the features of each point, (n,)."""
    return np.asarray((features * weights).sum(axis=1) + intercept)


def _without_gap(points: Points) -> NDArray[np.int64]:
    """How many points in a row, up to the one before each, have a value."""
    at = np.arange(len(points.values))
    gap = np.maximum.accumulate(np.where(np.isfinite(points.values), -1, at)) if len(at) else at
    before = np.concatenate([[-1], gap[:-1]])[: len(at)]
    return at - np.maximum(before + 1, points.offsets[:-1][points.owner])
