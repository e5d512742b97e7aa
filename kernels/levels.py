"""Levels: the recursions of a level, its spread and its smoothing constant."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._levels_py import MOST_CONSTANTS, clipped_errors, one_step, relative_average
else:
    from myriad.kernels._compiled import clipped_errors, one_step, relative_average
    from myriad.kernels._levels_py import MOST_CONSTANTS

__all__ = ["MOST_CONSTANTS", "clipped_errors", "one_step", "relative_average"]
