"""Tails: what the scores of several windows combine to, and its high quantiles."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._tails_py import joint_quantiles, joint_scores
else:
    from myriad.kernels._compiled import joint_quantiles, joint_scores

__all__ = ["joint_quantiles", "joint_scores"]
