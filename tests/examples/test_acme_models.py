"""examples/acme-models: the package installs, its own tests pass, and Myriad trains and scores with its adapter."""

import importlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from myriad.models.base import Model
from tests.adapters.contract import CHECKS
from tests.conftest import END, history
from tests.examples.processes import EXAMPLES, output_of

ADAPTER = "persistence"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's sources, so that what a build leaves behind is not among the examples."""
    copy = tmp_path_factory.mktemp("sources") / "acme-models"
    leftovers = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".pytest_cache")
    return Path(shutil.copytree(EXAMPLES / "acme-models", copy, ignore=leftovers))


@pytest.fixture(scope="module")
def site(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory the package is installed in."""
    target = tmp_path_factory.mktemp("site")
    offline = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    output_of("-m", "pip", "install", *offline, "--target", target, package, cwd=target)
    return target


@pytest.fixture(scope="module")
def adapter(site: Path) -> Iterator[type[Model]]:
    """The package's model class, imported from where it is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield importlib.import_module(f"acme_models.{ADAPTER}").Persistence


def where_installed(site: Path) -> dict[str, str]:
    """The environment of a process that finds the package."""
    return {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])}


def test_its_own_tests_pass(package: Path, site: Path) -> None:
    printed = output_of("-m", "pytest", "-q", "tests", cwd=package, **where_installed(site))
    assert " passed" in printed


def test_myriad_trains_and_scores_with_it(site: Path, tmp_path: Path) -> None:
    series = {"region": "here", "host": "web", "metric": "queue_length"}
    past = history(3, step=300)
    pd.DataFrame({**series, "timestamp": past.timestamps, "value": past.values}).to_parquet(tmp_path / "past.parquet")
    new = history(2 / 24, step=300, seed=1, until=END + 7200)
    values = new.values.copy()
    values[-1] = 500.0
    pd.DataFrame({**series, "timestamp": new.timestamps, "value": values}).to_parquet(tmp_path / "new.parquet")

    def myriad(*arguments: object) -> str:
        return output_of("-m", "myriad", *arguments, cwd=tmp_path, **where_installed(site))

    store = (tmp_path / "store").as_uri()
    flags = ("--adapter", ADAPTER, "--store", store, "--work", tmp_path / "work", "--processes", 1, "--json")
    assert json.loads(myriad("train", tmp_path / "past.parquet", *flags))["models"] == 3
    assert json.loads(myriad("releases", "show", "--store", store, "--json"))["adapters"].split()[0] == ADAPTER

    output = tmp_path / "scores.parquet"
    myriad("predict", tmp_path / "new.parquet", "--store", store, "--processes", 1, "--output", output)
    scores = pd.read_parquet(output)
    assert set(scores["status"].astype(str)) == {"ok"}
    assert (scores["score"] > 1).tolist() == [False] * (len(values) - 1) + [True]


@pytest.mark.parametrize("name", CHECKS)
def test_it_keeps_the_contract_of_all_adapters(name: str, adapter: type[Model]) -> None:
    CHECKS[name](adapter)
