"""Groups: rows by a number they have, by counting."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled():
    from myriad.kernels._groups_py import by_number, numbered, placed
else:
    from myriad.kernels._compiled import by_number, numbered, placed

__all__ = ["by_number", "numbered", "placed"]
