"""Kernels: the loops that time is spent in, compiled, each beside a twin in NumPy that gives the same.

    _levels.pxi     a part of `_compiled`, which is described in `_compiled.pyi`
    _levels_py.py   its twin: the reference it is tested against, and what serves where nothing was compiled
    levels.py       what others import: the one or the other

`MYRIAD_KERNELS=0` takes the twins, for the process that starts with it.
"""

import functools
import importlib.util
import os

__all__ = ["ENVIRONMENT", "compiled", "in_use"]

ENVIRONMENT = "MYRIAD_KERNELS"
OFF = ("0", "false", "no", "off")


@functools.cache
def compiled() -> bool:
    """Whether the compiled kernels are to be used: they are there, and not turned off."""
    return not _is_off() and importlib.util.find_spec(f"{__name__}._compiled") is not None


def in_use() -> str:
    """What is in use, in words: "compiled", or why the twins are."""
    if _is_off():
        return f"NumPy, as {ENVIRONMENT} says"
    return "compiled" if compiled() else "NumPy, as nothing could be compiled"


def _is_off() -> bool:
    return os.environ.get(ENVIRONMENT, "1").lower() in OFF
