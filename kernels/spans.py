"""Spans: stretches of ragged points, and how far apart these are."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._spans_py import common_step, copied, joined, where
else:
    from myriad.kernels._compiled import common_step, copied, joined, where

__all__ = ["common_step", "copied", "joined", "where"]
