"""xgboost: XGBoost's trees over the points before and the calendar, on top of a line.

At most 20 trees of 16 leaves, 4 kB a row. They are read from the model as XGBoost saves it, so that XGBoost is
not needed to serve. As every one-step model, it adapts to an incident that lasts: mostly its start and its end are
scored above 1.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np

from myriad.adapters import _trees
from myriad.adapters._onestep import Examples, OneStep, check_columns, zero_line
from myriad.models.base import Arrays, Fit
from myriad.models.errors import NotReducible
from myriad.models.points import Points

OBJECTIVES: Mapping[str, dict[str, Any]] = {
    "squared": {"objective": "reg:squarederror"},
    "median": {"objective": "reg:quantileerror", "quantile_alpha": 0.5},
}
SUM_OBJECTIVES = ("reg:squarederror", "reg:quantileerror", "reg:absoluteerror", "reg:pseudohubererror")
"""Objectives whose prediction is the sum of the leaves."""
LEAVES = 15
LEARNING_RATE = 0.05
MIN_POINTS_IN_LEAF = 20


class XGBoost(OneStep):
    """What XGBoost expects from lags and calendar, within the spread of its errors."""

    starts_from_a_line = True
    library = "xgboost"
    fitted_types: ClassVar = ("xgboost.core.Booster", "xgboost.sklearn.XGBRegressor", "xgboost.sklearn.XGBRFRegressor")

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
        import xgboost

        parameters = {**_fixed_parameters(), **OBJECTIVES[objective], "max_leaves": leaves}

        def fit_one(examples: Examples) -> Any:
            data = xgboost.QuantileDMatrix(examples.x, examples.y, max_bin=parameters["max_bin"], nthread=1)
            return xgboost.train(parameters, data, trees)

        with xgboost.config_context(verbosity=0):
            return cls.fit_each(history, fit_one)

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a Booster or XGBRegressor fitted to `examples(history)`: what it adds to the line."""
        learner = json.loads(bytes(_booster(fitted).save_raw("json")))["learner"]
        _check(learner)
        line = zero_line()
        line[-1] = _starts(learner)[0]
        trees = [_tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
        return cls.row(history, line, _trees.packed(trees, "this XGBoost model"))


def _fixed_parameters() -> dict[str, Any]:
    """Parameters that make fits silent, deterministic and small."""
    return {
        "eta": LEARNING_RATE,
        "min_child_weight": MIN_POINTS_IN_LEAF,
        "max_bin": 64,
        "max_depth": 0,
        "grow_policy": "lossguide",
        "tree_method": "hist",
        "nthread": 1,
        "seed": 0,
        "verbosity": 0,
    }


def _booster(fitted: Any) -> Any:
    """The booster as the wrapper predicts with it: up to the best round, where it stopped early."""
    if not hasattr(fitted, "get_booster"):
        return fitted
    if not (fitted.missing is None or np.isnan(fitted.missing)):
        raise NotReducible(f"this XGBoost model takes {fitted.missing} for missing; leave `missing` as it is")
    booster = fitted.get_booster()
    best = booster.attr("best_iteration")
    return booster if best is None else booster[: int(best) + 1]


def _check(learner: dict[str, Any]) -> None:
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if objective not in SUM_OBJECTIVES:
        raise NotReducible(f"XGBoost's objective {objective} is not of {', '.join(SUM_OBJECTIVES)}")
    if booster != "gbtree":
        raise NotReducible(f"XGBoost's booster {booster} cannot be a row; fit gbtree")
    if len(_starts(learner)) != 1 or int(learner["learner_model_param"]["num_target"]) != 1:
        raise NotReducible("this XGBoost model has several outputs; fit one")
    check_columns(int(learner["learner_model_param"]["num_feature"]), "this XGBoost model")


def _starts(learner: dict[str, Any]) -> list[float]:
    """The base score of each output, which is written as "5E-1" or "[5E-1,0E0]"."""
    start = learner["learner_model_param"]["base_score"]
    return [float(text) for text in start.strip("[]").split(",")]


def _tree(tree: dict[str, Any]) -> _trees.Tree:
    if any(tree["split_type"]):
        raise NotReducible("this XGBoost model has categorical features; none of `examples` is")
    split = np.array(tree["split_conditions"], np.float32)  # in a leaf, its value
    return _trees.Tree(tree["split_indices"], split, tree["left_children"], tree["right_children"], split, strict=True)
