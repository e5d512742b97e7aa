"""Kernels: the loops that time is spent in, compiled, each beside a twin in NumPy that gives the same.

    _levels.pyx     compiled to `_levels`, described in `_levels.pyi`
    _levels_py.py   its twin: the reference it is tested against, and what serves where nothing was compiled
    levels.py       what others import: the one or the other

`MYRIAD_KERNELS=0` takes the twins, for the process that starts with it.
"""

import importlib.util
import os

__all__ = ["ENVIRONMENT", "compiled", "in_use"]

ENVIRONMENT = "MYRIAD_KERNELS"
OFF = ("0", "false", "no", "off")
NAMES = ("groups", "levels", "quantiles", "windows")


def compiled(name: str) -> bool:
    """Whether the compiled module of a kernel is to be used: it is there, and not turned off."""
    return not _is_off() and importlib.util.find_spec(f"{__name__}._{name}") is not None


def in_use() -> str:
    """What is in use, in words: "compiled", or why the twins are."""
    if _is_off():
        return f"NumPy, as {ENVIRONMENT} says"
    missing = [name for name in NAMES if not compiled(name)]
    return f"NumPy for {', '.join(missing)}, which could not be compiled" if missing else "compiled"


def _is_off() -> bool:
    return os.environ.get(ENVIRONMENT, "1").lower() in OFF
