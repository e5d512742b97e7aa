"""One-step models: what a library's regressor expects of a point, from the points before it and the calendar.

    expected = baseline + unit * (line(features) + trees(features))

The baseline is a level with sines and cosines of the day and the week, which stands in the array `usual`. Features and
targets are (value - baseline) / unit, so that 0 is the baseline itself; 0 also replaces lags that are missing.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _trees
from myriad.adapters._features import DAY, LAGS, VERSION, WEEK, calendar, features
from myriad.adapters._trees import Features
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction, split_by_length
from myriad.models.errors import NotReducible
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MEAN_DEVIATION_TO_STD, ROUNDING

COLUMNS = len(LAGS) + 4
MIN_POINTS = 60
FIT_POINTS = 2000
"""A regressor is fitted to at most this many points of a history, evenly spread."""
BASELINE_POINTS = 5000
"""The baseline is fitted to at most this many points, evenly spread."""
MIN_CYCLES = 2
"""The baseline has a daily or weekly term once the history covers this many days or weeks."""
RIDGE = 0.01
"""Ridge penalty on every coefficient, of the baseline and of the line."""
LAG_RIDGE = 1.0
"""Ridge penalty on the differences between the line's coefficients of the lags.

It spreads the weight over the lags: one outlier among them then hardly moves the expected value.
"""
CLIP = 1e6
"""Values and expected values are at most this far from the baseline, in units; no history has one as far."""
MIN_SPREAD = 1e-6
WINSOR = 0.95
"""Residuals beyond this quantile count as that large, so that incidents do not widen the band."""
POINTS_AT_ONCE = 1 << 16

M = TypeVar("M", bound=Model)


class Examples(NamedTuple):
    """What a regressor is fitted to: features, float32 (n, 11), and targets in the row's units, float64 (n,)."""

    x: Features
    y: Vector


class OneStep(Model):
    """A line and trees over lags and calendar, and the spread of their errors by the number of lags present."""

    version = 100 * VERSION + 1

    starts_from_a_line: ClassVar[bool] = False
    """Whether the regressor is fitted to the residuals of a line: trees alone cannot extrapolate."""

    params: ClassVar[Mapping[str, Param]] = {
        "usual": Param("<f8", (5,)),  # the baseline: a level, sine and cosine of the day and of the week
        "unit": Param("<f8", positive=True),
        "spread": Param("<f4", (len(LAGS) + 1,), positive=True, digits=10),  # in units, by the number of lags present
        "line": Param("<f8", (COLUMNS + 1,)),  # a coefficient for each feature, and the intercept
        **_trees.PARAMS,
    }

    @classmethod
    def examples(cls, history: Points) -> Examples:
        """The features and targets of one series that an object for `reduced` has to be fitted to."""
        examples = _examples(history, _baseline_arrays(history))
        return Examples(examples.x, examples.y - evaluate_line(cls._base_line(examples), examples.x))

    @classmethod
    def _base_line(cls, examples: Examples) -> Vector:
        """The line whose residuals the regressor is fitted to."""
        return ridge_line(examples) if cls.starts_from_a_line else zero_line()

    @classmethod
    def fit_each(cls, history: Points, fit_one: Callable[[Examples], Any]) -> Fit[Self]:
        """A row for each history of at least 60 points, from what `fit_one` fits to it."""
        return fit_rows(cls, history, lambda series: cls.reduced(fit_one(cls.examples(series)), series))

    @classmethod
    def row(cls, history: Points, line: Vector, forest: Arrays) -> Arrays:
        """The arrays of one row, (1, ...), from a line and trees that were fitted to `examples(history)`."""
        baseline = _baseline_arrays(history)
        examples = _examples(history, baseline)
        row = {**baseline, "line": (line + cls._base_line(examples))[None], **forest}
        return {**row, "spread": _spreads(row, examples)[None]}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step predictions; the band is wider where fewer lags are present."""
        expected, spread = np.empty_like(points.values), np.empty_like(points.values)
        for chunk, part in chunks(points):
            expected[part], spread[part] = self._one_step(rows[chunk], points.take(chunk))
        return self.banded(points.values, expected, self.half_band(np.repeat(rows, points.lengths), spread))

    def _one_step(self, rows: NDArray[np.int64], points: Points) -> tuple[Vector, Vector]:
        """Expected values and spreads, (n,)."""
        at = np.repeat(rows, points.lengths)
        baseline, unit = baseline_at(self.arrays["usual"][at], points.local), self.arrays["unit"][at]
        scaled = points.with_values(in_units(points.values, baseline, unit))
        predicted = _predicted(self.arrays, at, features(scaled).astype(np.float32))
        return baseline + unit * predicted, unit * self.arrays["spread"][at, lags_present(points)]


def fit_rows(kind: type[M], history: Points, row: Callable[[Points], Arrays]) -> Fit[M]:
    """The model of the rows, (1, ...), that `row` makes of each history of at least 60 points."""
    kept, refused = split_by_length(history, MIN_POINTS, "to learn from lags")
    rows = [row(history.take([i])) for i in kept.tolist()]
    empty = {name: np.empty((0, *param.shape), param.dtype) for name, param in kind.params.items()}
    arrays = {name: np.concatenate([empty[name], *(fitted[name] for fitted in rows)]) for name in kind.params}
    return Fit(kind.uncalibrated(arrays), kept, refused)


def zero_line() -> Vector:
    """The line that is 0 everywhere, (12,)."""
    return np.zeros(COLUMNS + 1)


def ridge_line(examples: Examples) -> Vector:
    """Ridge regression with the penalty of `_penalty`: the coefficients and, last, the intercept, (12,)."""
    center = examples.x.mean(axis=0, dtype=np.float64)
    x, level = examples.x - center, float(examples.y.mean())
    penalised = x.T @ x / len(x) + _penalty()
    slopes = np.linalg.solve(penalised, x.T @ (examples.y - level) / len(x))
    return np.append(slopes, level - slopes @ center)


def _penalty() -> Matrix:
    """The penalty matrix, (11, 11): w' P w = LAG_RIDGE |w - mean over the lags of w|^2 + RIDGE |w|^2.

    For features that are not lags the mean is 0. The sum of the lags' coefficients is hardly penalised, so that the
    line follows a level that has moved.
    """
    lag_mean = np.zeros((COLUMNS, COLUMNS))
    lag_mean[: len(LAGS), : len(LAGS)] = 1 / len(LAGS)
    return LAG_RIDGE * (np.eye(COLUMNS) - lag_mean) + RIDGE * np.eye(COLUMNS)


def evaluate_line(line: Vector, x: Features) -> Vector:
    """The value at each point, (n,), of one line, (12,), or of a line for each point, (n, 12)."""
    return line[..., -1] + (line[..., :-1] * x).sum(axis=1)


def check_columns(columns: int, kind: str) -> None:
    """Raise `NotReducible` unless a regressor has as many features as `examples` gives."""
    if columns != COLUMNS:
        raise NotReducible(f"{kind} has {columns} features; fit it to those of `examples(history)`, {COLUMNS}")


def baseline_at(coefficients: Matrix, local: NDArray[np.int64]) -> Vector:
    """The baseline at each local time, (n,), from its coefficients for each point, (n, 5)."""
    return coefficients[:, 0] + (coefficients[:, 1:] * calendar(local)).sum(axis=1)


def in_units(values: Vector, baseline: Vector, unit: Vector) -> Vector:
    """(values - baseline) / unit, limited to ±`CLIP`."""
    with np.errstate(over="ignore"):  # a huge value posted to a tiny series
        return np.clip((values - baseline) / unit, -CLIP, CLIP)


def lags_present(points: Points) -> NDArray[np.int64]:
    """The number of lags that each point has enough points before it for, 0 to 7, (n,); NaN values do not count."""
    finite = np.isfinite(points.values)
    counted = np.concatenate([[0], np.cumsum(finite)])
    before = counted[:-1] - counted[points.offsets[:-1]][points.owner]
    return np.searchsorted(LAGS, before, side="right")


def evenly_spaced(n: int, count: int) -> NDArray[np.int64]:
    """At most `count` positions among n, the last one included."""
    return np.linspace(0, n - 1, min(n, count)).astype(np.int64)


def winsorised_std(errors: Vector) -> float:
    """The standard deviation from the winsorised mean absolute error, as if errors were normal."""
    size = np.abs(errors)
    return float(MEAN_DEVIATION_TO_STD * np.minimum(size, np.quantile(size, WINSOR)).mean())


def fit_baseline(history: Points) -> tuple[Vector, float]:
    """The coefficients of one series' baseline, (5,), and its unit: the mean absolute deviation from the baseline."""
    size = float(magnitudes(history)[0])
    at = evenly_spaced(len(history.values), BASELINE_POINTS)
    times, values = history.local[at], history.values[at] / size
    span = history.timestamps[-1] - history.timestamps[0]
    covered = np.repeat([span >= MIN_CYCLES * DAY, span >= MIN_CYCLES * WEEK], 2)
    center = float(np.median(values))
    centered = values - center
    columns = np.column_stack([np.ones(len(at)), calendar(times) * covered])
    winsorised = np.clip(centered, *np.quantile(centered, [1 - WINSOR, WINSOR]))
    # The ridge penalty keeps the terms small if the history has few hours of the day, or few days of the week.
    penalised = columns.T @ columns / len(at) + RIDGE * np.eye(5)
    coefficients = np.linalg.solve(penalised, columns.T @ winsorised / len(at))
    unit = max(float(np.abs(centered - columns @ coefficients).mean()), ROUNDING)
    return (coefficients + np.array([center, 0, 0, 0, 0])) * size, unit * size


def _baseline_arrays(history: Points) -> Arrays:
    coefficients, unit = fit_baseline(history)
    return {"usual": coefficients[None], "unit": np.array([unit])}


def _examples(history: Points, row: Arrays) -> Examples:
    """Features and targets of one series by the baseline in its row."""
    baseline = baseline_at(np.broadcast_to(row["usual"], (len(history.values), 5)), history.local)
    scaled = history.with_values(in_units(history.values, baseline, row["unit"]))
    first = min(LAGS[-1], len(history.values) // 2)
    at = first + evenly_spaced(len(history.values) - first, FIT_POINTS)
    return Examples(features(scaled)[at].astype(np.float32), scaled.values[at])


def _predicted(arrays: Arrays, rows: NDArray[np.int64], x: Features) -> Vector:
    """The line plus the trees of each point's row at its features, in units, (n,)."""
    predicted = evaluate_line(arrays["line"][rows], x) + _trees.total(arrays, rows, x)
    return np.clip(predicted, -CLIP, CLIP)


def _spreads(row: Arrays, examples: Examples) -> Vector:
    """The spread of the errors by the number of lags present, (lags + 1,), in units.

    All examples have all lags. For smaller numbers, the lags of every eighth example are truncated.
    """
    sample = Examples(examples.x[::8], examples.y[::8])
    by_lags = [Examples(_truncated(sample.x, lags), sample.y) for lags in range(len(LAGS))] + [examples]
    x, y = np.concatenate([part.x for part in by_lags]), np.concatenate([part.y for part in by_lags])
    errors = y - _predicted(row, np.zeros(len(y), np.int64), x)
    parts = np.split(errors, np.cumsum([len(part.y) for part in by_lags])[:-1])
    return np.maximum([winsorised_std(part) for part in parts], MIN_SPREAD)


def _truncated(x: Features, lags: int) -> Features:
    """The features as they are if only the nearest `lags` are present: the others repeat the last of these."""
    truncated = x.copy()
    truncated[:, lags : len(LAGS)] = x[:, lags - 1 : lags] if lags else 0
    return truncated


def chunks(points: Points) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """Consecutive series, at most `POINTS_AT_ONCE` points at a time if a series has no more: and their points' span."""
    first = 0
    while first < len(points):
        end = int(np.searchsorted(points.offsets, points.offsets[first] + POINTS_AT_ONCE, side="right")) - 1
        end = max(end, first + 1)
        yield np.arange(first, end), slice(points.offsets[first], points.offsets[end])
        first = end
