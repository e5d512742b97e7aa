"""Scaled: series as (value - centre) / unit, with their lags, for models that learn from lags.

The first points of a request have few points before them, but are scored as the others. So a row has a spread for each
depth. The depth of a point is the number of `LAGS` reached without a gap, from 0 to all of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._features import LAGS, calendar, lagged
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction, split_by_length
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MEAN_DEVIATION_TO_STD, ROUNDING

MIN_POINTS = 100
MOST_EXAMPLES = 2000
"""A model is fitted to at most this many points of a history, evenly spread."""
FIT_CLIP = 10.0
"""In units. Larger values of the history count as this large, so that incidents are not learnt."""
CLIP = 1000.0
"""In units. Larger values and expected values count as this large."""
MIN_SPREAD = 1e-3
"""In units. Smaller errors are rounding errors."""
VARIANCE_RIDGE = 1e-6
"""Added to variances, in squared units, because those of a constant are 0."""
DEPTHS = len(LAGS) + 1

Depth = NDArray[np.int64]
K = TypeVar("K", bound=Model)

PARAMS: Mapping[str, Param] = {
    "center": Param("<f8"),
    "unit": Param("<f8", positive=True),
    "spread": Param("<f4", (DEPTHS,), positive=True, digits=10),  # in units, by depth
}


class Scale(NamedTuple):
    """A centre and a unit of each series, (series,), or of each point, (n,)."""

    center: Vector
    unit: Vector

    def at(self, rows: NDArray[np.int64]) -> "Scale":
        """The scale of each of these rows."""
        return Scale(self.center[rows], self.unit[rows])

    def row(self, spread: Vector, **others: NDArray[Any]) -> Arrays:
        """The arrays of one row, (1, ...): the scale of one series, and others that lack the first axis."""
        return {"center": self.center, "unit": self.unit} | {
            name: array[None] for name, array in {"spread": spread, **others}.items()
        }

    def scaled(self, points: Points, clip: float = CLIP) -> Points:
        """(value - centre) / unit, limited to ±`clip`. The scale has to be one of each point, (n,)."""
        with np.errstate(over="ignore"):  # infinite values are clipped
            return points.with_values(np.clip((points.values - self.center) / self.unit, -clip, clip))


class Examples(NamedTuple):
    """Points of one scaled series that a model is fitted to.

    Attributes:
        values: (n,).
        before: the lagged values of each, (n, lags).
        calendar: (n, 4).
        lags: in points, ascending.
    """

    values: Vector
    before: Matrix
    calendar: Matrix
    lags: tuple[int, ...]

    def features(self, depth: int = DEPTHS - 1) -> Matrix:
        """Lags and calendar, (n, lags + 4), as if only the `depth` shortest of `LAGS` were reached."""
        reached = sum(lag <= LAGS[depth - 1] for lag in self.lags) if depth else 0
        return np.concatenate([truncated(self.before, np.full(len(self.values), reached)), self.calendar], axis=1)


def fit_each(kind: type[K], history: Points, row: Callable[[Points], Arrays]) -> Fit[K]:
    """A row for each series of at least `MIN_POINTS` points, one after the other."""
    kept, refused = split_by_length(history, MIN_POINTS, "to learn from lags")
    rows = [row(history.take([i])) for i in kept]
    arrays = {
        name: np.concatenate([np.empty((0, *param.shape), param.dtype), *(fitted[name] for fitted in rows)])
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
    """The prediction of a model that has the parameters `PARAMS`.

    Args:
        model: the model.
        rows: the row of each series.
        points: tidied; values may be NaN.
        expect: the expected values from the row (n,), the features (n, lags + 4) and the depth (n,) of each point, all
            in units around the centre.
        lags: of the features, ascending.
    """
    at = np.repeat(rows, points.lengths)
    of_point = Scale(model.arrays["center"], model.arrays["unit"]).at(at)
    features, depth = features_and_depth(of_point.scaled(points), lags)
    expected = of_point.center + of_point.unit * np.clip(expect(at, features, depth), -CLIP, CLIP)
    spread = of_point.unit * model.arrays["spread"][at, depth]
    return model.banded(points.values, expected, model.half_band(at, spread))


def scale(history: Points) -> Scale:
    """The median of each series, and as its unit the power of 2 nearest to its standard deviation.

    The standard deviation is that of a normal distribution with the same mean absolute deviation. Dividing by a power
    of 2 is exact, so that scaling does not depend on the order of operations.
    """
    size = magnitudes(history)
    values = history.values / size[history.owner]
    series = [values[a:b] for a, b in zip(history.offsets[:-1].tolist(), history.offsets[1:].tolist(), strict=True)]
    median = np.array([np.median(each) for each in series])
    deviation = np.array([np.abs(each - center).mean() for each, center in zip(series, median, strict=True)])
    unit = np.exp2(np.round(np.log2(np.maximum(MEAN_DEVIATION_TO_STD * deviation, ROUNDING) * size)))
    return Scale(np.round(median * size / unit * 16) / 16 * unit, unit)


def examples(history: Points, of_series: Scale, lags: tuple[int, ...] = LAGS) -> Examples:
    """The points of a single series to fit a model to, given its scale."""
    points = of_series.at(history.owner).scaled(history, FIT_CLIP)
    n = len(points.values)
    at = np.linspace(LAGS[-1], n - 1, min(MOST_EXAMPLES, n - LAGS[-1])).astype(np.int64)
    return Examples(points.values[at], lagged(points, lags)[at], calendar(points.local[at]), lags)


def features_and_depth(points: Points, lags: tuple[int, ...] = LAGS) -> tuple[Matrix, Depth]:
    """The features, (n, lags + 4), and the depth, (n,), of each scaled point."""
    reach = _without_gap(points)
    before = truncated(lagged(points, lags), np.searchsorted(lags, reach, side="right"))
    features = np.concatenate([before, calendar(points.local)], axis=1)
    return features, np.searchsorted(LAGS, reach, side="right")


def truncated(before: Matrix, reached: Depth) -> Matrix:
    """The lags of each point, (n, lags); those not reached repeat the longest one reached, and are 0 if there is none.

    Args:
        before: (n, lags).
        reached: how many lags of each point are reached, (n,).
    """
    last = np.minimum(np.arange(before.shape[1]), reached[:, None] - 1)
    return np.where(reached[:, None] > 0, np.take_along_axis(before, np.maximum(last, 0), axis=1), 0.0)


def spreads(examples: Examples, expect: Callable[[Matrix, Depth], Vector]) -> Vector:
    """The spread of the errors by depth, (depths,), in units; it does not grow with the depth.

    Args:
        examples: of one series.
        expect: the expected values from the features (n, lags + 4) and the depth (n,) of each.
    """
    mean_errors = [
        np.abs(examples.values - expect(examples.features(depth), np.full(len(examples.values), depth))).mean()
        for depth in range(DEPTHS)
    ]
    return np.maximum.accumulate(MEAN_DEVIATION_TO_STD * np.maximum(mean_errors, MIN_SPREAD)[::-1])[::-1]


def conditional_mean(
    mean: Vector, covariance: Matrix, depth: int, lags: tuple[int, ...] = LAGS
) -> tuple[Vector, float]:
    """Weights, (lags + 4,), and intercept of E[value | lags reached, calendar] if windows are normally distributed.

    Args:
        mean: of the windows, each a value, its lags and its calendar, (1 + lags + 4,).
        covariance: of the windows.
        depth: how many of `LAGS` are reached.
        lags: of the windows, ascending.
    """
    reached = sum(lag <= LAGS[depth - 1] for lag in lags) if depth else 0
    known = np.concatenate([np.arange(1, 1 + reached), np.arange(1 + len(lags), len(mean))])
    among_known = covariance[np.ix_(known, known)] + VARIANCE_RIDGE * np.eye(len(known))
    weights = np.zeros(len(mean) - 1)
    weights[known - 1] = np.linalg.solve(among_known, covariance[known, 0])
    return weights, float(mean[0] - weights @ mean[1:])


def linear(features: Matrix, weights: Matrix, intercept: Vector) -> Vector:
    """The weighted sum of the features of each point, (n,)."""
    return np.asarray((features * weights).sum(axis=1) + intercept)


def _without_gap(points: Points) -> NDArray[np.int64]:
    """How many points in a row just before each have a value, (n,)."""
    at = np.arange(len(points.values))
    gap = np.maximum.accumulate(np.where(np.isfinite(points.values), -1, at)) if len(at) else at
    before = np.concatenate([[-1], gap[:-1]])[: len(at)]
    return at - np.maximum(before + 1, points.offsets[:-1][points.owner])
