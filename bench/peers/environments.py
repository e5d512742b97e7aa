"""Environments: each peer's own, made from its pinned requirements in a directory that git does not see."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.peers.processes import ROOT

DIRECTORY = ROOT / ".peers"
REQUIREMENTS = Path(__file__).parent / "requirements"
INSTALL_SECONDS = 1200
TOLD = ("numpy", "pandas", "pydantic", "joblib", "uvicorn", "gunicorn", "msgspec")
"""Versions worth telling beside the peer's own."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment and what is pinned in it."""

    python: Path
    versions: Mapping[str, str]

    def script(self, name: str) -> str:
        """The path of a command installed in it."""
        return str(self.python.with_name(name))

    def run(self, command: Sequence[str], directory: Path, settings: Mapping[str, str], seconds: float) -> None:
        """Run a command of it to its end.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        whole = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=directory, env=whole, capture_output=True, check=False, timeout=seconds)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace")[-3000:])


def environment(name: str) -> Environment:
    """A peer's environment, made where there is none of its present requirements; Myriad's own for `myriad`.

    Raises:
        RuntimeError: something could not be installed; with what pip said.
    """
    if name == "myriad":
        return Environment(Path(sys.executable), {told: version(told) for told in ("myriad", *TOLD) if _here(told)})
    requirements = (REQUIREMENTS / f"{name}.txt").read_text()
    versions = dict(line.split("==") for line in requirements.split())
    place, stamp = DIRECTORY / name, hashlib.sha256(requirements.encode()).hexdigest()
    made = Environment(
        place / "bin" / "python", {one: v for one, v in versions.items() if one.lower() in (name, *TOLD)}
    )
    if not (place / "stamp").exists() or (place / "stamp").read_text() != stamp:
        shutil.rmtree(place, ignore_errors=True)
        DIRECTORY.mkdir(exist_ok=True)
        (DIRECTORY / ".gitignore").write_text("*\n")
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(REQUIREMENTS / f"{name}.txt"),
        ]
        made.run([str(made.python), *install], ROOT, {}, INSTALL_SECONDS)
        (place / "stamp").write_text(stamp)
    return made


def plain(text: str, *directories: Path) -> str:
    """A text without what names this machine: directories, addresses on the net, the host."""
    for directory in sorted(map(str, (*directories, ROOT, Path.home())), key=len, reverse=True):
        text = text.replace(directory, "...")
    text = re.sub(r"https?://\S+", "<url>", text)
    return text.replace(socket.gethostname(), "<host>")


def _here(name: str) -> bool:
    try:
        version(name)
    except ImportError:
        return False
    return True
