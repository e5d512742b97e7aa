"""The examples' folder, and commands that run in processes of their own, as a reader of the examples runs them."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_python(*arguments: object, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `python` with these arguments and with these variables beside the tests' own."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"NO_PROXY": "127.0.0.1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def output_of(*arguments: object, cwd: Path, **environment: str) -> str:
    """What `python` with these arguments prints; it has to end with exit code 0."""
    done = run_python(*arguments, cwd=cwd, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
