"""Kernels: the loops that time is spent in, compiled, each beside a twin in NumPy that gives the same.

    _levels.pyx     compiled to `_levels`, described in `_levels.pyi`
    _levels_py.py   its twin: the reference it is tested against, and what serves where nothing was compiled
    levels.py       what others import: the one or the other

`MYRIAD_KERNELS=0` takes the twins.
"""

import importlib.util
import os

__all__ = ["ENVIRONMENT", "compiled", "in_use"]

ENVIRONMENT = "MYRIAD_KERNELS"
NAMES = ("levels", "quantiles", "windows")


def compiled(name: str) -> bool:
    """Whether the compiled module of a kernel is to be used: it is there, and not turned off."""
    return os.environ.get(ENVIRONMENT, "1") != "0" and importlib.util.find_spec(f"{__name__}._{name}") is not None


def in_use() -> str:
    """What is in use, in words: "compiled", or why the twins are."""
    if os.environ.get(ENVIRONMENT, "1") == "0":
        return f"NumPy, as {ENVIRONMENT}=0 says"
    missing = [name for name in NAMES if not compiled(name)]
    return f"NumPy for {', '.join(missing)}: not compiled, a C compiler was missing" if missing else "compiled"
