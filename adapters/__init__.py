"""Adapters: one module for each kind of model, found by its name.

An adapter is a module here that defines one subclass of `Model`; the module's name is the adapter's. Other packages
add theirs as entry points of the group `myriad.adapters`, each naming such a module.
"""

import functools
import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from myriad.models.base import Model
from myriad.models.errors import UnknownAdapter

__all__ = ["GROUP", "get", "names"]

GROUP = "myriad.adapters"


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all adapters, in alphabetical order; none is imported."""
    return tuple(sorted({*_builtin(), *_external()}))


@functools.cache
def get(name: str) -> type[Model]:
    """The model class of an adapter, imported on first use.

    Raises:
        UnknownAdapter: neither this package nor an entry point has an adapter of that name.
    """
    if name in _builtin():
        module: Any = importlib.import_module(f"{__name__}.{name}")
    elif name in _external():
        module = _external()[name].load()
    else:
        raise UnknownAdapter(name, names())
    (model,) = (
        member
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, Model) and member.__module__ == module.__name__
    )
    return model


def _builtin() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


@functools.cache
def _external() -> dict[str, EntryPoint]:
    """The entry points of other packages; a built-in adapter takes precedence over one of the same name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}
