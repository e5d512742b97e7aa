"""Catalogue: the servers compared, each started as its own documentation says."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers.environments import Environment
from bench.peers.processes import ROOT, namespaces_permitted, pinned
from bench.peers.wire import MlflowFrame, Myriad, OpenInference, Plain, RayServe, Wire

QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "SPT_NOENV": "1",
    "MLFLOW_TRACKING_URI": "sqlite:///:memory:",
}
"""None of them is to report home, nor to write over its environment."""
PREPARE_SECONDS = 900


@dataclass(frozen=True)
class Places:
    """Where a server finds its things.

    Attributes:
        store: of Myriad's release.
        models: the directory of joblib files.
        own: a directory for what a peer makes of these once, kept between starts.
        fresh: a directory for one start.
        port: to listen on; `more_ports` are for what else it wants.
    """

    store: Path
    models: Path
    own: Path
    fresh: Path
    port: int
    more_ports: tuple[int, ...]


@dataclass(frozen=True)
class Peer:
    """A way to serve the fleet.

    Attributes:
        name: of its requirements and on the command line.
        title: what it is.
        tick: how it is asked about many series at once.
        wire: the form of its requests.
        command: that starts it, in an environment.
        prepare: makes what it needs of the models, once.
        settings: of its environment.
        apart: whether it has to be in a network of its own.
        artifacts: the directory of what it serves.
    """

    name: str
    title: str
    tick: str
    wire: Wire
    command: Callable[[Environment, Places], Sequence[str]]
    prepare: Callable[[Environment, Places], object] = lambda *_: None
    settings: Callable[[Places], dict[str, str]] = lambda places: _settings(places)
    apart: bool = False
    artifacts: Callable[[Places], Path] = lambda places: places.models

    def impossible(self) -> str:
        """Why it cannot be run here at all; empty where it can."""
        why = namespaces_permitted() if self.apart else ""
        return f"it needs a network of its own, and `unshare --net` is not permitted: {why}" if why else ""


def _flask(of: Environment, places: Places) -> list[str]:
    bind = f"127.0.0.1:{places.port}"
    return [of.script("gunicorn"), "--workers=1", f"--bind={bind}", "bench.peers.flask_app:app"]


def _fastapi(of: Environment, places: Places) -> list[str]:
    return [
        of.script("uvicorn"),
        "bench.peers.fastapi_app:app",
        "--workers=1",
        f"--port={places.port}",
        "--no-access-log",
    ]


def _mlserver(of: Environment, places: Places) -> list[str]:
    grpc, metrics = places.more_ports[:2]
    server = {"host": "127.0.0.1", "http_port": places.port, "grpc_port": grpc, "metrics_port": metrics}
    settings = {
        **server,
        "debug": False,
        "parallel_workers": 0,
    }  # in the server's own process: no hop for a small model
    (places.fresh / "settings.json").write_text(json.dumps(settings))
    model = {"name": "fleet", "implementation": "bench.peers.mlserver_runtime.Fleet"}
    (places.fresh / "model-settings.json").write_text(json.dumps(model))
    return [of.script("mlserver"), "start", str(places.fresh)]


def _bentoml(of: Environment, places: Places) -> list[str]:
    bind = ["--host=127.0.0.1", f"--port={places.port}"]
    return [of.script("bentoml"), "serve", "bench.peers.bentoml_service:Fleet", *bind, f"--working-dir={ROOT}"]


def _mlflow(of: Environment, places: Places) -> list[str]:
    bind = ["--host=127.0.0.1", f"--port={places.port}", "--workers=1"]
    return [of.script("mlflow"), "models", "serve", f"--model-uri={places.own / 'model'}", "--env-manager=local", *bind]


def _save_mlflow(of: Environment, places: Places) -> None:
    if not (places.own / "model").exists():
        command = [str(of.python), "-m", "bench.peers.mlflow_model", str(places.models), str(places.own / "model")]
        of.run([*pinned(-1), *command], places.own, QUIET, PREPARE_SECONDS)


def _ray(of: Environment, places: Places) -> list[str]:
    return [str(of.python), "-m", "bench.peers.ray_app", str(places.port), str(places.fresh)]


def _myriad(_: Environment, places: Places) -> list[str]:
    flags = {"store": places.store.as_uri(), "local-directory": places.fresh / "local", "port": places.port}
    command = [str(Path(sys.executable).with_name("myriad")), "serve", "--workers=1", "--log-level=warning"]
    return [*command, *(f"--{name}={value}" for name, value in flags.items())]


def _settings(places: Places) -> dict[str, str]:
    home = str(places.fresh)  # whatever they leave behind goes with the bench's own
    return {**QUIET, "PEER_MODELS": str(places.models), "HOME": home, "BENTOML_HOME": home, "TMPDIR": home}


PEERS = (
    Peer("flask", "Flask + pandas + joblib LRU, gunicorn", "JSON columns", Plain(), _flask),
    Peer("fastapi", "FastAPI + pydantic + pandas + joblib LRU, uvicorn", "JSON columns", Plain(), _fastapi),
    Peer("mlserver", "Seldon MLServer, custom runtime", "V2 tensors", OpenInference(), _mlserver),
    Peer("bentoml", "BentoML service", "JSON columns", Plain(), _bentoml),
    Peer("ray", "Ray Serve, multiplexed", "JSON columns", RayServe(), _ray, apart=True),
    Peer(
        "mlflow",
        "MLflow pyfunc, models serve",
        "dataframe_split",
        MlflowFrame(),
        _mlflow,
        _save_mlflow,
        artifacts=lambda places: places.own / "model",
    ),
    Peer("myriad", "Myriad", "JSON columns", Myriad(), _myriad, artifacts=lambda places: places.store),
)
NAMES = tuple(peer.name for peer in PEERS)
