"""Bodies: the usual request body as arrays."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._bodies_py import one_series
else:
    from myriad.kernels._compiled import one_series

__all__ = ["one_series"]
