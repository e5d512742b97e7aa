"""The house as it is drawn: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARROWS = {
    "models": set(),
    "adapters": {"models"},
    "storage": {"models"},
    "training": {"models", "adapters", "storage"},
    "serving": {"models", "adapters", "storage"},
    "cli": {"models", "adapters", "storage", "training", "serving"},
}
HOMES = {"boto3": "storage/s3.py", "botocore": "storage/s3.py", "fastapi": "serving/", "starlette": "serving/"}
MODULES = sorted(path for package in ARROWS for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The top-level names a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_the_house_allows(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    drawn = ARROWS[package] | {package}
    assert imported(path) & (ARROWS.keys() | {"bench", "tests"}) <= drawn


@pytest.mark.parametrize("library", HOMES)
def test_a_library_has_one_home(library: str) -> None:
    users = {str(path.relative_to(ROOT)) for path in MODULES if library in imported(path)}
    assert users
    assert all(user.startswith(HOMES[library]) for user in users)


def test_every_import_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f():\n    import training.fit\n    from serving.app import x\n")
    assert imported(module) == {"training", "serving"}
