"""The Dockerfile, as far as it can be checked without building an image."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.conftest import Server, free_port
from tests.docs.conftest import Demo

ROOT = Path(__file__).parent.parent.parent
KNOWN = {"FROM", "WORKDIR", "ENV", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage with their arguments, comments left out and lines joined."""
    lines = (line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    found: list[list[tuple[str, str]]] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, arguments = line.split(None, 1)
            if name == "FROM":
                found.append([])
            found[-1].append((name, arguments))
    return found


def arguments(instruction: str, *, stage: int = -1) -> list[str]:
    return [arguments for name, arguments in stages()[stage] if name == instruction]


def health_check() -> list[str]:
    """The command of HEALTHCHECK, run by the Python here."""
    (check,) = arguments("HEALTHCHECK")
    command: list[str] = json.loads(check.partition("CMD")[2])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The project's wheel, built from exactly what the Dockerfile copies."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    copied = [one for copy in arguments("COPY", stage=0) for one in shlex.split(copy)[:-1]]
    subprocess.run(["cp", "-r", *(ROOT / one for one in copied), source], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", built, source], check=True, timeout=100)
    (path,) = built.iterdir()
    return zipfile.ZipFile(path)


def test_every_instruction_is_one_of_docker() -> None:
    assert {name for stage in stages() for name, _ in stage} <= KNOWN


def test_the_image_is_built_in_two_stages_from_the_same_slim_python() -> None:
    bases = [stage[0][1].split()[0] for stage in stages()]
    assert bases == ["python:3.11-slim"] * 2


def test_the_service_does_not_run_as_root() -> None:
    (user,) = arguments("USER")
    assert user not in {"root", "0"}
    assert any(re.search(rf"useradd .*\b{user}\b", run) for run in arguments("RUN"))
    names = [name for name, _ in stages()[-1]]
    assert "RUN" not in names[names.index("USER") :]


def test_every_file_copied_exists_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for copy in arguments("COPY", stage=0):
        for source in shlex.split(copy)[:-1]:
            assert (ROOT / source).exists(), source
            assert source.rstrip("/") in kept


def test_the_second_stage_copies_from_the_first_only() -> None:
    assert all(copy.startswith("--from=build ") for copy in arguments("COPY"))


def test_every_requirement_is_pinned_and_hashed_and_names_no_place() -> None:
    lock = (ROOT / "requirements" / "serve.lock").read_text()
    assert "://" not in lock
    assert not re.search(r"^-", lock, re.MULTILINE)
    requirements = [line for line in lock.replace("\\\n", " ").splitlines() if line.strip()]
    assert len(requirements) > 10
    assert all(re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in requirements)


def test_what_the_project_needs_is_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[^\w-]", requirement)[0] for requirement in project["dependencies"]}
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "serve.lock").read_text(), re.MULTILINE)
    assert needed <= set(locked)


def test_what_builds_the_wheel_is_taken_from_the_lock_with_its_hashes(tmp_path: Path) -> None:
    (line,) = [run for run in arguments("RUN", stage=0) if run.startswith("sed")]
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")
    subprocess.run(["bash", "-c", line.partition("&&")[0]], cwd=tmp_path, check=True)
    requirement = (tmp_path / "build.lock").read_text()
    hashed = r"( \\\n +--hash=sha256:[0-9a-f]{64})+\n"
    assert re.fullmatch(rf"cython==\S+{hashed}setuptools==\S+{hashed}", requirement)


def test_the_wheel_has_every_package_and_the_command(wheel: zipfile.ZipFile) -> None:
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    files = set(wheel.namelist())
    for package, folder in folders.items():
        modules = {path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).rglob("*.py")}
        assert {f"{package.replace('.', '/')}/{module}" for module in modules} <= files
    assert "myriad/py.typed" in files
    assert {f"myriad/serving/static/{path.name}" for path in (ROOT / "serving" / "static").iterdir()} <= files
    scripts = ConfigParser()
    (entry_points,) = (name for name in files if name.endswith("entry_points.txt"))
    scripts.read_string(wheel.read(entry_points).decode())
    assert scripts["console_scripts"]["myriad"] == "myriad.cli.main:main"


def test_the_container_serves_on_all_addresses_at_the_exposed_port() -> None:
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["myriad"]
    assert json.loads(arguments("CMD")[0]) == ["serve", "--host", "0.0.0.0"]
    assert arguments("EXPOSE") == ["8000"]


def test_the_health_check_passes_with_a_release(demo: Demo, serve: Callable[..., Server]) -> None:
    port = serve(demo.store).client.base_url.port
    assert subprocess.run(health_check(), env={"MYRIAD_PORT": str(port)}, check=False).returncode == 0


def test_the_health_check_fails_without_a_release(tmp_path: Path, serve: Callable[..., Server]) -> None:
    port = serve(f"file://{tmp_path}/nothing", ready=False).client.base_url.port
    assert subprocess.run(health_check(), env={"MYRIAD_PORT": str(port)}, check=False).returncode == 1


def test_the_health_check_fails_without_a_service() -> None:
    done = subprocess.run(health_check(), env={"MYRIAD_PORT": str(free_port())}, capture_output=True, check=False)
    assert done.returncode == 1
