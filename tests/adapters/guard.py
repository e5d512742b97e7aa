"""Guard: no library that models are fitted with may be imported in this process.

Run with these names in `FORBIDDEN` and a file in `FORBIDDEN_LOG`, to which it writes what was asked for all the same.
It imports nothing of ours, so that it may be a process's `sitecustomize`.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

FORBIDDEN = frozenset(os.environ.get("FORBIDDEN", "").split(",")) - {""}
LOG = Path(os.environ.get("FORBIDDEN_LOG", os.devnull))


class Guard:
    """What Python asks first when it looks for a module."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Nothing, or an error that nobody can overlook in the log."""
        if name.partition(".")[0] in FORBIDDEN:
            with LOG.open("a") as log:
                log.write(f"{name}\n")
            raise ModuleNotFoundError(f"{name} is forbidden here", name=name)
        return None


if FORBIDDEN:
    sys.meta_path.insert(0, Guard)
