"""Catalogue: the servers that are compared, each started as its own documentation recommends."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers.environments import Environment
from bench.peers.processes import ROOT, pinning_prefix, why_no_namespaces
from bench.peers.protocols import KServe, MlflowFrame, Myriad, OpenInference, PlainJson, Protocol, RayServe

QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "SPT_NOENV": "1",
    "MLFLOW_TRACKING_URI": "sqlite:///:memory:",
}
"""Environment variables that turn off telemetry, and writes to the server's environment."""
PREPARE_SECONDS = 900


@dataclass(frozen=True)
class Workspace:
    """Files and ports of one start of a server.

    Attributes:
        store: directory of the store with Myriad's release.
        models: directory of the joblib files.
        prepared: directory for what a peer makes of the models once, kept between starts.
        temporary: directory for one start.
        port: to listen on.
        more_ports: for other listeners of the server.
    """

    store: Path
    models: Path
    prepared: Path
    temporary: Path
    port: int
    more_ports: tuple[int, ...]


@dataclass(frozen=True)
class Peer:
    """A way to serve the fleet.

    Attributes:
        name: of its requirements file, and on the command line.
        title: for people.
        tick: form of a request for many series.
        protocol: of its requests.
        command: returns the command that starts it.
        prepare: converts the models for it, once.
        settings: returns its environment variables.
        own_network: whether it has to run in a network namespace of its own.
        artifacts: returns the directory of what it serves.
    """

    name: str
    title: str
    tick: str
    protocol: Protocol
    command: Callable[[Environment, Workspace], Sequence[str]]
    prepare: Callable[[Environment, Workspace], object] = lambda *_: None
    settings: Callable[[Workspace], dict[str, str]] = lambda workspace: _settings(workspace)
    own_network: bool = False
    artifacts: Callable[[Workspace], Path] = lambda workspace: workspace.models

    def why_impossible(self) -> str:
        """The reason why it cannot be run on this machine; empty if it can."""
        reason = why_no_namespaces() if self.own_network else ""
        return f"it needs a network of its own, and `unshare --net` is not permitted: {reason}" if reason else ""


def _flask(environment: Environment, workspace: Workspace) -> list[str]:
    bind = f"127.0.0.1:{workspace.port}"
    return [environment.script("gunicorn"), "--workers=1", f"--bind={bind}", "bench.peers.flask_app:app"]


def _fastapi(environment: Environment, workspace: Workspace) -> list[str]:
    return [
        environment.script("uvicorn"),
        "bench.peers.fastapi_app:app",
        "--workers=1",
        f"--port={workspace.port}",
        "--no-access-log",
    ]


def _mlserver(environment: Environment, workspace: Workspace) -> list[str]:
    grpc, metrics = workspace.more_ports[:2]
    server = {"host": "127.0.0.1", "http_port": workspace.port, "grpc_port": grpc, "metrics_port": metrics}
    settings = {
        **server,
        "debug": False,
        "parallel_workers": 0,
    }  # in the server's own process: no hop for a small model
    (workspace.temporary / "settings.json").write_text(json.dumps(settings))
    model = {"name": "fleet", "implementation": "bench.peers.mlserver_runtime.Fleet"}
    (workspace.temporary / "model-settings.json").write_text(json.dumps(model))
    return [environment.script("mlserver"), "start", str(workspace.temporary)]


def _bentoml(environment: Environment, workspace: Workspace) -> list[str]:
    bind = ["--host=127.0.0.1", f"--port={workspace.port}"]
    return [environment.script("bentoml"), "serve", "bench.peers.bentoml_service:Fleet", *bind, f"--working-dir={ROOT}"]


def _kserve(environment: Environment, workspace: Workspace) -> list[str]:
    return [str(environment.python), "-m", "bench.peers.kserve_model", str(workspace.port)]


def _mlflow(environment: Environment, workspace: Workspace) -> list[str]:
    bind = ["--host=127.0.0.1", f"--port={workspace.port}", "--workers=1"]
    return [
        environment.script("mlflow"),
        "models",
        "serve",
        f"--model-uri={workspace.prepared / 'model'}",
        "--env-manager=local",
        *bind,
    ]


def _save_mlflow(environment: Environment, workspace: Workspace) -> None:
    if not (workspace.prepared / "model").exists():
        command = [
            str(environment.python),
            "-m",
            "bench.peers.mlflow_model",
            str(workspace.models),
            str(workspace.prepared / "model"),
        ]
        environment.run([*pinning_prefix(-1), *command], workspace.prepared, QUIET, PREPARE_SECONDS)


def _ray(environment: Environment, workspace: Workspace) -> list[str]:
    return [str(environment.python), "-m", "bench.peers.ray_app", str(workspace.port), str(workspace.temporary)]


def _myriad(_: Environment, workspace: Workspace) -> list[str]:
    flags = {
        "store": workspace.store.as_uri(),
        "local-directory": workspace.temporary / "local",
        "port": workspace.port,
    }
    command = [str(Path(sys.executable).with_name("myriad")), "serve", "--workers=1", "--log-level=warning"]
    return [*command, *(f"--{name}={value}" for name, value in flags.items())]


def _settings(workspace: Workspace) -> dict[str, str]:
    home = str(workspace.temporary)  # files they leave behind are deleted with the benchmark's
    return {**QUIET, "PEER_MODELS": str(workspace.models), "HOME": home, "BENTOML_HOME": home, "TMPDIR": home}


PEERS = (
    Peer("flask", "Flask + pandas + joblib LRU, gunicorn", "JSON columns", PlainJson(), _flask),
    Peer("fastapi", "FastAPI + pydantic + pandas + joblib LRU, uvicorn", "JSON columns", PlainJson(), _fastapi),
    Peer("mlserver", "Seldon MLServer, custom runtime", "V2 tensors", OpenInference(), _mlserver),
    Peer("bentoml", "BentoML service", "JSON columns", PlainJson(), _bentoml),
    Peer("kserve", "KServe SDK, custom model", "JSON columns", KServe(), _kserve),
    Peer("ray", "Ray Serve, multiplexed", "JSON columns", RayServe(), _ray, own_network=True),
    Peer(
        "mlflow",
        "MLflow pyfunc, models serve",
        "dataframe_split",
        MlflowFrame(),
        _mlflow,
        _save_mlflow,
        artifacts=lambda workspace: workspace.prepared / "model",
    ),
    Peer("myriad", "Myriad", "JSON columns", Myriad(), _myriad, artifacts=lambda workspace: workspace.store),
)
NAMES = tuple(peer.name for peer in PEERS)
