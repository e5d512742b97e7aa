"""ewma: an exponentially weighted level and spread, updated with each point; see `kernels.levels`."""

from typing import ClassVar, Self

import numpy as np

from myriad.kernels import predictors
from myriad.kernels.deviations import mean_deviations
from myriad.kernels.levels import clipped_errors
from myriad.kernels.predictors import CLIP
from myriad.kernels.quantiles import medians
from myriad.models.base import Fit, Model, Param, split_by_length
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MEAN_DEVIATION_TO_STD, ROUNDING

MIN_POINTS = 30
ALPHAS = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
FIT_POINTS = 3000
"""The smoothing constant is chosen on this many of the latest points."""
MIN_SPREAD = 1e-290


class Ewma(Model):
    """A local level and the spread of its one-step errors."""

    kernel = predictors.Ewma
    params: ClassVar = {
        "level": Param("<f8", digits=24),
        "spread": Param("<f8", positive=True, digits=10),  # of one-step errors once settled
        "alpha": Param("<f4", positive=True, digits=8),  # the settled gain
        "uncertainty": Param("<f4", positive=True, digits=7),  # of the starting level, in spreads
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Choose the smoothing constant with the smallest clipped one-step errors; at least 30 points are needed."""
        kept, refused = split_by_length(history, MIN_POINTS, "for a moving level")
        recent = history.take(kept).latest(FIT_POINTS)
        size = magnitudes(recent)
        values, counts = recent.values / size[recent.owner], np.maximum(recent.lengths, 1)
        level = medians(values, recent.offsets)
        overall = MEAN_DEVIATION_TO_STD * mean_deviations(values, recent.offsets, level)
        alphas = np.tile(ALPHAS, (len(kept), 1))
        limit = CLIP * np.maximum(overall, ROUNDING)
        errors, _ = clipped_errors(values, recent.offsets, level, limit, alphas)
        best = errors.argmin(axis=1)
        lowest = MEAN_DEVIATION_TO_STD * errors[np.arange(len(kept)), best] / counts
        spread = np.maximum(lowest, ROUNDING)
        arrays = {
            "level": level * size,
            "spread": np.maximum(spread * size, MIN_SPREAD),
            "alpha": np.array(ALPHAS)[best],
            "uncertainty": np.clip(overall / spread, 0.1, 1e4),
        }
        return Fit(cls.uncalibrated(arrays), kept, refused)
