"""pca: the conditional mean of a value given its lags and its calendar, from the principal components of windows.

    expected = E[value | lags, calendar], linear in both

A window is a value with its lags and its calendar. Principal components with isotropic noise define a normal
distribution of windows (Tipping and Bishop, "Probabilistic principal component analysis", 1999), and the expected value
is its conditional mean. Lags may be missing, as they are at the start of a request: the mean is then conditional on the
others.

The usual PCA score, the error of reconstructing the window, includes the value itself, so that the reconstruction
partly follows an anomaly. If all lags are known, that error is this deviation times a constant.
"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._features import LAGS
from myriad.adapters._scaled import DEPTHS
from myriad.models.arrays import Matrix
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import NotReducible
from myriad.models.points import Points

COMPONENTS = 8
"""Of 12. Fewer lose the shape of windows; more fit the noise of windows of long intervals."""
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
        return _scaled.fit_each(cls, history, lambda series: cls.reduced(_fitted(windows(series), components), series))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a PCA fitted to `windows(history)`, with any number of components."""
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
        scale = _scaled.scale(history)
        lines = [_scaled.conditional_mean(fitted.mean_, fitted.get_covariance(), depth) for depth in range(DEPTHS)]
        weights, intercept = np.array([w for w, _ in lines]), np.array([c for _, c in lines])
        examples = _scaled.examples(history, scale)
        spread = _scaled.spreads(examples, lambda x, depth: _scaled.linear(x, weights[depth], intercept[depth]))
        return scale.row(spread, weights=weights, intercept=intercept)

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step predictions, from the points of the same request."""
        weights, intercept = self.arrays["weights"], self.arrays["intercept"]
        return _scaled.prediction(
            self, rows, points, lambda at, x, depth: _scaled.linear(x, weights[at, depth], intercept[at, depth])
        )


def windows(history: Points) -> Matrix:
    """What a PCA has to be fitted to: each value of a single series, its lags and its calendar, (n, 12)."""
    examples = _scaled.examples(history, _scaled.scale(history))
    return np.concatenate([examples.values[:, None], examples.features()], axis=1)


def _fitted(matrix: Matrix, components: int) -> Any:
    from sklearn.decomposition import PCA

    return PCA(components, svd_solver="covariance_eigh").fit(matrix)
