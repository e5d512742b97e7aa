"""Adapters: one file a library, found by its name.

An adapter is a module here that defines one subclass of `Model`; the module's name is the adapter's.
"""

import functools
import importlib
import pkgutil
from typing import Any

from models.base import Model
from models.errors import MyriadError


class UnknownAdapter(MyriadError, ValueError):
    """No adapter has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no adapter {name!r}; there are {', '.join(names())}")


@functools.cache
def names() -> tuple[str, ...]:
    """Every adapter's name, in alphabetical order, none imported."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


@functools.cache
def get(name: str) -> type[Model]:
    """The model class of an adapter, imported when first asked for.

    Raises:
        UnknownAdapter: there is no such file.
    """
    if name not in names():
        raise UnknownAdapter(name)
    module: Any = importlib.import_module(f"{__name__}.{name}")
    (found,) = (
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Model) and thing.__module__ == module.__name__
    )
    return found
