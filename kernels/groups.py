"""Groups: rows by a number they have, by counting."""

from typing import TYPE_CHECKING

from myriad.kernels import compiled

if TYPE_CHECKING or not compiled("groups"):
    from myriad.kernels._groups_py import by_number
else:
    from myriad.kernels._groups import by_number

__all__ = ["by_number"]
