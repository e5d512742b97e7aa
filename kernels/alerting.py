"""Alerting: scores of series that page again and again count for less."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._alerting_py import tired
else:
    from myriad.kernels._compiled import tired

__all__ = ["tired"]
