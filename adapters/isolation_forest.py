"""isolation_forest: how far a value is from the points before it, and how easily scikit-learn's forest sets it apart.

What is expected is the median of the points just before. A forest gives a score and no band, and one small enough for
a row says the same of 3 spreads and of 30. So the distance is counted in spreads, and the forest says for how much it
counts: the forest's score over that of a typical point of the history. A step the history often made counts for less,
one it never made for more. At most 20 trees of 16 leaves, 4 kB a row.
"""

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _trees
from myriad.adapters._features import LAGS, VERSION, lagged
from myriad.adapters._onestep import (
    FIT_POINTS,
    LEAST_SPREAD,
    Features,
    Vector,
    chunks,
    each,
    evenly,
    in_units,
    lags_there,
    robust_spread,
    scale,
    usual_at,
)
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

NEAREST = (3, 5, 7)
"""What is expected is the median of so many of the nearest lags: as many as came closest in the history. Of three at
least, so that one odd point is not expected again."""
DEPTHS = len(LAGS) + 1


class IsolationForest(Model):
    """A level of the points before, its spread by how many of them there are, and a forest over the steps to each."""

    version = 100 * VERSION + 1
    library = "sklearn"
    fitted_types: ClassVar = ("sklearn.ensemble._iforest.IsolationForest",)

    params: ClassVar = {
        "usual": Param("<f8", (5,)),  # a level, and sine and cosine of the day and of the week: what absent lags are
        "unit": Param("<f8", positive=True),
        "spread": Param("<f4", (DEPTHS,), positive=True, digits=10),  # of distances, in units, by lags there
        "nearest": Param("i1", positive=True),
        "typical": Param("<f4", positive=True, digits=10),  # the forest's score in the middle of the history
        **_trees.PARAMS,
    }

    @classmethod
    def fit(
        cls, history: Points, *, trees: int = _trees.TREES, sample: int = _trees.LEAVES, seed: int = 0
    ) -> Fit[Self]:
        """Grow a forest for each history; at least 60 points are needed.

        Args:
            history: as for every model.
            trees: at most 20.
            sample: points a tree is grown from, at most 16.
            seed: of the forest's random choices.

        Raises:
            NotReducible: for more trees, or more points a tree.
        """
        from sklearn.ensemble import IsolationForest as Forest

        def row(one: Points) -> Arrays:
            forest = Forest(n_estimators=trees, max_samples=sample, random_state=seed)
            return cls.reduced(forest.fit(cls.examples(one)), one)

        return each(cls, history, row)

    @classmethod
    def examples(cls, history: Points) -> Features:
        """What to fit a forest of your own to, from one series: the steps from its lags, in spreads, (n, 7)."""
        return _learnt(history).steps

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of an IsolationForest fitted to `examples(history)`; its contamination does not count."""
        if getattr(fitted, "n_features_in_", len(LAGS)) != len(LAGS):
            raise NotReducible(f"this forest has {fitted.n_features_in_} features; fit it to `examples(history)`")
        if fitted.max_samples_ > _trees.LEAVES:
            raise NotReducible(f"this forest has {fitted.max_samples_} points a tree; fit max_samples={_trees.LEAVES}")
        learnt = _learnt(history)
        forest = _packed(fitted)
        scores = score(forest, np.zeros(len(learnt.steps), np.int64), learnt.steps)
        return {**learnt.row, "typical": np.array([np.median(scores)]), **forest}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The level before each point; the band is narrower where the forest finds the value odd."""
        expected, spread = np.empty_like(points.values), np.empty_like(points.values)
        for chunk, part in chunks(points):
            expected[part], spread[part] = self._seen(rows[chunk], points.take(chunk))
        return self.banded(points.values, expected, self.half_band(np.repeat(rows, points.lengths), spread))

    def _seen(self, rows: NDArray[np.int64], points: Points) -> tuple[Vector, Vector]:
        at = np.repeat(rows, points.lengths)
        usual, unit = usual_at(self.arrays["usual"][at], points.timestamps), self.arrays["unit"][at]
        scaled = in_units(points.values, usual, unit)
        lags = lagged(points.with_values(scaled))
        level = _level(lags, self.arrays["nearest"][at])
        spread = self.arrays["spread"][at, lags_there(points)].astype(np.float64)
        taken = np.where(np.isnan(scaled), level, scaled)  # a band for a value that is not there: one as expected
        odd = score(self.arrays, at, _steps(taken, lags, spread)) / self.arrays["typical"][at]
        return usual + unit * level, unit * spread / odd


def score(forest: Arrays, rows: NDArray[np.int64], steps: Features) -> Vector:
    """The anomaly score of Liu, Ting and Zhou, "Isolation Forest" (2008), between 0 and 1."""
    return np.exp2(-_trees.total(forest, rows, steps))


class _Learnt(NamedTuple):
    """The steps of a history's points, and the parameters of its row that no forest is needed for."""

    steps: Features
    row: dict[str, NDArray[Any]]


def _learnt(history: Points) -> _Learnt:
    usual, unit = scale(history)
    n = len(history.values)
    scaled = in_units(history.values, usual_at(np.broadcast_to(usual, (n, 5)), history.timestamps), np.array(unit))
    first = min(LAGS[-1], n // 2)
    at = first + evenly(n - first, FIT_POINTS)
    lags, values = lagged(history.with_values(scaled))[at], scaled[at]
    nearest = min(NEAREST, key=lambda count: robust_spread(values - np.median(lags[:, :count], axis=1)))
    spread = np.array([_spread(values, lags, there, nearest) for there in range(DEPTHS)], np.float32)
    row = {
        "usual": usual[None],
        "unit": np.array([unit]),
        "spread": spread[None],
        "nearest": np.array([nearest]),
    }
    return _Learnt(_steps(values, lags, spread[-1:].astype(np.float64)), row)


def _spread(values: Vector, lags: Vector, there: int, nearest: int) -> float:
    """Of distances from the level where only so many lags are there."""
    filled = lags[:, np.minimum(np.arange(nearest), there - 1)] if there else np.zeros((len(lags), 1))
    return max(robust_spread(values - np.median(filled, axis=1)), LEAST_SPREAD)


def _level(lags: Vector, nearest: NDArray[np.int8]) -> Vector:
    """The median of the nearest lags of each point."""
    level = np.zeros(len(lags))
    for count in NEAREST:
        chosen = nearest == count
        if chosen.any():
            level = np.where(chosen, np.median(lags[:, :count], axis=1), level)
    return level


def _steps(values: Vector, lags: Vector, spread: Vector) -> Features:
    """How far each value is from each of its lags, in spreads: an odd lag makes one step odd, an odd value all."""
    return ((values[:, None] - lags) / spread[:, None]).astype(np.float32)


def _packed(fitted: Any) -> Arrays:
    """The forest's trees; what they say together is the mean path over that of an average point."""
    whole = len(fitted.estimators_) * max(float(_path(np.array([fitted.max_samples_]))[0]), 1.0)
    trees = []
    for grown, features in zip(fitted.estimators_, fitted.estimators_features_, strict=True):
        tree = grown.tree_
        length = tree.compute_node_depths() - 1 + _path(tree.n_node_samples)
        feature = np.asarray(features)[np.maximum(tree.feature, 0)]
        trees.append(_trees.Tree(feature, tree.threshold, tree.children_left, tree.children_right, length / whole))
    return _trees.packed(trees, "this forest")


def _path(points: NDArray[Any]) -> Vector:
    """How deep a point is on average in a tree of so many, as the paper has it."""
    n = np.maximum(points.astype(np.float64), 3)
    deep = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(points > 2, deep, np.where(points == 2, 1.0, 0.0))
