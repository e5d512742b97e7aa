"""The smallest sound model there can be, for tests of what all models share."""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.models.base import Fit, Model, Param, Prediction
from myriad.models.errors import HistoryUnusable
from myriad.models.points import Points

MIN_POINTS = 5


class Level(Model):
    """The mean of the history and how far values stray from it."""

    params: ClassVar = {"level": Param("<f8"), "spread": Param("<f8", (1,), positive=True)}

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """A row for each history of at least 5 points."""
        short = np.flatnonzero(history.lengths < MIN_POINTS).tolist()
        kept = np.setdiff1d(np.arange(len(history)), short)
        values = [history.series(i)[1] for i in kept.tolist()]
        level = np.array([one.mean() for one in values])
        spread = np.array([max(float(np.abs(one - one.mean()).mean()), 1e-9) for one in values])
        model = cls.uncalibrated({"level": level, "spread": spread[:, None]})
        return Fit(model, kept, dict.fromkeys(short, HistoryUnusable("fewer than 5 points")))

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The mean, whatever the time."""
        at = np.repeat(rows, points.lengths)
        half_band = self.half_band(at, self.arrays["spread"][at, 0])
        return self.banded(points.values, self.arrays["level"][at], half_band)
