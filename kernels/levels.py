"""Levels: the recursions of levels, their spreads and their smoothing constants."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled
from myriad.kernels._levels_py import FAST, FAST_SHARE, MOST_CONSTANTS

if TYPE_CHECKING or not compiled():
    from myriad.kernels._levels_py import clipped_errors, fitted_levels, level_deviations, one_step, two_levels
else:
    from myriad.kernels._compiled import clipped_errors, fitted_levels, level_deviations, one_step, two_levels

__all__ = [
    "FAST", "FAST_SHARE", "MOST_CONSTANTS", "clipped_errors", "fitted_levels", "level_deviations", "one_step",
    "two_levels",
]  # fmt: skip
