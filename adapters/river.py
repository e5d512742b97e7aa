"""river: an autoregression that River learns online; at the end of the history it is a line of lags and the calendar.

    expected = weights . (30 lags, calendar) + intercept

Fitting: SNARIMAX without moving averages, with any regressor that is linear once fitted. Differences, scalers and
weights reduce to one weight a lag. The default regressor is Bayesian linear regression, which has no learning rate:
gradient descent, River's default, diverges or needs more than 1000 points. River's HalfSpaceTrees have no expected
value, so that they cannot be a row.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._features import LAGS, calendar
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

MAX_LAG = LAGS[-1]
EVERY_LAG = tuple(range(1, MAX_LAG + 1))
CALENDAR = ("day_sin", "day_cos", "week_sin", "week_cos")
"""The names of the features in `stream`, beside the constant `ONE`."""
ONE = "one"
P, M, SP = 5, 15, 2
"""SNARIMAX's parameters of these names: lags 1 to 5, and the seasonal lags 15 and 30."""
SEGMENTS, SEGMENT_POINTS = 20, 50
"""It learns from 20 segments of 50 consecutive points, evenly spread, so that they cover days and weeks."""
LINEARITY_TOLERANCE = 1e-6
"""Of a regressor's deviation from its line, as a share of the size of its predictions."""


class River(Model):
    """A weight for each of the 30 points before and for the calendar."""

    version = 100 * _features.VERSION + 1
    library = "river"
    fitted_types = ("river.time_series.snarimax.SNARIMAX",)

    params: ClassVar = {
        **_scaled.PARAMS,
        "weights": Param("<f4", (MAX_LAG + len(CALENDAR),), digits=16),
        "intercept": Param("<f4", digits=16),  # in units
    }

    @classmethod
    def fit(cls, history: Points, *, p: int = P) -> Fit[Self]:
        """SNARIMAX over up to 1000 points of each series; at least 100 points are needed."""
        return _scaled.fit_each(cls, history, lambda series: cls.reduced(_fitted(series, p), series))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a SNARIMAX that has learnt from `stream(history)`, or from part of it."""
        _require_lags(fitted)
        line = _Line(fitted)
        weights = np.concatenate([_undifferenced(fitted, line), [line.weight(name) for name in CALENDAR]])
        intercept = line.at_zero + line.weight(ONE)
        scale = _scaled.scale(history)
        examples = _scaled.examples(history, scale, EVERY_LAG)
        spread = _scaled.spreads(examples, lambda features, _: _linear(features, weights, np.array(intercept)))
        return scale.row(spread, weights=weights, intercept=np.array(intercept))

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step predictions, from the points of the same request."""
        weights, intercept = self.arrays["weights"], self.arrays["intercept"]
        return _scaled.prediction(
            self, rows, points, lambda at, x, _: _linear(x, weights[at], intercept[at]), EVERY_LAG
        )


def stream(history: Points) -> Iterator[tuple[float, dict[str, float]]]:
    """What a SNARIMAX has to learn from: scaled values of a single series and features, for `learn_one(value, x)`."""
    yield from _steps(_scaled_for_fit(history))


def _scaled_for_fit(history: Points) -> Points:
    return _scaled.scale(history).at(history.owner).scaled(history, _scaled.FIT_CLIP)


def _steps(points: Points, span: slice = slice(None)) -> Iterator[tuple[float, dict[str, float]]]:
    times = calendar(points.local[span]).tolist()
    for value, time in zip(points.values[span].tolist(), times, strict=True):
        yield value, {ONE: 1.0, **dict(zip(CALENDAR, time, strict=True))}


def _fitted(history: Points, p: int) -> Any:
    from river.linear_model import BayesianLinearRegression
    from river.time_series import SNARIMAX

    model: Any = SNARIMAX(p=p, d=0, q=0, m=M, sp=SP, regressor=BayesianLinearRegression())
    points, n = _scaled_for_fit(history), len(history.values)
    starts = np.unique(np.linspace(MAX_LAG, max(n - SEGMENT_POINTS, MAX_LAG), SEGMENTS).astype(int)).tolist()
    for start, end in zip(starts, [*starts[1:], n], strict=True):
        model.y_diff.clear()
        model.y_diff.extendleft(points.values[start - MAX_LAG : start].tolist())
        for value, time in _steps(points, slice(start, min(start + SEGMENT_POINTS, end))):
            model.learn_one(value, time)
    return model


def _require_lags(fitted: Any) -> None:
    """Raise `NotReducible` for a model that depends on anything but the 30 values before."""
    if not hasattr(fitted, "differencer"):
        raise NotReducible(f"{type(fitted).__name__} is not a line of lags; use SNARIMAX with q=0 and sq=0")
    if fitted.q or fitted.sq:
        raise NotReducible("a SNARIMAX with moving averages depends on its own errors; use one with q=0 and sq=0")
    reach = max(fitted.p, fitted.m * fitted.sp) + max(fitted.differencer.coeffs)
    if reach > MAX_LAG:
        raise NotReducible(f"the SNARIMAX looks {reach} points back; {MAX_LAG} are kept, so lower p, d, m, sp or sd")


class _Line:
    """The linear function of a fitted regressor, from its predictions.

    Raises:
        NotReducible: the regressor is not linear.
    """

    def __init__(self, fitted: Any) -> None:
        self.lags = {
            **{f"y-{lag}": lag for lag in range(1, fitted.p + 1)},
            **{f"sy-{lag}": lag for lag in range(fitted.m, fitted.m * fitted.sp + 1, fitted.m)},
        }
        self._names = [*self.lags, *CALENDAR, ONE]
        self._predict_one = fitted.regressor.predict_one
        self.at_zero = self._predicted(np.zeros(len(self._names)))
        self._weights = np.array([self._predicted(unit) - self.at_zero for unit in np.eye(len(self._names))])
        probe = np.linspace(-1, 2, len(self._names))
        predicted, line = self._predicted(probe), self.at_zero + self._weights @ probe
        if not abs(predicted - line) <= LINEARITY_TOLERANCE * (1 + np.abs(self._weights).sum()):
            raise NotReducible(
                f"the regressor {type(fitted.regressor).__name__} is not linear; use LinearRegression or "
                "BayesianLinearRegression, or the adapter onnx"
            )

    def weight(self, name: str) -> float:
        """The weight of a feature."""
        return float(self._weights[self._names.index(name)])

    def _predicted(self, values: Vector) -> float:
        return float(self._predict_one(dict(zip(self._names, values.tolist(), strict=True))))


def _undifferenced(fitted: Any, line: _Line) -> Vector:
    """The weight of each lag, (30,), from the regressor's weights, which are those of the differenced values."""
    weights = np.zeros(MAX_LAG + 1)
    for back, factor in fitted.differencer.coeffs.items():
        weights[back] -= factor if back else 0
        for name, lag in line.lags.items():
            weights[lag + back] += factor * line.weight(name)
    return weights[1:]


def _linear(features: Matrix, weights: NDArray[np.floating], intercept: NDArray[np.floating]) -> Vector:
    return np.asarray((features * weights).sum(axis=1) + intercept)
