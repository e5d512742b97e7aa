"""subspace: what a trailing stretch of a series makes of its next value, by the few shapes such stretches have.

The stretches of the history are points in a space of as many dimensions as they have values. Most of how they differ
lies in few directions, their principal components, found by an eigendecomposition of their covariance; what is left
is noise, the same in all directions (Tipping and Bishop, "Probabilistic principal component analysis", 1999). The value
that is expected is the mean of the last one, given those before it. As `pca`, with longer stretches and no library.
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._features import Matrix
from myriad.adapters._scaled import DEPTHS
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.points import Points

STRETCH = tuple(range(1, 17))
"""Points back: so many before the one that is expected."""
COLUMNS = len(STRETCH) + 4
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
        """The subspace of up to 2000 stretches of each series; at least 100 points are needed."""
        return _scaled.fit_each(cls, history, lambda one: _row(one, components))

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The expectation at each point from those before it that were posted with it."""
        weights, intercept = self.arrays["weights"], self.arrays["intercept"]
        return _scaled.prediction(
            self,
            rows,
            points,
            lambda at, x, depth: _scaled.linear(x, weights[at, depth], intercept[at, depth]),
            STRETCH,
        )


def _row(history: Points, components: int) -> Arrays:
    own = _scaled.scale(history)
    learnt = _scaled.examples(history, own, STRETCH)
    seen = np.concatenate([learnt.values[:, None], learnt.before, learnt.calendar], axis=1)
    mean, covariance = seen.mean(axis=0), _of_few_directions(np.cov(seen, rowvar=False), components)
    each = [_scaled.given(mean, covariance, depth, STRETCH) for depth in range(DEPTHS)]
    weights, intercept = np.array([w for w, _ in each]), np.array([c for _, c in each])
    spread = _scaled.spreads(learnt, lambda x, depth: _scaled.linear(x, weights[depth], intercept[depth]))
    return own.row(spread, weights=weights, intercept=intercept)


def _of_few_directions(covariance: Matrix, components: int) -> Matrix:
    """The covariance with all but the largest principal components replaced by noise of their mean variance."""
    sizes, directions = np.linalg.eigh(covariance)
    noise = max(float(sizes[:-components].mean()), 0.0)
    kept = np.where(np.arange(len(sizes)) >= len(sizes) - components, sizes, noise)
    return np.asarray((directions * kept) @ directions.T)
