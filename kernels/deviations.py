"""Deviations: how far values are from what was expected of them, and what that scores."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._deviations_py import (
        around_medians,
        mean_deviations,
        mean_steps,
        moves,
        scored,
        strayed,
        within,
    )
else:
    from myriad.kernels._compiled import (
        around_medians,
        mean_deviations,
        mean_steps,
        moves,
        scored,
        strayed,
        within,
    )

__all__ = ["around_medians", "mean_deviations", "mean_steps", "moves", "scored", "strayed", "within"]
