"""Predictors: what fitted rows of the in-house models expect of each point."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled
from myriad.kernels._predictors_py import (
    CLIP,
    LOOKBACK,
    PRIOR,
)

if TYPE_CHECKING or not compiled():
    from myriad.kernels._predictors_py import Blend, Ewma, Mad, Predictor, Rhythm, Seasonal
else:
    from myriad.kernels._compiled import Blend, Ewma, Mad, Predictor, Rhythm, Seasonal

__all__ = [
    "CLIP",
    "LOOKBACK",
    "PRIOR",
    "Blend",
    "Ewma",
    "Mad",
    "Predictor",
    "Rhythm",
    "Seasonal",
]
