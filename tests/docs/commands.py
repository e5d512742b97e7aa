"""Fenced blocks of the pages, and a shell that runs what stands in them against the real thing."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Server

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN_ADDRESS = "http://127.0.0.1:8000"
SHOWN_BUCKET = "s3://my-bucket/"
NOT_RUN = ("make", "git", "cd", "docker")
COMPARED = {"status", "type", "title", "field", "fallback", "reason", "detail", "adapter", "window", "windows"}
"""Of an answer's texts, those that are to be as shown; others are ids and times."""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BARS = re.compile("[▁▂▃▄▅▆▇█]+")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and what is in it."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*found) for found in _FENCE.findall(page.read_text())]


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a block, each with the output shown for it; only `console` blocks show any."""
    text = block.text.replace("\\\n", " ")
    if block.language == "bash":
        return [(line, "") for line in text.splitlines() if line and not line.startswith("#")]
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        length = next(n for n in range(1, len(lines) + 1) if _is_whole("".join(lines[:n])))
        found.append(("".join(lines[:length]).strip(), "".join(lines[length:])))
    return found


def _is_whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:  # a quotation goes on in the next line
        return False
    return True


class Shell:
    """Runs the commands of a page in one directory, with one service."""

    def __init__(self, directory: Path, demo_output: str, serve: Callable[..., Server]) -> None:
        self._directory, self._demo_output, self._serve = directory, demo_output, serve
        self._server: Server | None = None
        self._environment: dict[str, str] = {}

    def run(self, command: str) -> str:
        """What a command prints; `serve` and `demo` leave a service running for those after it."""
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._environment[name] = value
            return ""
        if command.startswith(NOT_RUN):
            return ""
        if command.startswith("myriad demo"):
            return self._demo_output
        if command.startswith("myriad serve"):
            self.serve(*self._words(command)[2:])
            return ""
        if SHOWN_ADDRESS in command:
            command = command.replace(SHOWN_ADDRESS, str(self._served().client.base_url).rstrip("/"))
        return self._shell(command)

    def serve(self, *flags: str) -> None:
        """Start a service as `myriad serve` would with these flags."""
        store = flags[flags.index("--store") + 1]
        self._server = self._serve(store, *flags, **self._environment)

    def _served(self) -> Server:
        if self._server is None:
            self.serve("--store", f"file://{self._directory / 'demo-data' / 'store'}")
        assert self._server is not None
        return self._server

    def _words(self, command: str) -> list[str]:
        return shlex.split(command.replace("$PWD", str(self._directory)))

    def _shell(self, command: str) -> str:
        scripts = str(Path(sys.executable).parent)
        environment = os.environ | self._environment
        environment |= {"PATH": f"{scripts}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1", "COLUMNS": "200"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self._directory, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def compare(shown: str, real: str, command: str) -> None:
    """What a page shows is what came out: a JSON answer in its shape, other output line by line."""
    if not shown.strip():
        return
    if shown.lstrip().startswith("{"):
        _compare_json(json.loads(_whole(shown)), json.loads(real), f"{command}: $")
    else:
        _compare_lines(shown, real, command)


def _whole(shown: str) -> str:
    """JSON without its `...`."""
    return re.sub(r"\.\.\.\s*,\s*|,\s*\.\.\.", "", shown)


def _compare_json(shown: Any, real: Any, where: str) -> None:
    if isinstance(shown, dict):
        assert isinstance(real, dict), where
        assert list(shown) == list(real), where
        for name in shown:
            if name in COMPARED and isinstance(shown[name], str):
                assert shown[name] == real[name], f"{where}.{name}"
            _compare_json(shown[name], real[name], f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(real, list), where
        assert len(shown) <= len(real), where
        for i, one in enumerate(shown[:1]):
            _compare_json(one, real[i], f"{where}[{i}]")
        if shown and isinstance(shown[0], dict):
            assert len(shown) == len(real), where
            for i, (one, other) in enumerate(zip(shown, real, strict=True)):
                _compare_json(one, other, f"{where}[{i}]")
    elif isinstance(shown, int | float) and not isinstance(shown, bool):
        assert isinstance(real, int | float), where
    else:
        assert type(shown) is type(real), where


def _compare_lines(shown: str, real: str, command: str) -> None:
    """Each shown line is one of the real ones, but for numbers; `...` at its end stands for the rest of it."""
    there = [_masked(line) for line in real.splitlines()]
    for line in shown.splitlines():
        wanted = _masked(line.removesuffix("...")).rstrip()
        assert any(one.startswith(wanted) for one in there), f"{command}: {line!r} is not printed; this is:\n{real}"


def _masked(line: str) -> str:
    """A line without its numbers, ids and bars."""
    line = _BARS.sub("|", line)
    line = re.sub(r"\b\d{8}T\d{6}Z-[0-9a-f]{8}\b|\b[0-9a-f]{32}\b", "ID", line)
    line = re.sub(r"\d[\d,.:]*", "0", line)
    return " ".join(line.split())
