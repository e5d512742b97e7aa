"""Modules of tests whose library is not installed are skipped with its name, and in CI fail."""

from pathlib import Path

import pytest

from tests.adapters import libraries


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """None leaves the module to pytest."""
    return libraries.module(module_path, parent)
