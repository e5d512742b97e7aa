"""Answers: from the body of the usual request to its answer, in one call."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._answers_py import Answers
else:
    from myriad.kernels._compiled import Answers

__all__ = ["Answers"]
