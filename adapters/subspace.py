"""subspace: the conditional mean of a value given the 16 before it and its calendar, without a library.

    expected = E[value | the 16 before it, calendar], linear in both

A window is a value with the 16 before it and its calendar. Most of the variance of windows lies in a few directions,
their principal components: the eigenvectors of the covariance. The rest is taken for isotropic noise (Tipping and
Bishop, "Probabilistic principal component analysis", 1999). As `pca`, with longer windows and without scikit-learn.
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._scaled import DEPTHS
from myriad.models.arrays import Matrix
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.points import Points

EVERY_LAG = tuple(range(1, 17))
"""In points."""
COLUMNS = len(EVERY_LAG) + 4
COMPONENTS = 6


class Subspace(Model):
    """A linear expectation of a value from the 16 before it, for each depth of what is known of them."""

    version = 100 * _features.VERSION + 1

    params: ClassVar = {
        **_scaled.PARAMS,
        "weights": Param("<f4", (DEPTHS, COLUMNS), digits=16),  # of lags and calendar, by depth
        "intercept": Param("<f4", (DEPTHS,), digits=16),  # in units, by depth
    }

    @classmethod
    def fit(cls, history: Points, *, components: int = COMPONENTS) -> Fit[Self]:
        """Fit to up to 2000 windows of each series; at least 100 points are needed."""
        return _scaled.fit_each(cls, history, lambda series: _row(series, components))

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step predictions, from the points of the same request."""
        weights, intercept = self.arrays["weights"], self.arrays["intercept"]
        return _scaled.prediction(
            self,
            rows,
            points,
            lambda at, x, depth: _scaled.linear(x, weights[at, depth], intercept[at, depth]),
            EVERY_LAG,
        )


def _row(history: Points, components: int) -> Arrays:
    scale = _scaled.scale(history)
    examples = _scaled.examples(history, scale, EVERY_LAG)
    windows = np.concatenate([examples.values[:, None], examples.before, examples.calendar], axis=1)
    mean, covariance = windows.mean(axis=0), _low_rank_plus_noise(np.cov(windows, rowvar=False), components)
    lines = [_scaled.conditional_mean(mean, covariance, depth, EVERY_LAG) for depth in range(DEPTHS)]
    weights, intercept = np.array([w for w, _ in lines]), np.array([c for _, c in lines])
    spread = _scaled.spreads(examples, lambda x, depth: _scaled.linear(x, weights[depth], intercept[depth]))
    return scale.row(spread, weights=weights, intercept=intercept)


def _low_rank_plus_noise(covariance: Matrix, components: int) -> Matrix:
    """The covariance with the variance of all but the largest principal components replaced by their mean."""
    variances, directions = np.linalg.eigh(covariance)  # ascending
    noise = max(float(variances[:-components].mean()), 0.0)
    kept = np.where(np.arange(len(variances)) >= len(variances) - components, variances, noise)
    return np.asarray((directions * kept) @ directions.T)
