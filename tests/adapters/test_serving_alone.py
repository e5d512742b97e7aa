"""Models of every adapter are served where no library that fits models is."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from myriad import adapters
from myriad.models.key import Series
from myriad.models.windows import Window
from myriad.storage.release import Releases
from myriad.storage.shard import concatenated
from myriad.storage.url import open_store
from myriad.training.fit import fit
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.publish import publish
from tests.adapters import guard
from tests.adapters.libraries import libraries, needs
from tests.conftest import END, Server, history

ROOT = Path(__file__).parent.parent.parent
STEP = 900
WINDOWS = (Window(STEP), Window(3600))
ALONE = [name for name in adapters.names() if not adapters.get(name).serving_library]
FORBIDDEN = sorted({*libraries(), "cmdstanpy", "ray", "numba", "scipy", "joblib", "torch", "matplotlib"})
DATAPOINTS = {"timestamp": list(range(END - 7200, END, STEP)), "value": [100.0] * 8}

SCORE = """
import json, sys
from collections import Counter
import pandas as pd
from myriad import adapters
from myriad.serving.predictor import Predictor

store, names, datapoints = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
calls, busy = Counter(), []  # a blend calls its members

def counted(kind):
    def predict(self, *given, predict=kind.predict):
        if not busy:
            calls[kind.name()] += 1
        busy.append(kind)
        try:
            return predict(self, *given)
        finally:
            busy.pop()
    kind.predict = predict

for name in names:
    counted(adapters.get(name))
predictor = Predictor.open(store)
frames = [pd.DataFrame({"region": "here", "host": name, "metric": "cpu", **datapoints}) for name in names]
scores = predictor.predict(pd.concat(frames, ignore_index=True))
result = {"calls": calls, "status": sorted(set(scores["status"])), "unscored": int(scores["score"].isna().sum())}
print(json.dumps(result | {"modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


@dataclass(frozen=True)
class Watched:
    """An environment in which the libraries are forbidden, and where it is written that they were requested."""

    environment: dict[str, str]
    log: Path

    @property
    def requested(self) -> list[str]:
        """The modules of forbidden libraries that something tried to import."""
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One shard with a series for each adapter, whose second window is the next adapter's."""
    needs(*(adapters.get(name).library for name in ALONE))
    parts = []
    for name, other in zip(ALONE, [*ALONE[1:], ALONE[0]], strict=True):
        plan = Plan(windows=WINDOWS, candidates=only(name, other), weights=(1.0, 2.0))
        done = fit(plan, [Series("here", name, "cpu")], history(10, step=STEP))
        assert not done.refusals
        parts.append(done.entries)
    url = f"file://{tmp_path_factory.mktemp('alone')}"
    manifest = publish(Releases(open_store(url)), concatenated(parts), plan, None, {})
    assert len(manifest.artifacts) == 1
    assert list(manifest.adapters) == ALONE
    return url


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A guard that Python imports when it starts."""
    shutil.copy(str(guard.__file__), tmp_path / "sitecustomize.py")
    log = tmp_path / "forbidden"
    paths = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    return Watched({"FORBIDDEN": ",".join(FORBIDDEN), "FORBIDDEN_LOG": str(log), **paths}, log)


def run(watched: Watched, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Code in a fresh interpreter that is watched."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=os.environ | watched.environment, capture_output=True, text=True, check=False)


def test_the_guard_sees_what_is_imported(watched: Watched) -> None:
    done = run(watched, "try:\n    import scipy.stats\nexcept ImportError as exc:\n    print(exc)")
    assert done.stdout == "scipy is forbidden here\n"
    assert watched.requested == ["scipy"]


def test_every_adapter_scores_with_no_library_that_fits_called_once_a_window(store: str, watched: Watched) -> None:
    done = run(watched, SCORE, store, json.dumps(ALONE), json.dumps(DATAPOINTS))
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert (result["status"], result["unscored"]) == (["ok"], 0)
    assert result["calls"] == dict.fromkeys(ALONE, len(WINDOWS))
    assert set(result["modules"]).isdisjoint(FORBIDDEN)
    assert watched.requested == []


def test_a_service_scores_with_no_library_that_fits(store: str, watched: Watched, serve: Callable[..., Server]) -> None:
    service = serve(store, **watched.environment)
    points = [
        {"region": "here", "host": name, "metric": "cpu", "timestamp": time, "value": value}
        for name in ALONE
        for time, value in zip(*DATAPOINTS.values(), strict=True)
    ]
    answer = service.client.post("/predict", json={"datapoints": points}).json()
    assert {(one["host"], one["status"]) for one in answer["series"]} == {(name, "ok") for name in ALONE}
    assert watched.requested == []
