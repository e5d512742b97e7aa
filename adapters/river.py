"""river: an online autoregression; what it has learnt by the end of the history is a line of lags and the calendar.

SNARIMAX without moving averages, with any regressor that is linear once it is fitted: differences, scalers and weights
are folded into one weight a lag. River's HalfSpaceTrees, the other candidate, expect no value of a point. Of the
regressors the Bayesian one is learnt here: it needs no learning rate, with which the usual gradient descent either has
not arrived after 1000 points or diverges.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._features import LAGS, Matrix, calendar
from myriad.adapters._scaled import Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

FURTHEST = LAGS[-1]
EVERY = tuple(range(1, FURTHEST + 1))
CALENDAR = ("day_sin", "day_cos", "week_sin", "week_cos")
"""What a model may be given beside the values, and a constant `ONE`; named as in `stream`."""
ONE = "one"
P, M, SP = 5, 15, 2
"""Of the autoregression fitted here: the five nearest lags, and the 15th and the 30th."""
STRETCHES, STRETCH = 20, 50
"""It learns from so many stretches of so many points on end, evenly spread, so that days and weeks are in them."""
LINEAR = 1e-6
"""How far a regressor may be from its line, as a share of the size of what it predicts."""


class River(Model):
    """A weight for each of the 30 points before and for the calendar."""

    version = 100 * _features.VERSION + 1
    library = "river"
    fitted_types = ("river.time_series.snarimax.SNARIMAX",)

    params: ClassVar = {
        **_scaled.PARAMS,
        "weights": Param("<f4", (FURTHEST + len(CALENDAR),), digits=16),
        "intercept": Param("<f4", digits=16),  # in units
    }

    @classmethod
    def fit(cls, history: Points, *, p: int = P) -> Fit[Self]:
        """SNARIMAX over up to 1000 points of each series, one by one; at least 100 points are needed."""
        return _scaled.fit_each(cls, history, lambda one: cls.reduced(_learnt(one, p), one))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """The line of a SNARIMAX that has learnt from `stream(history)`, or from part of it."""
        _require_lags(fitted)
        line = _Line(fitted)
        weights = np.concatenate([_undifferenced(fitted, line), [line.weight(name) for name in CALENDAR]])
        intercept = line.at_zero + line.weight(ONE)
        own = _scaled.scale(history)
        learnt = _scaled.examples(history, own, EVERY)
        spread = _scaled.spreads(learnt, lambda features, _: _linear(features, weights, np.array(intercept)))
        return own.row(spread, weights=weights, intercept=np.array(intercept))

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step forecasts from the points before that were posted along."""
        weights, intercept = self.arrays["weights"], self.arrays["intercept"]
        return _scaled.prediction(self, rows, points, lambda at, x, _: _linear(x, weights[at], intercept[at]), EVERY)


def stream(history: Points) -> Iterator[tuple[float, dict[str, float]]]:
    """What a SNARIMAX is to learn from, `learn_one(value, x)`: scaled values of a single series, with their time."""
    yield from _steps(_scaled_for_fit(history))


def _scaled_for_fit(history: Points) -> Points:
    return _scaled.scale(history).at(history.owner).scaled(history, _scaled.FIT_CLIP)


def _steps(points: Points, span: slice = slice(None)) -> Iterator[tuple[float, dict[str, float]]]:
    times = calendar(points.timestamps[span]).tolist()
    for value, time in zip(points.values[span].tolist(), times, strict=True):
        yield value, {ONE: 1.0, **dict(zip(CALENDAR, time, strict=True))}


def _learnt(history: Points, p: int) -> Any:
    from river.linear_model import BayesianLinearRegression
    from river.time_series import SNARIMAX

    model: Any = SNARIMAX(p=p, d=0, q=0, m=M, sp=SP, regressor=BayesianLinearRegression())
    points, n = _scaled_for_fit(history), len(history.values)
    starts = np.unique(np.linspace(FURTHEST, max(n - STRETCH, FURTHEST), STRETCHES).astype(int)).tolist()
    for start, end in zip(starts, [*starts[1:], n], strict=True):
        model.y_diff.clear()
        model.y_diff.extendleft(points.values[start - FURTHEST : start].tolist())
        for value, time in _steps(points, slice(start, min(start + STRETCH, end))):
            model.learn_one(value, time)
    return model


def _require_lags(fitted: Any) -> None:
    """Refuse what depends on more than the 30 values before."""
    if not hasattr(fitted, "differencer"):
        raise NotReducible(f"{type(fitted).__name__} is not a line of lags; use SNARIMAX with q=0 and sq=0")
    if fitted.q or fitted.sq:
        raise NotReducible("a SNARIMAX with moving averages depends on its own errors; use one with q=0 and sq=0")
    reach = max(fitted.p, fitted.m * fitted.sp) + max(fitted.differencer.coeffs)
    if reach > FURTHEST:
        raise NotReducible(f"the SNARIMAX looks {reach} points back; {FURTHEST} are kept, so lower p, d, m, sp or sd")


class _Line:
    """The linear function a fitted regressor is, found by asking it."""

    def __init__(self, fitted: Any) -> None:
        self.lags = {
            **{f"y-{lag}": lag for lag in range(1, fitted.p + 1)},
            **{f"sy-{lag}": lag for lag in range(fitted.m, fitted.m * fitted.sp + 1, fitted.m)},
        }
        self._names = [*self.lags, *CALENDAR, ONE]
        self._ask = fitted.regressor.predict_one
        self.at_zero = self._said(np.zeros(len(self._names)))
        self._weights = np.array([self._said(one) - self.at_zero for one in np.eye(len(self._names))])
        elsewhere = np.linspace(-1, 2, len(self._names))
        said, line = self._said(elsewhere), self.at_zero + self._weights @ elsewhere
        if not abs(said - line) <= LINEAR * (1 + np.abs(self._weights).sum()):
            raise NotReducible(
                f"the regressor {type(fitted.regressor).__name__} is not linear; use LinearRegression or "
                "BayesianLinearRegression, or the adapter onnx"
            )

    def weight(self, name: str) -> float:
        """What one of a feature adds."""
        return float(self._weights[self._names.index(name)])

    def _said(self, values: Vector) -> float:
        return float(self._ask(dict(zip(self._names, values.tolist(), strict=True))))


def _undifferenced(fitted: Any, line: _Line) -> Vector:
    """The weight of each of the values before, (30,), where the regressor's are of their differences."""
    weights = np.zeros(FURTHEST + 1)
    for back, factor in fitted.differencer.coeffs.items():
        weights[back] -= factor if back else 0
        for name, lag in line.lags.items():
            weights[lag + back] += factor * line.weight(name)
    return weights[1:]


def _linear(features: Matrix, weights: NDArray[np.floating], intercept: NDArray[np.floating]) -> Vector:
    return np.asarray((features * weights).sum(axis=1) + intercept)
