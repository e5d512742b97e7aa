"""Measure: one peer's server from its start to its end, its answers compared with Myriad's before anything counts."""

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

from bench.fleet import POINTS, Fleet
from bench.peers.catalogue import Peer, Places
from bench.peers.environments import Environment
from bench.peers.fleet import sizes
from bench.peers.processes import Server, running
from bench.peers.wire import Columns, Myriad, Points
from myriad.models.key import Series
from myriad.serving.predictor import Predictor
from myriad.training.fleets.reference import FITTED_AT

TOLERANCE = 1e-6
CHECKED = 20
CONNECTIONS = (1, 16)
WARMING = 20
ROOM_BYTES = 8e9
"""For how many models there would be room in: an extrapolation."""


class AnswersDiffer(AssertionError):
    """A peer does not answer what Myriad does."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, seconds of load at each number of connections, and ticks a round."""

    rounds: int
    seconds: float
    ticks: int


class Questions:
    """What every server is asked, and Myriad's answers to it.

    Attributes:
        points: of each series.
        first: of one series, for the first answer.
        cold: of a series in each other artifact of Myriad's, for what is not loaded yet in any server.
    """

    def __init__(self, fleet: Fleet, windows: Sequence[str]) -> None:
        named = [points_of(series) for shard in fleet.series for series in shard]
        self.first, *self.cold = (points_of(shard[0]) for shard in fleet.series)
        self.points = random.Random(1).sample(named, len(named))
        self.checked = self.points[:CHECKED]
        self._windows = windows
        predictor = Predictor.open(fleet.store)
        self._singles = _scored(predictor, self.checked, None)
        self._tick = _scored(predictor, [first_of(points) for points in self.points], ["1m"])
        predictor.close()

    def check(self, peer: Peer, server: Server) -> None:
        """Compare answers about some series and a whole tick.

        Raises:
            AnswersDiffer: they are not Myriad's.
        """
        singles = [peer.wire.singles_of(server.loader.ask(peer.wire.single(one))[0][0]) for one in self.checked]
        names = ["score", *self._windows, *(f"expected_{window}" for window in self._windows)]
        for name in names:
            equal(name, np.concatenate([columns[name] for columns in singles]), self._singles[name])
        tick = peer.wire.ticks_of(server.loader.ask(peer.wire.tick(self.points))[0][0])
        for name in ("score", "1m"):
            equal(f"{name} of a tick", tick[name], self._tick[name])


def points_of(series: Series) -> Points:
    """The points a single-series request has: an hour of them."""
    draw = random.Random(series.hash)
    times = list(range(FITTED_AT, FITTED_AT + 60 * POINTS, 60))
    return Points(series, times, [round(draw.lognormvariate(3, 1), 3) for _ in times])


def first_of(points: Points) -> Points:
    """Only the first point."""
    return Points(points.series, points.timestamps[:1], points.values[:1])


def equal(name: str, told: NDArray[np.float64], wanted: NDArray[np.float64]) -> None:
    """Compare a column of answers.

    Raises:
        AnswersDiffer: they are not equal.
    """
    if told.shape != wanted.shape:
        raise AnswersDiffer(f"{name} has the shape {told.shape}, not {wanted.shape}")
    wrong = ~np.isclose(told, wanted, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise AnswersDiffer(f"{name} is {told[at]!r}, not {wanted[at]!r}, at {at}; {wrong.sum()} of {len(told)} differ")


def checked(peer: Peer, of: Environment, places: Places, questions: Questions) -> None:
    """Start a server once to compare its answers.

    Raises:
        AnswersDiffer: they are not Myriad's.
        LoadFailed, RuntimeError: it did not start, or answered with an error.
    """
    with _started(peer, of, places) as server:
        server.answering(peer.wire.single(questions.first))
        questions.check(peer, server)


def one_round(
    peer: Peer, of: Environment, places: Places, questions: Questions, effort: Effort, number: int
) -> dict[str, float]:
    """The figures of one start of a server.

    Raises:
        LoadFailed, RuntimeError: it did not start, or answered with an error.
    """
    with _started(peer, of, places) as server:
        first = peer.wire.single(questions.first)
        figures = {"start_seconds": server.answering(first) - server.began}
        server.loader.ask(*[first] * WARMING)
        figures["pss_start_bytes"] = server.pss
        figures["processes"] = len(server.processes)
        cold = [seconds for _, seconds in server.loader.ask(*map(peer.wire.single, questions.cold))]
        figures |= {"cold_p50_ms": float(np.median(cold)) * 1e3, "cold_max_ms": max(cold) * 1e3}
        singles = _written(places.own / "singles.pickle", peer, questions)
        touched = server.loader.drive(singles, max(CONNECTIONS))
        figures |= {"touch_all_seconds": touched["seconds"], "pss_bytes": server.pss}
        for connections in CONNECTIONS:
            loaded = server.loader.drive(singles, connections, effort.seconds, seed=number)
            figures |= {f"{name}_{connections}": value for name, value in _load(loaded).items()}
        figures |= _ticks(peer, server, questions, effort)
        if isinstance(peer.wire, Myriad):
            figures["local_bytes"] = sizes(places.fresh / "local")["bytes"]
    return figures


def held(figures: Mapping[str, float], models: int) -> dict[str, float]:
    """Resident bytes a model, and how many would fit: an extrapolation of these."""
    each = (figures["pss_bytes"] - figures["pss_start_bytes"]) / models
    room = max(ROOM_BYTES - figures["pss_start_bytes"], 0) / max(each, 1.0)
    return {"resident_bytes_a_model": each, "models_in_8_gb_extrapolated": round(room)}


def _started(peer: Peer, of: Environment, places: Places) -> "contextlib.AbstractContextManager[Server]":
    return running(
        peer.command(of, places), _environment(peer, of, places), places.fresh, places.port, apart=peer.apart
    )


def _environment(peer: Peer, of: Environment, places: Places) -> dict[str, str]:
    """A peer's settings, with the commands of its environment to be found by name."""
    return {**peer.settings(places), "PATH": os.pathsep.join([str(of.python.parent), os.environ.get("PATH", "")])}


def _written(path: Path, peer: Peer, questions: Questions) -> Path:
    """A peer's requests for every series, made once."""
    if not path.exists():
        path.write_bytes(pickle.dumps([peer.wire.single(points) for points in questions.points]))
    return path


def _load(loaded: Mapping[str, Any]) -> dict[str, float]:
    return {
        "requests_a_second": loaded["requests"] / loaded["seconds"],
        "p50_ms": loaded["p50_ms"],
        "p99_ms": loaded["p99_ms"],
        "generator_cpu_share": loaded["cpu_share"],
    }


def _ticks(peer: Peer, server: Server, questions: Questions, effort: Effort) -> dict[str, float]:
    """Seconds of a tick; Myriad's in its other formats too."""
    messages = {"tick_seconds": peer.wire.tick(questions.points)}
    if isinstance(peer.wire, Myriad):
        messages["tick_rows_seconds"] = peer.wire.tick_in_rows(questions.points)
        messages["tick_arrow_seconds"] = peer.wire.tick_in_arrow(questions.points)
    figures = {}
    for name, message in messages.items():
        _, *taken = server.loader.ask(*[message] * (1 + effort.ticks))
        figures[name] = float(np.median([seconds for _, seconds in taken]))
    return figures


def _scored(predictor: Predictor, points: Sequence[Points], windows: list[str] | None) -> Columns:
    rows = [(*one.series, t, v) for one in points for t, v in zip(one.timestamps, one.values, strict=True)]
    frame = pd.DataFrame(rows, columns=[*Series._fields, "timestamp", "value"])
    answer = predictor.predict(frame, windows)
    if set(answer["status"]) != {"ok"}:
        raise RuntimeError(f"Myriad's own answers are {set(answer['status'])}")
    return {str(name): answer[name].to_numpy(float) for name in answer.columns if name != "status"}
