"""The house as it is drawn: who may import whom, and nobody in a circle."""

import ast
import graphlib
import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARROWS: dict[str, set[str]] = {
    "kernels": set(),
    "models": {"kernels"},
    "formats": {"models", "kernels"},
    "adapters": {"models", "kernels"},
    "storage": {"models", "kernels"},
    "training": {"models", "formats", "adapters", "storage", "kernels"},
    "serving": {"models", "formats", "adapters", "storage", "kernels"},
    "cli": {"models", "formats", "adapters", "storage", "training", "serving", "kernels"},
    "myriad": {"cli", "serving", "training"},  # the names people import, each when it is first used
}
HOMES = {"boto3": "storage/s3.py", "botocore": "storage/s3.py", "fastapi": "serving/", "starlette": "serving/"}
MODULES = sorted(path for package in ARROWS for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path, root: Path = ROOT) -> str:
    """What a module is imported as."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(["myriad", *parts] if parts[0] != "myriad" else parts).removesuffix(".__init__")


NAMES = {name_of(path): path for path in MODULES}


def imported(path: Path, names: dict[str, Path] = NAMES) -> set[str]:
    """What a module imports, wherever in it: our modules by their names, others by their first part."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            below = {f"{module}.{alias.name}" for alias in node.names}
            found |= (below & names.keys()) or {module}
            if not below <= names.keys():
                found.add(module)
    return {name if name in names else name.partition(".")[0] for name in found}


def package(name: str) -> str:
    """The folder of one of our modules."""
    return NAMES[name].relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_the_house_allows(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    found = imported(path)
    assert {package(name) for name in found & NAMES.keys()} - {"myriad"} <= ARROWS[own] | {own}
    assert not found & (ARROWS.keys() - {"myriad"} | {"bench", "tests"}), "our folders are imported as myriad.*"


def test_nobody_imports_in_a_circle() -> None:
    # The version is in the package's face, whose other names are imported when they are first used.
    arrows = {name: imported(path) & NAMES.keys() - {"myriad"} for name, path in NAMES.items() if name != "myriad"}
    graphlib.TopologicalSorter(arrows).prepare()


def test_a_circle_would_be_found(tmp_path: Path) -> None:
    modules = {name: tmp_path / f"{name}.py" for name in ("a", "b", "c")}
    for one, other in zip("abc", "bca", strict=True):
        modules[one].write_text(f"def f():\n    from {other} import x\n")
    arrows = {name: imported(path, modules) for name, path in modules.items()}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(arrows).prepare()


@pytest.mark.parametrize("library", HOMES)
def test_a_library_has_one_home(library: str) -> None:
    users = {str(path.relative_to(ROOT)) for path in MODULES if library in imported(path)}
    assert users
    assert all(user.startswith(HOMES[library]) for user in users)


def test_every_import_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "def f():\n    import numpy.linalg\n    from myriad.serving.app import x\n    from myriad import adapters\n"
    )
    assert imported(module) == {"numpy", "myriad.serving.app", "myriad.adapters"}


def test_every_folder_of_modules_is_shipped() -> None:
    folders = {name_of(path.parent / "__init__.py") for path in MODULES}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(settings["packages"]) == folders
    for name, folder in settings["package-dir"].items():
        assert importlib.util.find_spec(name).submodule_search_locations == [str(ROOT / folder)]  # type: ignore[union-attr]
