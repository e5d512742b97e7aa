"""lightgbm: LightGBM's trees over the points before and the calendar, on top of a line.

At most 20 trees of 16 leaves, 4 kB a row. They are read from LightGBM's own dump, so that LightGBM is not needed to
serve. As every one-step model, it adapts to an incident that lasts: mostly its start and its end are scored above 1.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np

from myriad.adapters import _trees
from myriad.adapters._onestep import Examples, OneStep, check_columns, zero_line
from myriad.models.base import Arrays, Fit
from myriad.models.errors import NotReducible
from myriad.models.points import Points

OBJECTIVES: Mapping[str, dict[str, Any]] = {
    "squared": {"objective": "regression"},
    "median": {"objective": "quantile", "alpha": 0.5},
}
SUM_OBJECTIVES = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
"""Objectives whose prediction is the sum of the leaves."""
LEAVES = 15
LEARNING_RATE = 0.05
MIN_POINTS_IN_LEAF = 20


class LightGBM(OneStep):
    """What LightGBM expects from lags and calendar, within the spread of its errors."""

    starts_from_a_line = True
    library = "lightgbm"
    fitted_types: ClassVar = ("lightgbm.basic.Booster", "lightgbm.sklearn.LGBMRegressor")

    @classmethod
    def fit(
        cls,
        history: Points,
        *,
        objective: Literal["squared", "median"] = "squared",
        trees: int = _trees.TREES,
        leaves: int = LEAVES,
    ) -> Fit[Self]:
        """Boost trees on each history's line; at least 60 points are needed.

        Args:
            history: tidied points, values finite.
            objective: "squared" for the mean, "median" for the median, which rare extreme values move less.
            trees: at most 20.
            leaves: of a tree, at most 16.

        Raises:
            NotReducible: more trees or leaves were requested.
        """
        import lightgbm

        parameters = {**_fixed_parameters(), **OBJECTIVES[objective], "num_leaves": leaves}

        def fit_one(examples: Examples) -> Any:
            data = lightgbm.Dataset(examples.x, examples.y, params=parameters)
            return lightgbm.train(parameters, data, trees)

        return cls.fit_each(history, fit_one)

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a Booster or LGBMRegressor fitted to `examples(history)`: what it adds to the line."""
        dump = getattr(fitted, "booster_", fitted).dump_model()
        _check(dump)
        share = 1 / max(len(dump["tree_info"]), 1) if dump["average_output"] else 1.0
        trees = [_tree(tree["tree_structure"], share) for tree in dump["tree_info"]]
        return cls.row(history, zero_line(), _trees.packed(trees, "this LightGBM model"))


def _fixed_parameters() -> dict[str, Any]:
    """Parameters that make fits silent, deterministic and small."""
    return {
        "learning_rate": LEARNING_RATE,
        "min_data_in_leaf": MIN_POINTS_IN_LEAF,
        "max_bin": 63,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": 0,
        "verbosity": -1,
    }


def _check(dump: dict[str, Any]) -> None:
    objective = str(dump.get("objective", "")).split()
    if not objective or objective[0] not in SUM_OBJECTIVES or "sqrt" in objective:
        raise NotReducible(f"LightGBM's objective {' '.join(objective)} is not of {', '.join(SUM_OBJECTIVES)}")
    if dump["num_tree_per_iteration"] != 1:
        raise NotReducible(f"this LightGBM model has {dump['num_tree_per_iteration']} outputs; fit one")
    check_columns(dump["max_feature_idx"] + 1, "this LightGBM model")


def _tree(root: dict[str, Any], share: float) -> _trees.Tree:
    """A tree of the dump as arrays, its nodes in breadth-first order."""
    nodes, left, right = [root], [], []
    for node in nodes:  # grows while it is walked
        inner = "split_feature" in node
        left.append(len(nodes) if inner else -1)
        right.append(len(nodes) + 1 if inner else -1)
        if inner:
            _check_split(node)
            nodes += [node["left_child"], node["right_child"]]
        elif node.get("leaf_features"):
            raise NotReducible("this LightGBM model has lines in its leaves; fit without linear_tree")
    return _trees.Tree(
        feature=[node.get("split_feature", -1) for node in nodes],
        threshold=np.array([node.get("threshold", 0.0) for node in nodes], np.float64),
        left=left,
        right=right,
        value=np.array([node.get("leaf_value", 0.0) for node in nodes]) * share,
    )


def _check_split(node: dict[str, Any]) -> None:
    if node["decision_type"] != "<=":
        raise NotReducible("this LightGBM model has categorical features; none of `examples` is")
    if node["missing_type"] == "Zero":
        raise NotReducible("this LightGBM model takes 0 for missing; fit without zero_as_missing")
