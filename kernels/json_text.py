"""JSON text: numbers in JSON, as few digits as they need or so many."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._json_text_py import columns, written
else:
    from myriad.kernels._compiled import columns, written

__all__ = ["columns", "written"]
