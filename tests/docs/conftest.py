"""The demo the pages are about, made once."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import free_port


@dataclass(frozen=True)
class Demo:
    """The directory `myriad demo` was run in, and what it printed."""

    directory: Path
    output: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """`myriad demo --exit`, run as the README says."""
    directory = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "cli.main", "demo", "--exit", "--port", str(free_port())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("MYRIAD_LOCAL_DIRECTORY", str(directory / "local"))
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, timeout=100)
    return Demo(directory, done.stdout)
