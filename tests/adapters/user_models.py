"""Models that users fit themselves, of several libraries, to the window of a key."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import myriad
from myriad.adapters.lightgbm import LightGBM
from myriad.adapters.regressor import Regressor
from myriad.models.points import Points
from tests.adapters.libraries import needs
from tests.conftest import history

STEP = 300
KEY = "us-east-1/web-042/cpu_util/15m"
FULL_HISTORY = history(10, step=STEP)
BEGINS = FULL_HISTORY.timestamps[-1] - 3 * 86400
PAST, LATER = (
    FULL_HISTORY.where(FULL_HISTORY.timestamps <= BEGINS),
    FULL_HISTORY.where(FULL_HISTORY.timestamps > BEGINS),
)


def smoothing(past: Points) -> Any:
    """Of statsmodels, fitted to hourly means."""
    needs("statsmodels")
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    hours = past.timestamps // 3600
    means = [past.values[hours == hour].mean() for hour in np.unique(hours)]
    return ExponentialSmoothing(np.array(means), seasonal="add", seasonal_periods=24).fit()


def decomposition(past: Points) -> Any:
    """Of statsmodels, of the points as they are."""
    needs("statsmodels")
    from statsmodels.tsa.seasonal import STL

    return STL(past.values, period=86400 // STEP).fit()


def line(past: Points) -> Any:
    """Of scikit-learn."""
    needs("sklearn")
    from sklearn.linear_model import Ridge

    return Ridge().fit(*Regressor.examples(past))


def forest(past: Points) -> Any:
    """Of scikit-learn."""
    needs("sklearn")
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(10, max_leaf_nodes=16, random_state=0).fit(*Regressor.examples(past))


def boosted(past: Points) -> Any:
    """Of LightGBM, as scikit-learn would have it."""
    needs("lightgbm")
    from lightgbm import LGBMRegressor

    return LGBMRegressor(n_estimators=10, num_leaves=8, verbosity=-1, n_jobs=1).fit(*LightGBM.examples(past))


USER_MODELS: Mapping[str, tuple[str, Callable[[Points], Any]]] = {
    "statsmodels exponential smoothing": ("holt_winters", smoothing),
    "statsmodels STL": ("stl", decomposition),
    "scikit-learn line": ("regressor", line),
    "scikit-learn forest": ("regressor", forest),
    "LightGBM": ("lightgbm", boosted),
}
"""By the kind of model: the adapter that takes it, and the function that fits it."""


def exported(fit: Callable[[Points], Any] = line, key: str = KEY, **options: Any) -> myriad.Exported:
    """What was fitted to the first week, calibrated on the rest."""
    given = {"history": PAST, "calibration": LATER, **options}
    return myriad.export(fit(myriad.windowed(given["history"], key)), key=key, **given)
