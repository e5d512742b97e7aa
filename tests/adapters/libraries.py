"""Libraries that tests of adapters need: without one they are skipped and say its name; in CI it has to be there."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from myriad import adapters
from tests.test_architecture import imported

MORE = ("onnxruntime", "skl2onnx")
"""Those that are not an adapter's own."""
QUICK = False
"""Whether tests that fit with a library are left out, as `--quick` sets it."""


def libraries() -> frozenset[str]:
    """Every library that may be missing."""
    return frozenset({adapters.get(name).library for name in adapters.names()} - {""}) | {*MORE}


def missing(path: Path) -> str | None:
    """A library that a module of tests imports and that is not installed, or not wanted."""
    used = imported(path) & libraries()
    return next(iter(sorted(used)) if QUICK else _absent(*used), None)


def needs(*names: str) -> None:
    """Skip the test if a library is not installed, and say which; in CI, fail."""
    if QUICK and any(names):
        pytest.skip(f"--quick: {', '.join(sorted(filter(None, names)))} is not used")
    for name in _absent(*names):
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, and in CI it has to be")
        pytest.skip(f"{name} is not installed")


class Missing(pytest.Module):
    """A module of tests whose library is not installed."""

    library = ""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Nothing; the reason says what to install."""
        pytest.skip(f"{self.library} is not installed", allow_module_level=True)


def module(path: Path, parent: pytest.Collector) -> Missing | None:
    """What stands for a module of tests whose library is not installed; in CI nothing does, and its import fails."""
    name = None if os.environ.get("CI") else missing(path)
    if name is None:
        return None
    found: Missing = Missing.from_parent(parent, path=path)
    found.library = name
    return found


def _absent(*names: str) -> Iterator[str]:
    return (name for name in sorted(names) if name and importlib.util.find_spec(name) is None)
