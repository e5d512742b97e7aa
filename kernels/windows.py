"""Windows: means of the points that lie in trailing windows, what their scores combine to, and daily profiles."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._windows_py import combined, linear_between, window_means
else:
    from myriad.kernels._compiled import combined, linear_between, window_means

__all__ = ["combined", "linear_between", "window_means"]
