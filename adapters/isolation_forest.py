"""isolation_forest: the deviation from the last points, weighted by the score of scikit-learn's isolation forest.

    expected = median of the last points
    score    = |value - expected| / spread * forest score / typical forest score, over the threshold

A forest alone gives a score and no band, and one small enough for a row scores 3 spreads and 30 alike. So the deviation
is measured in spreads, and the forest weights it: a step from the last points that the history often made counts for
less, one that it never made for more. At most 20 trees of 16 leaves, 4 kB a row.
"""

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _trees
from myriad.adapters._features import LAGS, VERSION, lagged
from myriad.adapters._onestep import (
    FIT_POINTS,
    MIN_SPREAD,
    baseline_at,
    chunks,
    evenly_spaced,
    fit_baseline,
    fit_rows,
    in_units,
    lags_present,
    winsorised_std,
)
from myriad.adapters._trees import Features
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

NEAREST = (3, 5, 7)
"""The expected value is the median of one of these numbers of lags, the one with the smallest errors in the history.

At least three, so that a single outlier among them does not become the expected value.
"""
DEPTHS = len(LAGS) + 1


class IsolationForest(Model):
    """The median of the lags, its spread by the number of lags present, and a forest over the steps from each lag."""

    version = 100 * VERSION + 1
    library = "sklearn"
    fitted_types: ClassVar = ("sklearn.ensemble._iforest.IsolationForest",)

    params: ClassVar = {
        "usual": Param("<f8", (5,)),  # the baseline, which replaces missing lags; see `_onestep.OneStep`
        "unit": Param("<f8", positive=True),
        "spread": Param(
            "<f4", (DEPTHS,), positive=True, digits=10
        ),  # of deviations, in units, by the number of lags present
        "nearest": Param("i1", positive=True),  # of how many lags the expected value is the median
        "typical": Param("<f4", positive=True, digits=10),  # the median of the forest's scores in the history
        **_trees.PARAMS,
    }

    @classmethod
    def fit(
        cls, history: Points, *, trees: int = _trees.TREES, sample: int = _trees.LEAVES, seed: int = 0
    ) -> Fit[Self]:
        """Fit a forest to each history; at least 60 points are needed.

        Args:
            history: tidied points, values finite.
            trees: at most 20.
            sample: points that each tree is fitted to, at most 16.
            seed: of the random choices.

        Raises:
            NotReducible: more trees or more points a tree were requested.
        """
        from sklearn.ensemble import IsolationForest as Forest

        def row(series: Points) -> Arrays:
            forest = Forest(n_estimators=trees, max_samples=sample, random_state=seed)
            return cls.reduced(forest.fit(cls.examples(series)), series)

        return fit_rows(cls, history, row)

    @classmethod
    def examples(cls, history: Points) -> Features:
        """What a forest for `reduced` has to be fitted to, from one series: (value - lag) / spread, (n, 7)."""
        return _reference(history).steps

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of an IsolationForest fitted to `examples(history)`; its contamination is ignored."""
        if getattr(fitted, "n_features_in_", len(LAGS)) != len(LAGS):
            raise NotReducible(f"this forest has {fitted.n_features_in_} features; fit it to `examples(history)`")
        if fitted.max_samples_ > _trees.LEAVES:
            raise NotReducible(f"this forest has {fitted.max_samples_} points a tree; fit max_samples={_trees.LEAVES}")
        reference = _reference(history)
        forest = _packed(fitted)
        scores = score(forest, np.zeros(len(reference.steps), np.int64), reference.steps)
        return {**reference.row, "typical": np.array([np.median(scores)]), **forest}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The median of the lags; the band is narrower where the forest's score is high."""
        expected, spread = np.empty_like(points.values), np.empty_like(points.values)
        for chunk, part in chunks(points):
            expected[part], spread[part] = self._weighted(rows[chunk], points.take(chunk))
        return self.banded(points.values, expected, self.half_band(np.repeat(rows, points.lengths), spread))

    def _weighted(self, rows: NDArray[np.int64], points: Points) -> tuple[Vector, Vector]:
        """Expected values, and spreads divided by the relative forest score, (n,)."""
        at = np.repeat(rows, points.lengths)
        baseline, unit = baseline_at(self.arrays["usual"][at], points.local), self.arrays["unit"][at]
        scaled = in_units(points.values, baseline, unit)
        lags = lagged(points.with_values(scaled))
        level = _level(lags, self.arrays["nearest"][at])
        spread = self.arrays["spread"][at, lags_present(points)].astype(np.float64)
        filled = np.where(np.isnan(scaled), level, scaled)  # where there is no value, the band of an expected one
        relative = score(self.arrays, at, _steps(filled, lags, spread)) / self.arrays["typical"][at]
        return baseline + unit * level, unit * spread / relative


def score(forest: Arrays, rows: NDArray[np.int64], steps: Features) -> Vector:
    """The anomaly score 2^-(mean path / average path), 0 to 1: Liu, Ting and Zhou, "Isolation Forest", 2008."""
    return np.exp2(-_trees.total(forest, rows, steps))


class _Reference(NamedTuple):
    """The steps of a history's points, (n, 7), and the arrays of its row that do not depend on the forest."""

    steps: Features
    row: dict[str, NDArray[Any]]


def _reference(history: Points) -> _Reference:
    baseline, unit = fit_baseline(history)
    n = len(history.values)
    scaled = in_units(history.values, baseline_at(np.broadcast_to(baseline, (n, 5)), history.local), np.array(unit))
    first = min(LAGS[-1], n // 2)
    at = first + evenly_spaced(n - first, FIT_POINTS)
    lags, values = lagged(history.with_values(scaled))[at], scaled[at]
    nearest = min(NEAREST, key=lambda count: winsorised_std(values - np.median(lags[:, :count], axis=1)))
    spread = np.array([_spread(values, lags, present, nearest) for present in range(DEPTHS)], np.float32)
    row = {
        "usual": baseline[None],
        "unit": np.array([unit]),
        "spread": spread[None],
        "nearest": np.array([nearest]),
    }
    return _Reference(_steps(values, lags, spread[-1:].astype(np.float64)), row)


def _spread(values: Vector, lags: Matrix, present: int, nearest: int) -> float:
    """The spread of the deviations if only this many lags are present."""
    filled = lags[:, np.minimum(np.arange(nearest), present - 1)] if present else np.zeros((len(lags), 1))
    return max(winsorised_std(values - np.median(filled, axis=1)), MIN_SPREAD)


def _level(lags: Matrix, nearest: NDArray[np.int8]) -> Vector:
    """The median of the nearest lags of each point, (n,)."""
    level = np.zeros(len(lags))
    for count in NEAREST:
        chosen = nearest == count
        if chosen.any():
            level = np.where(chosen, np.median(lags[:, :count], axis=1), level)
    return level


def _steps(values: Vector, lags: Matrix, spread: Vector) -> Features:
    """(value - lag) / spread, (n, 7): an outlier among the lags makes one of them large, an outlying value all."""
    return ((values[:, None] - lags) / spread[:, None]).astype(np.float32)


def _packed(fitted: Any) -> Arrays:
    """The trees, whose sum is the mean path length over the average one in a tree of as many points."""
    total = len(fitted.estimators_) * max(float(_path(np.array([fitted.max_samples_]))[0]), 1.0)
    trees = []
    for grown, features in zip(fitted.estimators_, fitted.estimators_features_, strict=True):
        tree = grown.tree_
        length = tree.compute_node_depths() - 1 + _path(tree.n_node_samples)
        feature = np.asarray(features)[np.maximum(tree.feature, 0)]
        trees.append(_trees.Tree(feature, tree.threshold, tree.children_left, tree.children_right, length / total))
    return _trees.packed(trees, "this forest")


def _path(points: NDArray[Any]) -> Vector:
    """The average path length in a tree of this many points, c(n) in the paper, for each."""
    n = np.maximum(points.astype(np.float64), 3)
    deep = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(points > 2, deep, np.where(points == 2, 1.0, 0.0))
