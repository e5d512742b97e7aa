"""Formats: one file for each way telemetry is written down, found by its name.

A format is a module here that defines one subclass of `Format`; the module's name is the format's. What formats share
is in `base` and in the folder `columns`; `layout` reads rows of any of them as telemetry, `left_out` counts the rest.
"""

import functools
import importlib
import pkgutil
from typing import Any

from myriad.formats.base import Format
from myriad.models.errors import InvalidPoints

__all__ = ["get", "names", "of_file"]

_SHARED = {"base", "layout", "left_out"}


@functools.cache
def names() -> tuple[str, ...]:
    """Every format's name, in alphabetical order, none imported."""
    modules = (module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
    return tuple(sorted(name for name in modules if name not in _SHARED))


@functools.cache
def get(name: str) -> Format:
    """The format of one of `names`, imported when first asked for."""
    module: Any = importlib.import_module(f"{__name__}.{name}")
    (found,) = (
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Format) and thing.__module__ == module.__name__
    )
    return found()


def of_file(path: str) -> Format:
    """The format of a file, by how its name ends.

    Raises:
        InvalidPoints: no format has files of such names.
    """
    for one in map(get, names()):
        if path.lower().endswith(one.suffixes):
            return one
    known = ", ".join(end for name in names() for end in get(name).suffixes)
    raise InvalidPoints(f"{path}: the name ends in none of {known}; no other files can be read or written")
