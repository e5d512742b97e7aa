"""regressor: a scikit-learn regressor over the points before and the calendar.

The default is a ridge regression that spreads the weight over the lags. A row has room for a line, 12 numbers, and for
20 trees of 16 leaves: 4 kB in memory, of which unused trees take almost nothing when stored. As every one-step model,
it adapts to an incident that lasts: mostly its start and its end are scored above 1.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from myriad.adapters import _trees
from myriad.adapters._onestep import COLUMNS, OneStep, check_columns, fit_rows, ridge_line, zero_line
from myriad.models.arrays import Vector
from myriad.models.base import Arrays, Fit
from myriad.models.errors import NotReducible
from myriad.models.points import Points

LINES = (
    "sklearn.linear_model._base.LinearRegression",
    "sklearn.linear_model._bayes.BayesianRidge",
    "sklearn.linear_model._coordinate_descent.ElasticNet",
    "sklearn.linear_model._coordinate_descent.ElasticNetCV",
    "sklearn.linear_model._coordinate_descent.Lasso",
    "sklearn.linear_model._coordinate_descent.LassoCV",
    "sklearn.linear_model._huber.HuberRegressor",
    "sklearn.linear_model._quantile.QuantileRegressor",
    "sklearn.linear_model._ridge.Ridge",
    "sklearn.linear_model._ridge.RidgeCV",
)
TREE = "sklearn.tree._classes.DecisionTreeRegressor"
FORESTS = ("sklearn.ensemble._forest.RandomForestRegressor", "sklearn.ensemble._forest.ExtraTreesRegressor")
BOOSTED = "sklearn.ensemble._gb.GradientBoostingRegressor"
HISTOGRAM = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor"
PIPELINE = "sklearn.pipeline.Pipeline"
SCALER = "sklearn.preprocessing._data.StandardScaler"
DUMMY = "sklearn.dummy.DummyRegressor"


class Regressor(OneStep):
    """What a regressor of lags and calendar expects, within the spread of its errors."""

    library = "sklearn"
    fitted_types: ClassVar = (*LINES, TREE, *FORESTS, BOOSTED, HISTOGRAM, PIPELINE)

    @classmethod
    def fit(cls, history: Points, *, estimator: Any = None) -> Fit[Self]:
        """Fit a regressor to each history; at least 60 points are needed.

        Args:
            history: tidied points, values finite.
            estimator: an unfitted scikit-learn regressor, a copy of which is fitted to each history. Fits can be
                repeated if its `random_state` is set. None is the ridge regression, which does not need scikit-learn.

        Raises:
            NotReducible: the estimator is of a type or size that cannot be a row.
        """
        if estimator is None:
            return fit_rows(
                cls, history, lambda series: cls.row(series, ridge_line(cls.examples(series)), _trees.none())
            )
        from sklearn import clone

        return cls.fit_each(history, lambda examples: clone(estimator).fit(*examples))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a regressor fitted to `examples(history)`."""
        reduce = _REDUCED.get(_kind(fitted))
        if reduce is None:
            raise NotReducible(f"{_kind(fitted)} cannot be a row; those that can: {', '.join(cls.fitted_types)}")
        last = fitted[-1] if _kind(fitted) == PIPELINE else fitted
        check_columns(getattr(last, "n_features_in_", COLUMNS), type(last).__name__)
        return cls.row(history, *reduce(fitted))


Reduced = tuple[Vector, Arrays]
"""A line and trees, one of which is 0 everywhere."""


def _kind(fitted: Any) -> str:
    return f"{type(fitted).__module__}.{type(fitted).__qualname__}"


def _line(fitted: Any) -> Reduced:
    slopes, start = np.ravel(fitted.coef_), np.ravel(fitted.intercept_)
    check_columns(len(slopes), f"{type(fitted).__name__} of {len(start)} targets")
    return np.append(slopes, start[0]).astype(np.float64), _trees.none()


def _forest(trees: Sequence[_trees.Tree], start: float, kind: str) -> Reduced:
    line = zero_line()
    line[-1] = start
    return line, _trees.packed(trees, kind)


def _tree(fitted: Any) -> Reduced:
    return _forest([_of_tree(fitted, 1.0)], 0.0, type(fitted).__name__)


def _averaged(fitted: Any) -> Reduced:
    share = 1 / len(fitted.estimators_)
    return _forest([_of_tree(tree, share) for tree in fitted.estimators_], 0.0, type(fitted).__name__)


def _boosted(fitted: Any) -> Reduced:
    kind = type(fitted).__name__
    if isinstance(fitted.init_, str):  # "zero"
        start = 0.0
    elif _kind(fitted.init_) == DUMMY:
        start = float(np.ravel(fitted.init_.constant_)[0])
    else:
        raise NotReducible(f"{kind} starts from a {type(fitted.init_).__name__}; leave `init` as it is")
    return _forest([_of_tree(tree, fitted.learning_rate) for tree in fitted.estimators_.ravel()], start, kind)


def _of_histogram(fitted: Any) -> Reduced:
    kind = type(fitted).__name__
    if fitted.loss not in ("squared_error", "absolute_error", "quantile"):
        raise NotReducible(f"{kind} of loss {fitted.loss} answers in logarithms; use squared_error")
    if fitted.is_categorical_ is not None:
        raise NotReducible(f"{kind} has categorical features; none of `examples` is")
    trees = [_of_nodes(tree.nodes) for (tree,) in fitted._predictors]
    return _forest(trees, float(np.ravel(fitted._baseline_prediction)[0]), kind)


def _of_nodes(nodes: Any) -> _trees.Tree:
    left = np.where(nodes["is_leaf"] == 1, -1, nodes["left"].astype(np.int64))
    right = nodes["right"].astype(np.int64)
    return _trees.Tree(nodes["feature_idx"], nodes["num_threshold"], left, right, nodes["value"])


def _of_tree(fitted: Any, share: float) -> _trees.Tree:
    tree = fitted.tree_
    if tree.value.shape[1] != 1:
        raise NotReducible(f"{type(fitted).__name__} has {tree.value.shape[1]} targets; fit one")
    value = tree.value[:, 0, 0] * share
    return _trees.Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, value)


def _of_pipeline(fitted: Any) -> Reduced:
    """A standard scaler followed by a line, which together are a line, or a single regressor."""
    steps = [step for _, step in fitted.steps if step not in (None, "passthrough")]
    if len(steps) == 1 and _kind(steps[0]) in _REDUCED:
        return _REDUCED[_kind(steps[0])](steps[0])
    if len(steps) != 2 or _kind(steps[0]) != SCALER or _kind(steps[1]) not in LINES:
        raise NotReducible("of pipelines only a StandardScaler before a linear regressor; trees need no scaling")
    scaler, (line, forest) = steps[0], _line(steps[1])
    slopes = line[:-1] / (1.0 if scaler.scale_ is None else scaler.scale_)
    shift = slopes @ scaler.mean_ if scaler.with_mean else 0.0
    return np.append(slopes, line[-1] - shift), forest


_REDUCED: Mapping[str, Callable[[Any], Reduced]] = {
    **dict.fromkeys(LINES, _line),
    TREE: _tree,
    **dict.fromkeys(FORESTS, _averaged),
    BOOSTED: _boosted,
    HISTOGRAM: _of_histogram,
    PIPELINE: _of_pipeline,
}
