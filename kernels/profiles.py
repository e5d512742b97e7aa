"""Profiles: what repeats each day or week."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._profiles_py import less_profile, period_maxima, period_means
else:
    from myriad.kernels._compiled import less_profile, period_maxima, period_means

__all__ = ["less_profile", "period_maxima", "period_means"]
