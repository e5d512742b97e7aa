"""Tails: high quantiles of what the scores of several windows combine to."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._tails_py import joint_quantiles
else:
    from myriad.kernels._compiled import joint_quantiles

__all__ = ["joint_quantiles"]
