"""Quantiles: those of each of many series."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._quantiles_py import medians, quantiles, ranked, rolling_medians, usual_largest
else:
    from myriad.kernels._compiled import medians, quantiles, ranked, rolling_medians, usual_largest

__all__ = ["medians", "quantiles", "ranked", "rolling_medians", "usual_largest"]
