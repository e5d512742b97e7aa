"""Windows: means of the points that lie in trailing windows, and what their scores combine to."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled
from myriad.kernels._windows_py import POWER

if TYPE_CHECKING or not compiled():
    from myriad.kernels._windows_py import combined, held, window_means
else:
    from myriad.kernels._compiled import combined, held, window_means

__all__ = ["POWER", "combined", "held", "window_means"]
