"""Adapters of other packages, as docs/adapters.md says they are written and registered."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from myriad import adapters
from myriad.adapters.ewma import Ewma
from tests.conftest import END, Server, history
from tests.docs.commands import ROOT, blocks

PAGE = ROOT / "docs" / "adapters.md"


def registered() -> dict[str, str]:
    """The entry points the page shows."""
    (shown,) = [block.text for block in blocks(PAGE) if block.language == "toml"]
    entries: dict[str, str] = tomllib.loads(shown)["project"]["entry-points"][adapters.GROUP]
    return entries


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with a package that has the page's adapter, installed as pip would."""
    (code,) = [block.text for block in blocks(PAGE) if re.match(r"# adapters/\w+\.py\n", block.text)]
    points = {**registered(), "ewma": next(iter(registered().values()))}
    for module in set(points.values()):
        path = tmp_path / "site" / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    info = tmp_path / "site" / "acme_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
    lines = [f"{name} = {module}" for name, module in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{adapters.GROUP}]", *lines, ""]))
    return tmp_path / "site"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, for this process."""

    def forget() -> None:
        for cached in (adapters.names, adapters.get, adapters._external):
            cached.cache_clear()

    monkeypatch.syspath_prepend(site)
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_models"]:
        monkeypatch.delitem(sys.modules, name)  # of the examples
    forget()
    yield
    monkeypatch.undo()
    forget()


def command_output(site: Path, *arguments: object) -> Any:
    """The JSON that a command prints, in its own process, where the package is installed."""
    command = [sys.executable, "-m", "myriad", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=site)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_adapter_of_another_package_is_among_the_others(installed: None) -> None:
    (name,) = registered()
    assert name in adapters.names()
    assert adapters.get(name).__module__ == registered()[name]


def test_a_name_that_is_ours_stays_ours(installed: None) -> None:
    assert adapters.get("ewma") is Ewma
    assert adapters.names().count("ewma") == 1


def test_it_trains_and_serves(site: Path, tmp_path: Path, serve: Callable[..., Server]) -> None:
    (name,), url, past = registered(), f"file://{tmp_path}/store", history(3, step=300)
    series = {"region": "here", "host": "web", "metric": "cpu"}
    pd.DataFrame({**series, "timestamp": past.timestamps, "value": past.values}).to_parquet(tmp_path / "past.parquet")
    flags = ("--adapter", name, "--store", url, "--work", tmp_path / "work", "--json")
    assert command_output(site, "train", tmp_path / "past.parquet", *flags)["models"] == 3
    service = serve(url, PYTHONPATH=f"{site}{os.pathsep}{ROOT}")
    request = {**series, "datapoints": [{"timestamp": END, "value": 500.0}], "windows": ["1m"]}
    answer = service.client.post("/predict", json=request).json()
    assert [model["adapter"] for model in answer["models"]] == [name]
    assert answer["anomaly_scores"]["score"][0] > 1
