"""Measurement of one peer's server; its answers are first compared with Myriad's."""

import contextlib
import os
import pickle
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.peers.catalogue import Peer, Workspace
from bench.peers.environments import Environment
from bench.peers.processes import Server, running
from bench.peers.protocols import Columns, Myriad, Points
from bench.peers.seasonal_fleet import sizes
from bench.shared.fleet import Fleet
from bench.shared.request_bodies import POINTS
from myriad.models.key import Series
from myriad.serving.predictor import Predictor
from myriad.training.fleets.reference import FITTED_AT

TOLERANCE = 1e-6
CHECKED_SERIES = 20
CONNECTIONS = (1, 16)
WARM_UPS = 20
MEMORY_BYTES = 8e9
"""Memory for which the number of models is extrapolated."""


class AnswersDiffer(AssertionError):
    """A peer's answers differ from Myriad's."""


@dataclass(frozen=True)
class Effort:
    """How much to measure: rounds, seconds of load at each number of connections, and ticks in a round."""

    rounds: int
    seconds: float
    ticks: int


class Workload:
    """The points every server is asked to score, and the expected answers, which are Myriad's.

    Attributes:
        points: of each series, in random order.
        checked: those whose answers are compared.
        first: of one series, for the first answer after a start.
        cold: of a series in each other artifact of Myriad's: series that no server has loaded yet.
    """

    def __init__(self, fleet: Fleet, windows: Sequence[str]) -> None:
        in_shard_order = [points_of(series) for shard in fleet.series for series in shard]
        self.first, *self.cold = (points_of(shard[0]) for shard in fleet.series)
        self.points = random.Random(1).sample(in_shard_order, len(in_shard_order))
        self.checked = self.points[:CHECKED_SERIES]
        self._windows = windows
        predictor = Predictor.open(fleet.store)
        self._single_answers = _expected(predictor, self.checked, None)
        self._tick_answer = _expected(predictor, [first_point(points) for points in self.points], ["1m"])
        predictor.close()

    def check(self, peer: Peer, server: Server) -> None:
        """Compare the answers for some series and for a tick of all.

        Raises:
            AnswersDiffer: they are not Myriad's.
        """
        singles = [peer.protocol.parse_single(server.load.ask(peer.protocol.single(one))[0][0]) for one in self.checked]
        names = ["score", *self._windows, *(f"expected_{window}" for window in self._windows)]
        for name in names:
            check_equal(name, np.concatenate([columns[name] for columns in singles]), self._single_answers[name])
        tick = peer.protocol.parse_tick(server.load.ask(peer.protocol.tick(self.points))[0][0])
        for name in ("score", "1m"):
            check_equal(f"{name} of a tick", tick[name], self._tick_answer[name])


def points_of(series: Series) -> Points:
    """The points of a single-series request: one hour."""
    rng = random.Random(series.hash)
    times = list(range(FITTED_AT, FITTED_AT + 60 * POINTS, 60))
    return Points(series, times, [round(rng.lognormvariate(3, 1), 3) for _ in times])


def first_point(points: Points) -> Points:
    """The same with only the first point."""
    return Points(points.series, points.timestamps[:1], points.values[:1])


def check_equal(name: str, actual: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Compare a column of answers with the expected one.

    Raises:
        AnswersDiffer: they differ by more than `TOLERANCE`.
    """
    if actual.shape != expected.shape:
        raise AnswersDiffer(f"{name} has the shape {actual.shape}, not {expected.shape}")
    wrong = ~np.isclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise AnswersDiffer(
            f"{name} is {actual[first]!r}, not {expected[first]!r}, at {first}; {wrong.sum()} of {len(actual)} differ"
        )


def compare_answers(peer: Peer, environment: Environment, workspace: Workspace, workload: Workload) -> None:
    """Start a server to compare its answers.

    Raises:
        AnswersDiffer: they are not Myriad's.
        LoadFailed, RuntimeError: it did not start, or answered with an error.
    """
    with _started(peer, environment, workspace) as server:
        server.wait_until_ready(peer.protocol.single(workload.first))
        workload.check(peer, server)


def measure_round(
    peer: Peer, environment: Environment, workspace: Workspace, workload: Workload, effort: Effort, number: int
) -> dict[str, float]:
    """The figures of one start of a server.

    Raises:
        LoadFailed, RuntimeError: it did not start, or answered with an error.
    """
    with _started(peer, environment, workspace) as server:
        first = peer.protocol.single(workload.first)
        figures = {"start_seconds": server.wait_until_ready(first) - server.started}
        server.load.ask(*[first] * WARM_UPS)
        figures["pss_start_bytes"] = server.pss
        figures["processes"] = len(server.processes)
        cold = [seconds for _, seconds in server.load.ask(*map(peer.protocol.single, workload.cold))]
        figures |= {"cold_p50_ms": float(np.median(cold)) * 1e3, "cold_max_ms": max(cold) * 1e3}
        requests = _write_requests(workspace.prepared / "singles.pickle", peer, workload)
        touch = server.load.drive(requests, max(CONNECTIONS))
        figures |= {"touch_all_seconds": touch["seconds"], "pss_bytes": server.pss}
        for connections in CONNECTIONS:
            load = server.load.drive(requests, connections, effort.seconds, seed=number)
            figures |= {f"{name}_{connections}": value for name, value in _load_figures(load).items()}
        figures |= _tick_figures(peer, server, workload, effort)
        if isinstance(peer.protocol, Myriad):
            figures["local_bytes"] = sizes(workspace.temporary / "local")["bytes"]
    return figures


def model_memory(figures: Mapping[str, float], models: int) -> dict[str, float]:
    """Resident bytes a model, and the number of models that would fit in `MEMORY_BYTES` extrapolated from that."""
    bytes_a_model = (figures["pss_bytes"] - figures["pss_start_bytes"]) / models
    count = max(MEMORY_BYTES - figures["pss_start_bytes"], 0) / max(bytes_a_model, 1.0)
    return {"resident_bytes_a_model": bytes_a_model, "models_in_8_gb_extrapolated": round(count)}


def _started(peer: Peer, environment: Environment, workspace: Workspace) -> "contextlib.AbstractContextManager[Server]":
    return running(
        peer.command(environment, workspace),
        _variables(peer, environment, workspace),
        workspace.temporary,
        workspace.port,
        own_network=peer.own_network,
    )


def _variables(peer: Peer, environment: Environment, workspace: Workspace) -> dict[str, str]:
    """Environment variables of a peer; the commands of its environment are on the PATH."""
    return {
        **peer.settings(workspace),
        "PATH": os.pathsep.join([str(environment.python.parent), os.environ.get("PATH", "")]),
    }


def _write_requests(path: Path, peer: Peer, workload: Workload) -> Path:
    """Write a peer's requests for every series, unless the file exists."""
    if not path.exists():
        path.write_bytes(pickle.dumps([peer.protocol.single(points) for points in workload.points]))
    return path


def _load_figures(load: Mapping[str, Any]) -> dict[str, float]:
    return {
        "requests_a_second": load["requests"] / load["seconds"],
        "p50_ms": load["p50_ms"],
        "p99_ms": load["p99_ms"],
        "generator_cpu_share": load["cpu_share"],
    }


def _tick_figures(peer: Peer, server: Server, workload: Workload, effort: Effort) -> dict[str, float]:
    """Seconds of a tick; for Myriad also in its other formats."""
    messages = {"tick_seconds": peer.protocol.tick(workload.points)}
    if isinstance(peer.protocol, Myriad):
        messages["tick_rows_seconds"] = peer.protocol.tick_as_rows(workload.points)
        messages["tick_arrow_seconds"] = peer.protocol.tick_as_arrow(workload.points)
    figures = {}
    for name, message in messages.items():
        _, *timed = server.load.ask(*[message] * (1 + effort.ticks))
        figures[name] = float(np.median([seconds for _, seconds in timed]))
    return figures


def _expected(predictor: Predictor, points: Sequence[Points], windows: list[str] | None) -> Columns:
    rows = [(*one.series, t, v) for one in points for t, v in zip(one.timestamps, one.values, strict=True)]
    frame = pd.DataFrame(rows, columns=[*Series._fields, "timestamp", "value"])
    answer = predictor.predict(frame, windows)
    if set(answer["status"]) != {"ok"}:
        raise RuntimeError(f"Myriad's own answers are {set(answer['status'])}")
    return {str(name): answer[name].to_numpy(float) for name in answer.columns if name != "status"}
