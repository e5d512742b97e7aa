"""pca: what the lags and the calendar make of a value, by the principal components of windows.

A window is a value with its lags and its calendar. Components with isotropic noise around them are a normal
distribution of windows (Tipping and Bishop, "Probabilistic principal component analysis", 1999), and the value that is
expected is its mean given the rest of the window. The plain reconstruction of a window has the value itself in it and
so follows every anomaly some way; what it leaves of the value is this deviation times a constant, if all of the window
is known. Of this distribution any part of the lags can be missing, as it is at the start of a request.
"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._features import LAGS, Matrix
from myriad.adapters._scaled import DEPTHS
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

COMPONENTS = 8
"""Of 12: fewer lose how a window bends; more make the errors of long windows smaller than effects that matter."""
FEATURES = len(LAGS) + 4


class Pca(Model):
    """A linear expectation of a value from what is known before it, for each depth of what is known."""

    version = 100 * _features.VERSION + 1
    library = "sklearn"
    fitted_types = ("sklearn.decomposition._pca.PCA", "sklearn.decomposition._incremental_pca.IncrementalPCA")

    params: ClassVar = {
        **_scaled.PARAMS,
        "weights": Param("<f4", (DEPTHS, FEATURES), digits=16),  # of lags and calendar, by depth
        "intercept": Param("<f4", (DEPTHS,), digits=16),  # in units, by depth
    }

    @classmethod
    def fit(cls, history: Points, *, components: int = COMPONENTS) -> Fit[Self]:
        """The principal components of up to 2000 windows of each series; at least 100 points are needed."""
        return _scaled.fit_each(cls, history, lambda one: cls.reduced(_fitted(windows(one), components), one))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """The expectations of a PCA fitted to `windows(history)`, with whatever number of components."""
        if not hasattr(fitted, "get_covariance"):
            raise NotReducible(
                f"a fitted {type(fitted).__name__} has no covariance of windows; use PCA or IncrementalPCA, "
                "or the adapter onnx for what is not linear"
            )
        if fitted.n_features_in_ != 1 + FEATURES:
            raise NotReducible(
                f"this PCA was fitted to {fitted.n_features_in_} columns and not to the {1 + FEATURES} of `windows`: "
                "fit one to adapters.pca.windows(history)"
            )
        own = _scaled.scale(history)
        each = [_scaled.given(fitted.mean_, fitted.get_covariance(), depth) for depth in range(DEPTHS)]
        weights, intercept = np.array([w for w, _ in each]), np.array([c for _, c in each])
        learnt = _scaled.examples(history, own)
        spread = _scaled.spreads(learnt, lambda x, depth: _scaled.linear(x, weights[depth], intercept[depth]))
        return own.row(spread, weights=weights, intercept=intercept)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The expectation at each point from those before it that were posted with it."""
        weights, intercept = self.arrays["weights"], self.arrays["intercept"]
        return _scaled.prediction(
            self, rows, points, lambda at, x, depth: _scaled.linear(x, weights[at, depth], intercept[at, depth])
        )


def windows(history: Points) -> Matrix:
    """What a PCA is to be fitted to: each value of a single series, its lags and its calendar, (n, 12)."""
    learnt = _scaled.examples(history, _scaled.scale(history))
    return np.concatenate([learnt.values[:, None], learnt.features()], axis=1)


def _fitted(matrix: Matrix, components: int) -> Any:
    from sklearn.decomposition import PCA

    return PCA(components, svd_solver="covariance_eigh").fit(matrix)
