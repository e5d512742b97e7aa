"""What people import, wherever they import it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import myriad

FOREIGN = ("models", "adapters", "storage", "training", "serving", "cli", "formats")
PROGRAM = f"""
import sys
for name in {FOREIGN}:
    assert __import__(name).FOREIGN, name
from myriad import Predictor, adapters, export, windowed
from myriad.models.points import Points
from myriad.cli.main import main
assert "rhythm" in adapters.names()
assert Points.of(([0], [1.0])).values.tolist() == [1.0]
main(["--version"], prog_name="myriad")
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A user's folder with modules of the names that ours have."""
    for name in FOREIGN:
        (tmp_path / f"{name}.py").write_text("FOREIGN = True\n")
    return tmp_path


def test_it_works_beside_modules_of_the_same_names(foreign: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=foreign, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"myriad, version {myriad.__version__}\n"), done.stderr


@pytest.mark.parametrize("name", myriad.__all__)
def test_every_name_it_offers_is_there(name: str) -> None:
    assert getattr(myriad, name)


def test_a_name_it_does_not_offer_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'myriad' has no attribute 'Oracle'"):
        _ = myriad.Oracle


def test_nothing_is_imported_before_it_is_used() -> None:
    program = "import sys, myriad; print([name for name in sys.modules if name.startswith('myriad.')])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
