"""Host components: how a host's metrics move together, and how far a moment departs from it.

    z         = (value - center) / scale                    within ±MOST_SPREADS; 0 where there is no value
    residual  = |z - V V' z| / sqrt(metrics)                the columns of V: the principal components
    departure = mean of the last AVERAGED residuals - level of these means before,   not below 0

The squared residual is the Q statistic (Jackson and Mudholkar, "Control procedures for residuals associated with
principal component analysis", 1979). Of metrics that always move together one that moves alone departs, whatever its
own history holds. The level follows within the hour, because how metrics go together changes with every deploy.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.levels import two_levels
from myriad.models.arrays import Matrix, Vector
from myriad.models.host_scores import distinct
from myriad.models.points import Points

SHARE = 0.9
"""Of the variance that the components have."""
MOST_COMPONENTS = 16
MOST_METRICS = 256
"""A host of more has no components: they would take minutes."""
CELLS_AT_ONCE = 1 << 20
"""Slots times metrics that are looked at together: few points can span very many slots."""
MOST_SPREADS = 8.0
"""A value counts as this many spreads from its center at most."""
LEAST_SCALE = 1e-6
"""Of a metric that has a part in the components, as a share of its center: the rest is rounding."""
MOST_MAGNITUDE = 1e37
"""Of a center or scale."""
USUAL, BEYOND = 0.99, 3.0
"""Deviations beyond three times this quantile do not widen a scale."""
AVERAGED = 5
"""In slots."""
HALF_LIFE = 3600
"""Of the level, in seconds."""
SETTLED = 5 * HALF_LIFE
"""Seconds at the end of a history from which the level at its end follows."""
DIGITS = 8
"""Binary, of the components."""


class HostComponents(NamedTuple):
    """Of m metrics and k components.

    Attributes:
        center: in the metrics' units, (m,).
        scale: likewise, (m,); 0 of a metric that has no part.
        vectors: (m, k).
        level: of the averaged residuals at the end of the history.
    """

    center: Vector
    scale: Vector
    vectors: Matrix
    level: float

    @classmethod
    def fit(cls, values: Matrix, step: int) -> Self:
        """The components of a history, (slots, m), NaN where there is none.

        Args:
            values: at least one finite in each column.
            step: seconds of a slot.
        """
        center = np.nanmedian(values, axis=0)
        limit = BEYOND * np.nanquantile(np.abs(values - center), USUAL, axis=0)
        scale = np.nanstd(np.clip(values, center - limit, center + limit), axis=0)
        known = (scale > LEAST_SCALE * np.abs(center)) & (np.maximum(scale, np.abs(center)) < MOST_MAGNITUDE)
        scale = np.where(known & (scale > 1 / MOST_MAGNITUDE), scale, 0.0)
        center = np.where(scale > 0, center, 0.0)
        fitted = cls(center, scale, np.empty((len(center), 0)), 0.0)
        z = fitted._standardised(values)
        variances, directions = np.linalg.eigh(z.T @ z / max(len(z), 1))
        variances, directions = variances[::-1].clip(min=0), directions[:, ::-1]
        needed = int(np.searchsorted(np.cumsum(variances), SHARE * variances.sum())) + 1
        vectors = directions[:, : min(needed, MOST_COMPONENTS)]
        fraction, exponent = np.frexp(vectors)
        rounded = np.ldexp(np.round(np.ldexp(fraction, DIGITS)), exponent - DIGITS)
        fitted = fitted._replace(vectors=rounded)
        means = _averaged(fitted._residuals(values))
        if not len(means):
            return fitted
        settled = means[-(SETTLED // step + 1) :]
        return fitted._replace(level=float(_levels(settled, step, float(np.median(means)))[-1]))

    def departures(self, timestamps: NDArray[np.int64], values: Vector, metric: NDArray[np.int64], step: int) -> Vector:
        """How far each slot of `step` seconds that has a point departs, in order of time, (slots,).

        Args:
            timestamps: of the points of all metrics, epoch seconds, (n,).
            values: (n,); NaN where there is none.
            metric: of each, (n,).
            step: seconds.
        """
        slots, slot = distinct(timestamps // step)
        order = np.argsort(slot, kind="stable")
        residuals, at_once = np.empty(len(slots)), max(CELLS_AT_ONCE // len(self.center), 1)
        for first in range(0, len(slots), at_once):
            end = min(first + at_once, len(slots))
            some = order[slice(*np.searchsorted(slot, [first, end], sorter=order).tolist())]
            cells = np.full((end - first, len(self.center)), np.nan)
            cells[slot[some] - first, metric[some]] = values[some]
            residuals[first:end] = self._residuals(cells)
        means = _averaged(residuals)
        return np.maximum(means - _levels(means, step, self.level)[:-1], 0.0)

    def _standardised(self, values: Matrix) -> Matrix:
        with np.errstate(over="ignore"):  # what is infinite then is cut
            z = np.divide(values - self.center, self.scale, out=np.zeros_like(values), where=self.scale > 0)
        return np.nan_to_num(np.clip(z, -MOST_SPREADS, MOST_SPREADS))

    def parts(self, values: Matrix) -> Matrix:
        """What each metric has in the square of a slot's departure, (slots, m), of values like those of `fit`."""
        z = self._standardised(values)
        rest = z - (z @ self.vectors) @ self.vectors.T
        return np.asarray(rest * rest)

    def _residuals(self, values: Matrix) -> Vector:
        return np.asarray(np.sqrt(self.parts(values).sum(axis=1) / max(np.count_nonzero(self.scale), 1)))


def by_slot(points: Points, step: int) -> Matrix:
    """The value of each series in each slot of `step` seconds that has a point, (slots, series), NaN where none has.

    Of several in a slot the last counts.
    """
    slots, slot = distinct(points.timestamps // step)
    found = np.full((len(slots), len(points)), np.nan)
    found[slot, points.owner] = points.values
    return found


def _averaged(residuals: Vector) -> Vector:
    """The mean of each residual and those before it, `AVERAGED` at most, (n,)."""
    total, slots = np.concatenate([[0.0], np.cumsum(residuals)]), np.arange(1, len(residuals) + 1)
    first = np.maximum(slots - AVERAGED, 0)
    return np.asarray((total[slots] - total[first]) / (slots - first))


def _levels(means: Vector, step: int, first: float) -> Vector:
    """The exponential moving average before each mean and after the last, (n + 1,)."""
    alpha, unlimited, nothing = 1 - 0.5 ** (step / HALF_LIFE), np.full(1, 1e9), np.zeros(1)
    state = np.array([[first, 1.0, 0.0, 1.0]])
    offsets = np.array([0, len(means)])
    level, *_ = two_levels(means, offsets, state, unlimited, np.full(1, alpha), nothing, unlimited, unlimited)
    return np.append(level, state[0, 0])
