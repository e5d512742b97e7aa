"""A library that is not installed skips its tests with its name, and in CI is an error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters import libraries
from tests.adapters.libraries import needs

ROOT = Path(__file__).parent.parent.parent
TESTS = "import pytest\nfrom nowhere_installed import thing\n\ndef test_thing():\n    assert thing\n"
CONFTEST = """
from myriad import adapters
from tests.adapters import libraries

libraries.MORE = (*libraries.MORE, "nowhere_installed")
from tests.adapters.conftest import pytest_pycollect_makemodule
"""


def outcome(directory: Path, ci: str) -> subprocess.CompletedProcess[str]:
    """What pytest makes of a module of tests whose library is not installed."""
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_thing.py").write_text(TESTS)
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-rs", "-c", os.devnull, "--rootdir", str(directory), str(directory)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=directory)


def test_a_module_of_a_library_that_is_missing_is_skipped_with_its_name(tmp_path: Path) -> None:
    done = outcome(tmp_path, "")
    assert "nowhere_installed is not installed" in done.stdout
    assert "1 skipped" in done.stdout


def test_in_ci_it_is_an_error(tmp_path: Path) -> None:
    done = outcome(tmp_path, "true")
    assert done.returncode != 0
    assert "No module named 'nowhere_installed'" in done.stdout


def test_a_test_that_needs_it_is_skipped_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "QUICK", False)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="nowhere_installed is not installed"):
        needs("numpy", "nowhere_installed")


def test_in_ci_a_test_that_needs_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "QUICK", False)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="nowhere_installed is not installed, and in CI it has to be"):
        needs("nowhere_installed")


def test_what_is_installed_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "QUICK", False)
    monkeypatch.setenv("CI", "true")
    needs("numpy", "")


def test_every_library_of_an_adapter_may_be_missing() -> None:
    assert {"statsmodels", "sklearn", "onnx", "onnxruntime"} <= libraries.libraries()
