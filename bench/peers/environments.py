"""Virtual environments: one for each peer, made from its pinned requirements in a directory ignored by git."""

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
REPORTED = ("numpy", "pandas", "pydantic", "joblib", "uvicorn", "gunicorn", "msgspec")
"""Packages whose versions are reported besides the peer's own."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and versions of packages in it that are reported."""

    python: Path
    versions: Mapping[str, str]

    def script(self, name: str) -> str:
        """The path of a command installed in it."""
        return str(self.python.with_name(name))

    def run(self, command: Sequence[str], directory: Path, settings: Mapping[str, str], seconds: float) -> None:
        """Run a command in it to completion.

        Raises:
            RuntimeError: the command failed; with the end of its stderr.
        """
        variables = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
        process = subprocess.run(
            command, cwd=directory, env=variables, capture_output=True, check=False, timeout=seconds
        )
        if process.returncode:
            raise RuntimeError(process.stderr.decode(errors="replace")[-3000:])


def environment(name: str) -> Environment:
    """A peer's environment, created if there is none for its current requirements; this one for `myriad`.

    Raises:
        RuntimeError: pip failed; with the end of its stderr.
    """
    if name == "myriad":
        return Environment(
            Path(sys.executable),
            {package: version(package) for package in ("myriad", *REPORTED) if _is_installed(package)},
        )
    requirements = (REQUIREMENTS / f"{name}.txt").read_text()
    versions = dict(line.split("==") for line in requirements.split())
    path, stamp = DIRECTORY / name, hashlib.sha256(requirements.encode()).hexdigest()
    created = Environment(
        path / "bin" / "python", {package: v for package, v in versions.items() if package.lower() in (name, *REPORTED)}
    )
    if not (path / "stamp").exists() or (path / "stamp").read_text() != stamp:
        shutil.rmtree(path, ignore_errors=True)
        DIRECTORY.mkdir(exist_ok=True)
        (DIRECTORY / ".gitignore").write_text("*\n")
        subprocess.run([sys.executable, "-m", "venv", str(path)], check=True)
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(REQUIREMENTS / f"{name}.txt"),
        ]
        created.run([str(created.python), *install], ROOT, {}, INSTALL_SECONDS)
        (path / "stamp").write_text(stamp)
    return created


def anonymized(text: str, *directories: Path) -> str:
    """A text without directories, URLs and the name of this machine."""
    for directory in sorted(map(str, (*directories, ROOT, Path.home())), key=len, reverse=True):
        text = text.replace(directory, "...")
    text = re.sub(r"https?://\S+", "<url>", text)
    return text.replace(socket.gethostname(), "<host>")


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except ImportError:
        return False
    return True
