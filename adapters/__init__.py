"""Adapters: one file a library, found by its name.

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
    """Every adapter's name, in alphabetical order, none imported."""
    return tuple(sorted({*_ours(), *_others()}))


@functools.cache
def get(name: str) -> type[Model]:
    """The model class of an adapter, imported when first asked for.

    Raises:
        UnknownAdapter: there is no such file, and no other package has one of that name.
    """
    if name in _ours():
        module: Any = importlib.import_module(f"{__name__}.{name}")
    elif name in _others():
        module = _others()[name].load()
    else:
        raise UnknownAdapter(name, names())
    (found,) = (
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Model) and thing.__module__ == module.__name__
    )
    return found


def _ours() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


@functools.cache
def _others() -> dict[str, EntryPoint]:
    """Those of other packages; a name that is one of ours stays ours."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}
