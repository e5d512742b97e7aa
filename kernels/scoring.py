"""Scoring: from points and the rows of open shards to scores."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled
from myriad.kernels._predictors_py import QUARTER
from myriad.kernels._scoring_py import NO_MODEL, Predicts

if TYPE_CHECKING or not compiled():
    from myriad.kernels._scoring_py import Index, Table, lines, score, score_first
else:
    from myriad.kernels._compiled import Index, Table, lines, score, score_first

__all__ = ["NO_MODEL", "QUARTER", "Index", "Predicts", "Table", "lines", "score", "score_first"]
