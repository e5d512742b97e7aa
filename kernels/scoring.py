"""Scoring: from points and the rows of open shards to scores."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled
from myriad.kernels._scoring_py import NO_MODEL, Predicts

if TYPE_CHECKING or not compiled():
    from myriad.kernels._scoring_py import Table, find, mixed, score
else:
    from myriad.kernels._compiled import Table, find, mixed, score

__all__ = ["NO_MODEL", "Predicts", "Table", "find", "mixed", "score"]
